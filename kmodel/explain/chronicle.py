"""A log told in sentences: who waited for whom, which try failed and why, what woke whom.

Made from the records and their causes alone, so that a log of another version, or one that
stops in the middle, can be told too. What happens again and again is told once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

import attrs

from kmodel.log.record import END, Record
from kmodel.log.spans import Span, Spans

MOST: Final = 400
"""Different sentences that are kept; a run of more is told by those that came first."""

LONG_AGO: Final = 1 << 15
"""Records for which it is known who wrote them: who was let go longer ago has no cause."""

AGAIN: Final = 3
"""Steps named of what happens again."""

CHAIN: Final = 6
"""Failures told in one sentence, each the reason of the next."""

FAILS: Final = {
    "kva.fail": "there is no room in kernel_map",
    "page.fail": "there are no pages",
    "pool.fail": "{obj} gives nothing",
    "pmap.fail": "{obj} fails with {error}",
}


@attrs.define
class Sentence:
    """``weight`` says how much it matters: what matters least is left out first."""

    step: int
    weight: int
    text: str
    again: list[int] = attrs.field(factory=list)
    count: int = 0

    def __str__(self) -> str:
        if not self.count:
            return self.text
        steps = ", ".join(map(str, self.again))
        rest = self.count - len(self.again)
        times = "" if not rest else f" and {rest:,} time{'s' if rest > 1 else ''} more"
        return f"{self.text} So again at step{'s' if self.count > 1 else ''} {steps}{times}."


class Chronicle:
    """Feed it the records in order; ``sentences`` are then what happened."""

    def __init__(self) -> None:
        self._kept: dict[str, Sentence] = {}
        self.lost = self.steps = 0
        self.end: Record | None = None
        self._spans = Spans()
        self._holds: dict[str, dict[int, Span]] = {}
        self._doers: dict[int, tuple[str | None, int]] = {}
        self._failing: dict[int, list[str]] = {}
        self._last: dict[int, Record] = {}
        self._wakeups: dict[str, Record] = {}
        self._out: dict[tuple[str, str], Record] = {}

    def feed(self, record: Record) -> None:
        if record.event == END:
            self.end = record
            return
        if record.cpu is None:
            return
        self.steps = record.step + 1
        told = _TELLS.get(record.event)
        if told:
            told(self, record)
        for span in self._spans.feed(record):
            self._ended(span, record)
        self._held(record)
        self._doers[record.seq] = record.task, record.step
        self._doers.pop(record.seq - LONG_AGO, None)

    def sentences(self) -> list[Sentence]:
        for record in list(self._last.values()):
            self._flush(record)
        return sorted(self._kept.values(), key=lambda sentence: sentence.step)

    def ends(self) -> list[str]:
        """Who waits for what where the log ends: the cycle, the wakeup that was missed."""
        waits = [s for s in self._spans.open() if s.kind in ("wait", "sleep")]
        told = []
        for span in waits:
            what = f"{span.task} is asleep on {span.obj} since step {span.since}"
            told.append(f"{what}; {self._kept_by(span)}.")
        return told + self._cycle(waits)

    def dropped(self, pool: str) -> list[str]:
        """Who took the items of ``pool`` that are out, and linked or gave back none of them."""
        mine = [got for (name, _), got in self._out.items() if name == pool]
        return [
            f"{got.task} took {got.fields.get('item')} from {pool} at step {got.step}; "
            "no record gives it back or links it."
            for got in mine
        ]

    def _kept_by(self, span: Span) -> str:
        holders = self._holders(span.obj, span.cpu)
        if holders:
            return f"it is held by {holders}"
        if span.kind == "wait":
            return "nobody holds it, and nobody has woken it"
        last = self._wakeups.get(span.obj)
        if last is None:
            return "nobody ever woke it"
        if last.seq > span.began:
            return (
                f"{last.task}'s wakeup at step {last.step} came after that; it did not step since"
            )
        return f"the last wakeup was {last.task}'s at step {last.step}, before it slept: missed"

    def _cycle(self, waits: list[Span]) -> list[str]:
        ahead = {
            span.cpu: [cpu for cpu in self._holds.get(span.obj, {}) if cpu != span.cpu]
            for span in waits
        }
        names = {span.cpu: span.task for span in waits}
        for start in ahead:
            way = [start]
            while (after := [c for c in ahead[way[-1]] if c in ahead]) and after[0] not in way:
                way.append(after[0])
            if after and after[0] == start:
                pairs = zip(way, [*way[1:], start])
                told = ", ".join(f"{names[a]} waits for {names[b]}" for a, b in pairs)
                return [f"{told}: a cycle."]
        return []

    def _holders(self, obj: str, but: int) -> str:
        held = [s for cpu, s in self._holds.get(obj, {}).items() if cpu != but]
        return " and ".join(f"{span.task} (since step {span.since})" for span in held)

    def _held(self, record: Record) -> None:
        """Keeps who holds what, from what the spans say is open for this CPU."""
        cpu, obj = record.cpu or 0, str(record.obj)
        takes = record.event.startswith(("lock.", "mutex.")) and record.result is not False
        if record.event in ("lock.release", "mutex.leave"):
            self._holds.get(obj, {}).pop(cpu, None)
        elif takes:
            self._holds.setdefault(obj, {})[cpu] = _hold(record, obj)
        elif record.event in ("chan.sleep", "chan.woken") and "mutex" in record.fields:
            mutex = str(record.fields["mutex"])
            held = self._holds.setdefault(mutex, {})
            held.pop(cpu, None)
            if record.event == "chan.woken":
                held[cpu] = _hold(record, mutex)

    def _say(self, record: Record, weight: int, text: str) -> None:
        key = re.sub(r"\b\d+\b", "#", text)
        known = self._kept.get(key)
        if known is not None:
            known.count += 1
            if len(known.again) < AGAIN:
                known.again.append(record.step)
        elif len(self._kept) < MOST:
            self._kept[key] = Sentence(record.step, weight, text)
        else:
            self.lost += 1

    def _ended(self, span: Span, record: Record) -> None:
        """A wait is over: on what, and who ended it."""
        task, step = self._doers.get(-1 if record.cause is None else record.cause, ("", 0))
        by = f"; {task} lets it go at step {step}" if task else ""
        on = f"and it goes on at {span.until}"
        if span.kind == "sleep":
            wakeup = self._wakeups.get(span.obj)
            if wakeup is not None and wakeup.seq > span.began:
                # it may have had to wait for the interlock, which somebody else let go
                by = f"; {wakeup.task} wakes it at step {wakeup.step}"
            text = f"{span.task} sleeps on {span.obj} at step {span.since}{by}, {on}."
            # a daemon between two laps
            self._say(record, 3 if self._spans.fault(span.cpu) else 1, text)
        elif span.kind == "wait":
            text = f"{span.task} waits for {span.obj} from step {span.since}{by}, {on}."
            self._say(record, 2, text)
        elif span.kind == "spin":
            text = f"{span.task} spins for {span.obj} from step {span.since}{by}, {on}."
            self._say(record, 1, text)

    def _tried(self, record: Record) -> None:
        if record.result is False:
            self._flush(record)
            holders = self._holders(str(record.obj), record.cpu or 0)
            why = f" (held by {holders})" if holders else ""
            self._fail(record, f"the try of {record.obj} is refused at step {record.step}{why}")

    def _fails(self, record: Record) -> None:
        values: dict[str, Any] = {"error": "an error"} | record.fields | {"obj": record.obj}
        text = FAILS[record.event].format_map(values)
        why = record.fields.get("why")
        text += f" at step {record.step}" + (f" ({why})" if why else "")
        self._fail(record, text)
        if record.event == "pmap.fail":
            self._flush(record)

    def _fail(self, record: Record, text: str) -> None:
        chain = self._failing.setdefault(record.cpu or 0, [])
        self._last[record.cpu or 0] = record
        if len(chain) < CHAIN:
            chain.append(text)

    def _flush(self, record: Record) -> None:
        """A chain of failures has come to its end: one sentence."""
        chain = self._failing.pop(record.cpu or 0, [])
        record = self._last.pop(record.cpu or 0, record)
        if chain:
            last = f", so {chain[-1]}" if len(chain) > 1 else ""
            first = ", then ".join(chain[:-1] or chain)
            self._say(record, 5, f"For {record.task} {first}{last}.")

    def _begins(self, record: Record) -> None:
        va, space = record.fields.get("va"), record.obj
        self._say(record, 2, f"{record.task} faults at {va} in {space} (step {record.step}).")

    def _restarts(self, record: Record) -> None:
        self._flush(record)
        va = record.fields.get("va")
        self._say(record, 4, f"{record.task} begins its fault at {va} anew, at step {record.step}.")

    def _ends(self, record: Record) -> None:
        self._flush(record)
        fields = record.fields
        how = "well" if not fields.get("error") else f"with error {fields['error']}"
        if fields.get("signal"):
            how += f": {fields['signal']}"
        text = f"{record.task}'s fault at {fields.get('va')} ends {how}, at step {record.step}."
        self._say(record, 2 if how == "well" else 5, text)

    def _wakes(self, record: Record) -> None:
        self._wakeups[str(record.obj)] = record

    def _wrong(self, record: Record) -> None:
        said = record.fields.get("text")
        self._say(record, 6, f"From step {record.step} on a check fails: {said}.")

    def _marks(self, record: Record) -> None:
        self._say(record, 0, f"{record.task} at step {record.step}: {record.fields.get('text')}.")

    def _item(self, record: Record) -> None:
        item = str(record.fields.get("item"))
        if record.event == "pool.get":
            self._out[str(record.obj), item] = record
        elif record.event == "pool.put":
            self._out.pop((str(record.obj), item), None)
        else:
            self._out.pop(("vp pool", item), None)


_TELLS: Final = {
    "lock.try": Chronicle._tried,
    "mutex.try": Chronicle._tried,
    **dict.fromkeys(FAILS, Chronicle._fails),
    "fault.begin": Chronicle._begins,
    "fault.restart": Chronicle._restarts,
    "fault.end": Chronicle._ends,
    "chan.wakeup": Chronicle._wakes,
    "chan.wakeup_one": Chronicle._wakes,
    "inv.violation": Chronicle._wrong,
    "mark": Chronicle._marks,
    "pool.get": Chronicle._item,
    "pool.put": Chronicle._item,
    "pmap.table": Chronicle._item,
}


def _hold(record: Record, obj: str) -> Span:
    cpu = record.cpu or 0
    return Span("hold", cpu, record.task or f"cpu {cpu}", obj, record.step, record.seq)


def chronicle(records: Iterable[Record]) -> Chronicle:
    """All of a log, told."""
    found = Chronicle()
    for record in records:
        found.feed(record)
    return found
