"""What lasts longer than an event: a lock held, a thread asleep, a CPU that spins, a fault.

Fed with the records of a log in order, this pairs each beginning with its end. A span
goes from the step in which it began to the one in which it ended: a mutex entered and
left in one step is held for 0 steps, and nobody could get in.

A CPU *spins* from where it reaches a mutex to where it has it, if it was ever in the way
of somebody (the record has a ``cause``). It is *asleep* until it runs again, so also
while it has been woken and was not yet chosen.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

import attrs

from kmodel.log.record import Record

Kind = Literal["hold", "wait", "sleep", "spin", "fault"]

WAITS: Final = ("wait", "sleep", "spin")
"""Kinds of span in which the thread cannot go on: asleep on a lock, asleep on a channel,
spinning for a mutex."""


@attrs.define
class Span:
    """``obj`` is the lock, the channel or the process; ``va`` is a fault's address.

    ``until`` is ``None`` while the span is open. ``write`` is how a sleeping lock is held
    or wanted (``None``: a mutex). ``began`` and ``ended`` are the ``seq`` of its records.
    """

    kind: Kind
    cpu: int
    task: str
    obj: str
    since: int
    began: int
    until: int | None = None
    ended: int | None = None
    write: bool | None = None
    va: str | None = None

    def steps(self, now: int) -> int:
        """How long it lasted; one that is open, until step ``now``."""
        return (now if self.until is None else self.until) - self.since


class Spans:
    """Everything that is going on at the present record. ``last`` is each CPU's last step."""

    def __init__(self) -> None:
        self._open: dict[tuple[Kind, int, str], Span] = {}
        self._now: dict[tuple[Kind, int], Span] = {}
        self.last: dict[int, int] = {}
        self._before: dict[int, int] = {}

    def feed(self, record: Record) -> list[Span]:
        """Take the next record; return the spans that it ends."""
        cpu = record.cpu
        if cpu is None:
            return []
        if self.last.get(cpu) != record.step:
            self._before[cpu] = self.last.get(cpu, record.step)
            self.last[cpu] = record.step
        take = _TAKES.get(record.event)
        return list(filter(None, take(self, record))) if take else []

    def waiting(self, cpu: int) -> Span | None:
        """What keeps ``cpu`` asleep just now."""
        return self._now.get(("wait", cpu)) or self._now.get(("sleep", cpu))

    def fault(self, cpu: int) -> Span | None:
        """The fault that ``cpu`` is in."""
        return self._now.get(("fault", cpu))

    def holders(self, obj: str) -> list[Span]:
        """Who holds lock ``obj`` just now, in the order in which they took it."""
        return [span for span in self._open.values() if span.kind == "hold" and span.obj == obj]

    def open(self) -> list[Span]:
        """All that has begun and not ended, in the order in which it began."""
        return sorted([*self._open.values(), *self._now.values()], key=lambda span: span.began)

    def _hold(self, record: Record, obj: str) -> None:
        span = _span("hold", record, obj)
        self._open["hold", span.cpu, obj] = span

    def _release(self, record: Record, obj: str) -> Span | None:
        return _end(self._open.pop(("hold", record.cpu or 0, obj), None), record)

    def _begin(self, kind: Kind, record: Record) -> None:
        span = _span(kind, record, str(record.obj))
        self._now.setdefault((kind, span.cpu), span)

    def _end(self, kind: Kind, record: Record) -> Span | None:
        return _end(self._now.pop((kind, record.cpu or 0), None), record)

    def _mutex(self, record: Record) -> Iterator[Span | None]:
        if record.event == "mutex.enter" and record.cause is not None:
            span = _span("spin", record, str(record.obj))
            span.since = self._before[span.cpu]
            yield _end(span, record)
        if record.result is not False:
            self._hold(record, str(record.obj))

    def _lock(self, record: Record) -> Iterator[Span | None]:
        if record.result:
            self._hold(record, str(record.obj))
            yield self._end("wait", record)
        elif record.event != "lock.try":
            self._begin("wait", record)

    def _leave(self, record: Record) -> Iterator[Span | None]:
        yield self._release(record, str(record.obj))

    def _sleep(self, record: Record) -> Iterator[Span | None]:
        self._begin("sleep", record)
        mutex = str(record.fields.get("mutex"))
        held = self._open.get(("hold", record.cpu or 0, mutex))
        if held is not None and held.write is None:
            # rwsleep: a sleeping lock is let go after this, by a release of its own
            yield self._release(record, mutex)

    def _woken(self, record: Record) -> Iterator[Span | None]:
        yield self._end("sleep", record)
        if "mutex" in record.fields:
            self._hold(record, str(record.fields["mutex"]))

    def _fault(self, record: Record) -> Iterator[Span | None]:
        yield self._end("fault", record)
        if record.event == "fault.begin":
            self._begin("fault", record)


_TAKES: Final = {
    "mutex.enter": Spans._mutex,
    "mutex.try": Spans._mutex,
    "mutex.leave": Spans._leave,
    "lock.acquire": Spans._lock,
    "lock.contended": Spans._lock,
    "lock.try": Spans._lock,
    "lock.release": Spans._leave,
    "chan.sleep": Spans._sleep,
    "chan.woken": Spans._woken,
    "fault.begin": Spans._fault,
    "fault.end": Spans._fault,
}
"""Event -> what it begins and ends."""


def _span(kind: Kind, record: Record, obj: str) -> Span:
    cpu, write, va = record.cpu or 0, record.fields.get("write"), record.fields.get("va")
    task = record.task or f"cpu {cpu}"
    return Span(kind, cpu, task, obj, record.step, record.seq, write=write, va=va)


def _end(span: Span | None, record: Record) -> Span | None:
    if span is not None:
        span.until, span.ended = record.step, record.seq
    return span
