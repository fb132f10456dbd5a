"""What lasts longer than an event: a lock held, a thread asleep, a CPU that spins, a fault.

Fed with the records of a log in order, this pairs each beginning with its end. A span
goes from the step in which it began to the one in which it ended: a mutex entered and
left in one step is held for 0 steps, and nobody could get in.

A CPU *spins* from where it stands at a mutex that another holds to where it has it: one
that was free when it came there is not waited for before another takes it. It is *asleep*
until it runs again, so also while it has been woken and was not yet chosen. At any other
operation that had to wait for something (its record has a ``cause``) it is *stuck*; of
that the log only tells since when it was there.

Whoever spins or is stuck says so when it goes on; who never does is named by ``run.end``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, Literal

import attrs

from kmodel.log.record import END, Record

Kind = Literal["hold", "wait", "sleep", "spin", "stuck", "fault"]

DOES: Final[dict[Kind, str]] = {
    "wait": "asleep on",
    "sleep": "asleep on",
    "spin": "spins for",
    "stuck": "stuck at",
}
"""Kinds of span in which the thread cannot go on, in words."""


@attrs.define
class Span:
    """``obj`` is the lock, the channel or the process, or where a thread is stuck the operation
    and what it is on; ``va`` is a fault's address.

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
        self._tasks: dict[str, int] = {}
        self._barred: dict[str, dict[int, int]] = {}
        self._queued: dict[int, Record] = {}

    def feed(self, record: Record) -> list[Span]:
        """Take the next record; return the spans that it ends."""
        cpu = record.cpu
        if cpu is None:
            self._stay(record)
            return []
        if self.last.get(cpu) != record.step:
            self._before[cpu] = self.last.get(cpu, record.step)
            self.last[cpu] = record.step
            self._tasks[record.task or f"cpu {cpu}"] = cpu
        take = _TAKES.get(record.event)
        ended = list(filter(None, take(self, record))) if take else []
        if record.cause is not None and record.event not in _GO_ON:
            ended.append(self._gone_on(record, cpu))
        return ended

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
        span = _end(self._open.pop(("hold", record.cpu or 0, obj), None), record)
        if span is not None and span.write is None and span.steps(0):
            self._bar(span)
        return span

    def _bar(self, held: Span) -> None:
        """Notes since when each CPU, if it stands at this mutex, could not have had it."""
        barred = self._barred.setdefault(held.obj, {})
        for cpu, last in self.last.items():
            if cpu != held.cpu and barred.get(cpu, -1) < last:
                barred[cpu] = max(held.since, last)

    def _gone_on(self, record: Record, cpu: int) -> Span:
        """What kept a thread, where nothing was said when it began."""
        reached = self._before[cpu]
        spins = record.event == "mutex.enter"
        span = _span("spin" if spins else "stuck", record, _place(record.event, record.obj))
        # where the log does not know who held it, nothing better is known than where it stood
        barred = self._barred.get(span.obj, {}).get(cpu, -1) if spins else -1
        span.since = barred if barred >= reached else reached
        _end(span, record)
        return span

    def _stay(self, end: Record) -> None:
        """The run is over: who spins or is stuck, and is never let go."""
        said = end.fields.get("waiting")
        if end.event != END or not isinstance(said, str) or not self._tasks:
            return
        # a long name may begin like a short one
        names = "|".join(map(re.escape, sorted(self._tasks, key=len, reverse=True)))
        _, *words = re.split(rf"(?:^|, )({names}) at ", said)
        for name, place in zip(words[::2], words[1::2]):
            event, _, obj = place.partition(" ")
            cpu = self._tasks[name]
            if event in _GO_ON or self.waiting(cpu):
                continue
            kind: Kind = "spin" if event == "mutex.enter" else "stuck"
            span = Span(kind, cpu, name, _place(event, obj), self.last[cpu], end.seq)
            if kind == "spin":
                for held in [one for one in self._open.values() if one.obj == span.obj]:
                    self._bar(held)
                span.since = max(self._barred.get(span.obj, {}).get(cpu, -1), span.since)
            self._now[kind, cpu] = span

    def _begin(self, kind: Kind, record: Record) -> None:
        span = _span(kind, record, str(record.obj))
        self._now.setdefault((kind, span.cpu), span)

    def _end(self, kind: Kind, record: Record) -> Span | None:
        return _end(self._now.pop((kind, record.cpu or 0), None), record)

    def _mutex(self, record: Record) -> Iterator[Span | None]:
        if record.result is not False:
            self._hold(record, str(record.obj))
        return iter(())

    def _lock(self, record: Record) -> Iterator[Span | None]:
        if record.result:
            self._hold(record, str(record.obj))
            yield self._end("wait", record)
        elif record.event != "lock.try":
            self._begin("wait", record)

    def _leave(self, record: Record) -> Iterator[Span | None]:
        yield self._release(record, str(record.obj))
        queued = self._queued.get(record.cpu or 0)
        if queued is not None and queued.fields.get("mutex") == record.obj:
            self._begin("sleep", self._queued.pop(record.cpu or 0))

    def _sleep(self, record: Record) -> Iterator[Span | None]:
        mutex = str(record.fields.get("mutex"))
        held = self._open.get(("hold", record.cpu or 0, mutex))
        if held is not None and held.write is not None:
            # rwsleep: on the queue already, and asleep once a release has let the lock go
            self._queued[record.cpu or 0] = record
            return
        self._begin("sleep", record)
        if held is not None:
            yield self._release(record, mutex)

    def _changes(self, record: Record) -> Iterator[Span | None]:
        """From reader to writer, or back: it is another hold."""
        if record.result is not False:
            yield self._release(record, str(record.obj))
            self._hold(record, str(record.obj))
            held = self._open["hold", record.cpu or 0, str(record.obj)]
            held.write = record.event == "lock.upgrade"

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
    "lock.upgrade": Spans._changes,
    "lock.downgrade": Spans._changes,
    "lock.release": Spans._leave,
    "chan.sleep": Spans._sleep,
    "chan.woken": Spans._woken,
    "fault.begin": Spans._fault,
    "fault.end": Spans._fault,
}
"""Event -> what it begins and ends."""

_GO_ON: Final = ("lock.contended", "chan.woken")
"""Who goes on with one of these said when it fell asleep."""


def _place(event: str, obj: object) -> str:
    """A mutex is its name; anything else is told with what is done to it."""
    return str(obj) if event == "mutex.enter" else f"{event} {obj or ''}".rstrip()


def _span(kind: Kind, record: Record, obj: str) -> Span:
    cpu, write, va = record.cpu or 0, record.fields.get("write"), record.fields.get("va")
    task = record.task or f"cpu {cpu}"
    return Span(kind, cpu, task, obj, record.step, record.seq, write=write, va=va)


def _end(span: Span | None, record: Record) -> Span | None:
    if span is not None:
        span.until, span.ended = record.step, record.seq
    return span
