"""A log told in sentences: who waited for whom, which try failed and why, what woke whom.

Made from the records and their causes alone, so that a log of another version, or one that
stops in the middle, can be told too. What happens again and again is told once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from kmodel.explain.asleep import Asleep
from kmodel.explain.failing import FAILS, OVERCOME, Failing
from kmodel.explain.sentence import Sentence, Sentences
from kmodel.log.record import END, Record
from kmodel.log.spans import DOES, Span, Spans
from kmodel.log.waker import Waker, Wakers

TABLES: Final = "vp pool"
"""The pool whose items become page tables."""


class Chronicle:
    """Feed it the records in order; ``sentences`` are then what happened."""

    def __init__(self) -> None:
        self.steps = 0
        self.end: Record | None = None
        self._told = Sentences()
        self._spans, self._wakers = Spans(), Wakers()
        self._asleep = Asleep(self._spans, self._wakers)
        self._failing = Failing(self._told)
        self._out: dict[tuple[str, str], Record] = {}

    @property
    def lost(self) -> int:
        """Sentences that were too many to keep."""
        return self._told.lost

    def feed(self, record: Record) -> None:
        if record.event == END:
            self.end = record
            self._spans.feed(record)
            return
        if record.cpu is None:
            return
        self.steps = record.step + 1
        if record.event in OVERCOME:
            self._failing.flush(record)
        told = _TELLS.get(record.event)
        if told:
            told(self, record)
        waker = self._wakers.feed(record)
        for span in self._spans.feed(record):
            self._ended(span, record, waker)
        self._asleep.feed(record)

    def sentences(self) -> list[Sentence]:
        self._failing.flush_all()
        return self._told.in_order()

    def ends(self) -> list[str]:
        """Who waits for what where the run ends: the cycle, the wakeup that was missed."""
        return self._asleep.sentences()

    def so_far(self) -> list[str]:
        """What is known where the records stop and the run may not have."""
        return self._asleep.so_far()

    def dropped(self, pool: str) -> list[str]:
        """Who took the items of ``pool`` that are out. That one is in use the log says of
        table pages only (``pmap.table``)."""
        mine = [got for (name, _), got in self._out.items() if name == pool]
        known = pool == TABLES
        rest = "gives it back or links it" if known else "gives it back; it may be in use"
        return [
            f"{got.task} took {got.fields.get('item')} from {pool} at step {got.step}; "
            f"no record {rest}."
            for got in mine
        ]

    def _say(self, record: Record, weight: int, text: str) -> None:
        self._told.say(record.step, weight, text)

    def _ended(self, span: Span, record: Record, waker: Waker | None) -> None:
        """A wait is over: on what, and who ended it."""
        # a reader's release wakes who wants to write, though others may read still
        does = "lets it go" if span.kind == "spin" else "wakes it"
        by = f"; {waker.task} {does} at step {waker.step}" if waker else ""
        on = f"{by}, and it goes on at {span.until}."
        if span.kind == "sleep":
            # one that is in no fault is a daemon between two laps
            weight = 3 if self._spans.fault(span.cpu) else 1
            self._say(record, weight, f"{span.task} sleeps on {span.obj} at step {span.since}{on}")
        elif span.kind == "wait":
            self._say(record, 2, f"{span.task} waits for {span.obj} from step {span.since}{on}")
        elif span.kind in DOES:
            does = DOES[span.kind].replace("stuck", "is stuck")
            self._say(record, 1, f"{span.task} {does} {span.obj} from step {span.since}{on}")

    def _tried(self, record: Record) -> None:
        self._failing.refused(record, self._spans)

    def _fails(self, record: Record) -> None:
        self._failing.failed(record)

    def _begins(self, record: Record) -> None:
        va, space = record.fields.get("va"), record.obj
        self._say(record, 2, f"{record.task} faults at {va} in {space} (step {record.step}).")

    def _restarts(self, record: Record) -> None:
        self._failing.flush(record)
        va = record.fields.get("va")
        self._say(record, 4, f"{record.task} begins its fault at {va} anew, at step {record.step}.")

    def _ends(self, record: Record) -> None:
        self._failing.flush(record)
        fields = record.fields
        how = "well" if not fields.get("error") else f"with error {fields['error']}"
        if fields.get("signal"):
            how += f": {fields['signal']}"
        text = f"{record.task}'s fault at {fields.get('va')} ends {how}, at step {record.step}."
        self._say(record, 2 if how == "well" else 5, text)

    def _wrong(self, record: Record) -> None:
        said = record.fields.get("text")
        self._say(record, 6, f"At step {record.step} a check fails: {said}.")

    def _marks(self, record: Record) -> None:
        self._say(record, 0, f"{record.task} at step {record.step}: {record.fields.get('text')}.")

    def _item(self, record: Record) -> None:
        item = str(record.fields.get("item"))
        if record.event == "pool.get":
            self._out[str(record.obj), item] = record
        elif record.event == "pool.put":
            self._out.pop((str(record.obj), item), None)
        else:
            self._out.pop((TABLES, item), None)


_TELLS: Final = {
    "lock.try": Chronicle._tried,
    "mutex.try": Chronicle._tried,
    **dict.fromkeys(FAILS, Chronicle._fails),
    "fault.begin": Chronicle._begins,
    "fault.restart": Chronicle._restarts,
    "fault.end": Chronicle._ends,
    "inv.violation": Chronicle._wrong,
    "mark": Chronicle._marks,
    "pool.get": Chronicle._item,
    "pool.put": Chronicle._item,
    "pmap.table": Chronicle._item,
}


def chronicle(records: Iterable[Record]) -> Chronicle:
    """All of a log, told."""
    found = Chronicle()
    for record in records:
        found.feed(record)
    return found
