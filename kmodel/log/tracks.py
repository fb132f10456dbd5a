"""A run as trace viewers want it: slices, instants and counters on tracks, and flows.

A step is a microsecond. Tracks: each CPU (its turns, and in between what kept it, and where
it was woken and others were chosen), its faults, the locks that it holds (one above the
other), and counters of how many hold or want a lock and how many items of a pool are out. A
flow leads from what let somebody go to its next turn.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, Literal

import attrs

from kmodel.log.loop import Loop
from kmodel.log.record import Record
from kmodel.log.span import DOES, Span
from kmodel.log.spans import Spans
from kmodel.log.timeline import kind_of

Group = Literal["CPUs", "Faults", "Locks held"]


@attrs.frozen
class Track:
    """``row`` tells tracks of one CPU and group apart."""

    group: Group
    cpu: int
    row: int = 0


THE_LOOP: Final = Track("CPUs", -1)
"""Above those of the CPUs."""


@attrs.frozen
class Slice:
    """``ends`` are the flows that end here."""

    track: Track
    since: int
    until: int
    name: str
    args: dict[str, Any]
    ends: tuple[int, ...] = ()


@attrs.frozen
class Instant:
    """``begins`` is the flow that begins here, if one does."""

    track: Track
    step: int
    name: str
    args: dict[str, Any]
    begins: int | None = None


@attrs.frozen
class Count:
    name: str
    step: int
    value: int


Item = Slice | Instant | Count


def tracks(
    records: Iterable[Record], pools: dict[str, int], loop: Loop | None = None
) -> Iterator[Item]:
    """Everything to draw, by when it ended; nothing is kept that is over."""
    return _Tracks(pools, loop).items(records)


class _Tracks:
    def __init__(self, pools: dict[str, int], loop: Loop | None) -> None:
        self._loop = loop
        self._out = dict(pools)
        self._spans = Spans()
        self._turn: dict[int, tuple[int, int, list[str], list[int]]] = {}
        self._rows: dict[tuple[int, str], int] = {}
        self._users: dict[str, tuple[int, int]] = {}
        self._flows = 0

    def items(self, records: Iterable[Record]) -> Iterator[Item]:
        for name, out in self._out.items():
            yield Count(f"{name} out", 0, out)
        last = 0
        for record in records:
            if record.cpu is None:
                self._spans.feed(record)
            else:
                last = record.step
                yield from self._record(record, record.cpu)
        for cpu in sorted(self._turn):
            yield self._turned(cpu)
        if self._loop is not None and self._loop.stop <= last + 1:
            name, args = "goes round for ever", {"step": self._loop.first}
            yield Slice(THE_LOOP, self._loop.first, self._loop.stop, name, args)
        for span in self._spans.open():
            # whoever is stuck where the run ends has at least a step to be seen in
            kept = span.kind in DOES and span.ready_since is None
            yield from self._span(span, last + (2 if kept else 1))

    def _record(self, record: Record, cpu: int) -> Iterator[Item]:
        turn = self._turn.get(cpu)
        if turn is not None and turn[1] < record.step - 1:
            yield self._turned(cpu)
            turn = None
        first, said, flows = (record.step, [], []) if turn is None else (turn[0], *turn[2:])
        if len(said) < 12:
            said.append(f"{record.event} {record.obj or ''}".rstrip())
        self._turn[cpu] = first, record.step, said, flows
        before = self._users.get(str(record.obj))
        ended = self._spans.feed(record)
        yield from self._flow(record, flows)
        for span in ended:
            yield from self._span(span, record.step)
        yield from self._counted(record, before)
        if kind := kind_of(record):
            args = {"step": record.step, "seq": record.seq} | record.fields
            name = f"{kind}: {record.event} {record.obj or ''}".rstrip()
            yield Instant(Track("CPUs", cpu), record.step, name, args)

    def _turned(self, cpu: int) -> Slice:
        first, last, said, flows = self._turn.pop(cpu)
        args = {"step": first, "events": ", ".join(said)}
        return Slice(Track("CPUs", cpu), first, last + 1, said[0], args, tuple(flows))

    def _flow(self, record: Record, flows: list[int]) -> Iterator[Item]:
        waker = self._spans.waker
        if waker is not None:
            self._flows += 1
            flows.append(self._flows)
            args = {"step": waker.step, "to step": record.step, "seq": waker.seq}
            name = f"lets {record.task} go"
            yield Instant(Track("CPUs", waker.cpu), waker.step, name, args, self._flows)

    def _span(self, span: Span, now: int) -> Iterator[Item]:
        """A span that is over, or still open at the end."""
        until = now if span.until is None else span.until
        args = {"step": span.since, "steps": until - span.since, "obj": span.obj}
        if span.kind == "hold":
            row = self._rows.pop((span.cpu, span.obj), 0)
            if until > span.since:
                yield Slice(Track("Locks held", span.cpu, row), span.since, until, span.obj, args)
        elif span.kind == "fault":
            yield Slice(Track("Faults", span.cpu), span.since, until, f"fault {span.va}", args)
        else:
            for kept, first, stop in span.parts(now):
                if kept or span.kind != "spin":
                    name = f"{DOES[span.kind]} {span.obj}" if kept else "ready, not chosen"
                    args = {"step": first, "steps": stop - first, "obj": span.obj}
                    yield Slice(Track("CPUs", span.cpu), first, stop, name, args)

    def _counted(self, record: Record, before: tuple[int, int] | None) -> Iterator[Item]:
        obj = str(record.obj)
        if record.event in ("pool.get", "pool.put"):
            self._out[obj] = self._out.get(obj, 0) + (1 if record.event == "pool.get" else -1)
            yield Count(f"{obj} out", record.step, self._out[obj])
            return
        if not record.event.startswith(("lock.", "mutex.", "chan.")):
            return
        self._take_rows(record)
        if not record.event.startswith("lock."):
            # a mutex is held for a step or two: its slices show that better
            return
        open_spans = [span for span in self._spans.open() if span.obj == obj]
        holds = sum(span.kind == "hold" for span in open_spans)
        now = holds, len(open_spans) - holds
        if now != before:
            self._users[obj] = now
            yield Count(f"{obj} holders", record.step, now[0])
            if before is None or now[1] != before[1]:
                yield Count(f"{obj} waiting", record.step, now[1])

    def _take_rows(self, record: Record) -> None:
        """A row for each lock that was taken just now: the lowest that is free."""
        for span in self._spans.open():
            key = span.cpu, span.obj
            if span.kind == "hold" and span.began == record.seq and key not in self._rows:
                used = {row for (cpu, _), row in self._rows.items() if cpu == span.cpu}
                self._rows[key] = next(row for row in range(len(used) + 1) if row not in used)
