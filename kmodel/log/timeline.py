"""A stretch of a run as a picture has it: bars, marks and arrows, with nothing drawn yet.

A window of steps is kept and no more, so that a log of a million events takes no more memory
than one of ten; the whole log is read, because a lock may have been taken long before.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

import attrs

from kmodel.log.loop import Loop
from kmodel.log.record import END, Record
from kmodel.log.span import DOES, Part, Span
from kmodel.log.spans import Spans
from kmodel.log.tables import Tables
from kmodel.log.waker import Waker

STEPS: Final = 200
"""Steps of a window, if nobody says how many."""

Kind = Literal["refused", "failed", "restart", "wrong"]

_FAILED: Final = ("pool.fail", "pmap.fail", "page.fail", "kva.fail")


@attrs.frozen
class Mark:
    """Something went wrong for ``cpu``: a try was refused, an allocation failed, a fault began
    anew, a check failed."""

    kind: Kind
    step: int
    cpu: int
    text: str


@attrs.frozen
class Arrow:
    """What ``giver`` did in step ``since`` let ``taker`` go, who did so in step ``until``:
    a wakeup, or a release of what it waited for; ``text`` is of what."""

    since: int
    giver: int
    until: int
    taker: int
    text: str


@attrs.define
class Timeline:
    """The steps from ``first`` up to and without ``stop`` of a run that has ``steps``.

    ``spans`` may begin before and end after; ``turns`` is who stepped; ``before`` is what the
    pools and page tables were like when the window opened, ``tables`` how that changed.
    ``hangs`` if ``run.end`` says of somebody that he waits; ``loop`` is what goes round for
    ever, if the run got there.
    """

    tasks: tuple[str, ...]
    first: int
    stop: int
    steps: int = 0
    spans: list[Span] = attrs.field(factory=list)
    marks: list[Mark] = attrs.field(factory=list)
    arrows: list[Arrow] = attrs.field(factory=list)
    turns: dict[int, int] = attrs.field(factory=dict)
    records: list[Record] = attrs.field(factory=list)
    before: dict[str, str] = attrs.field(factory=dict)
    tables: list[tuple[int, str, str]] = attrs.field(factory=list)
    ended: dict[int, int] = attrs.field(factory=dict)
    hangs: bool = False
    loop: Loop | None = None

    @property
    def whole(self) -> bool:
        """Is this all of the run?"""
        return self.first == 0 and self.stop >= self.steps

    def last(self) -> int:
        """The last step of the window that there is."""
        return min(self.stop, self.steps) - 1

    def bars(self, cpu: int) -> list[Span]:
        """What ``cpu`` held for longer than a step, in the order in which it took it."""
        mine = [span for span in self.spans if span.cpu == cpu and span.kind == "hold"]
        return sorted((s for s in mine if s.until != s.since), key=lambda span: span.began)

    def rests(self, cpu: int) -> list[Span]:
        """Where ``cpu`` could not go on (asleep, spinning, stuck), or could and was not chosen."""
        return [s for s in self.spans if s.cpu == cpu and s.kind in DOES]

    def parts(self, span: Span) -> list[Part]:
        """Those of a span's stretches, kept or ready, that are in the window."""
        return [
            (kept, max(since, self.first), min(until, self.last() + 1))
            for kept, since, until in span.parts(self.steps)
            if since <= self.last() and until > self.first
        ]

    def kept(self) -> dict[int, Span]:
        """By CPU, what kept it where the run hangs, if that is in the window."""
        if not self.hangs or self.stop < self.steps:
            return {}
        still = [s for s in self.spans if s.kind in DOES and s.until is None]
        return {s.cpu: s for s in still if s.ready_since is None}


def timeline(
    records: Iterable[Record],
    tasks: tuple[str, ...],
    pools: dict[str, int],
    since: int = 0,
    until: int | None = None,
    loop: Loop | None = None,
) -> Timeline:
    """The window from step ``since`` to ``until``, both included, or ``STEPS`` of them."""
    stop = since + STEPS if until is None else until + 1
    found = Timeline(tasks, since, stop)
    spans, tables = Spans(), Tables(pools)
    for record in records:
        found.steps = max(found.steps, record.step + (record.cpu is not None))
        if record.cpu is not None and not 0 <= record.cpu < len(tasks):
            # kmodel did not write that
            continue
        found.spans += [s for s in spans.feed(record) if _inside(s, since, stop)]
        if record.event == END:
            found.hangs = bool(record.fields.get("waiting"))
        if record.step < since:
            tables.feed(record)
        elif record.step < stop:
            if not found.records:
                found.before = dict(tables.known)
            found.records.append(record)
            found.tables += [(record.step, *change) for change in tables.feed(record)]
            _note(found, record, spans.waker)
    found.spans += [s for s in spans.open() if _inside(s, since, stop)]
    found.loop = loop if loop and loop.stop <= found.steps else None
    found.spans.sort(key=lambda span: span.began)
    return found


def _inside(span: Span, since: int, stop: int) -> bool:
    return span.since < stop and (span.until is None or span.until >= since)


def _note(found: Timeline, record: Record, waker: Waker | None) -> None:
    if record.cpu is None:
        return
    found.turns[record.step] = record.cpu
    if record.event == "task.end":
        found.ended[record.cpu] = record.step
    kind = kind_of(record)
    if kind:
        found.marks.append(Mark(kind, record.step, record.cpu, _reason(record)))
    if waker is not None and waker.step >= found.first and waker.cpu < len(found.tasks):
        text = str(record.obj or record.event)
        found.arrows.append(Arrow(waker.step, waker.cpu, record.step, record.cpu, text))


def kind_of(record: Record) -> Kind | None:
    """What went wrong in a record, if anything did."""
    if record.event == "inv.violation":
        return "wrong"
    if record.event == "fault.restart":
        return "restart"
    if record.event in _FAILED:
        return "failed"
    tried = record.event in ("lock.try", "lock.upgrade", "mutex.try")
    return "refused" if tried and record.result is False else None


def _reason(record: Record) -> str:
    fields = record.fields
    why = fields.get("text") or fields.get("why") or fields.get("error") or fields.get("va") or ""
    return f"{record.event} {record.obj or ''} {why}".replace("  ", " ").strip()
