"""What lasts longer than an event: a lock held, a thread asleep, a CPU that spins, a fault.

Fed with the records of a log in order, this pairs each beginning with its end. A span
goes from the step in which it began to the one in which it ended: a mutex entered and
left in one step is held for 0 steps, and nobody could get in.

A CPU *spins* while it stands at a mutex and another holds that, and in no other step: nothing
says when it comes to a mutex, so the holds of all others since its last step are looked through
when it has it. It is *asleep* until it is woken (or, on a lock, until a release lets it try
again). At any other operation that had to wait for something (its record has a ``cause``) it is
*stuck* until that was done; of that the log only tells since when it was there.

Whoever spins or is stuck says so when it goes on; who never does is named by ``run.end``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from kmodel.log.holds import Holds
from kmodel.log.record import END, Record
from kmodel.log.span import Kind, Span
from kmodel.log.waker import Waker, Wakers


class Spans:
    """Everything that is going on at the present record. ``last`` is each CPU's last step;
    ``wakers`` know who let whom go, ``waker`` who did so to the thread of the last record."""

    def __init__(self) -> None:
        self._open: dict[tuple[Kind, int, str], Span] = {}
        self._now: dict[tuple[Kind, int], Span] = {}
        self.last: dict[int, int] = {}
        self.wakers = Wakers()
        self.waker: Waker | None = None
        self._before: dict[int, int] = {}
        self._tasks: dict[str, int] = {}
        self._queued: dict[int, Record] = {}
        self._held: dict[str, Holds] = {}
        self._released: dict[str, int] = {}

    def feed(self, record: Record) -> list[Span]:
        """Take the next record; return the spans that it ends."""
        cpu, self.waker = record.cpu, self.wakers.feed(record)
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
        for (kind, cpu), span in self._now.items():
            woken = self.wakers.woken(cpu) if kind == "sleep" else None
            if woken is not None:
                span.let_go(woken.step)
        return sorted([*self._open.values(), *self._now.values()], key=lambda span: span.began)

    def _hold(self, record: Record, obj: str) -> None:
        span = _span("hold", record, obj)
        self._open["hold", span.cpu, obj] = span

    def _release(self, record: Record, obj: str) -> Span | None:
        span = _end(self._open.pop(("hold", record.cpu or 0, obj), None), record)
        if span is not None and span.write is None:
            self._held.setdefault(obj, Holds()).add(span.since, record.step)
        elif span is not None:
            self._released[obj] = record.step
        return span

    def _gone_on(self, record: Record, cpu: int) -> Span:
        """What kept a thread, where nothing was said when it began."""
        reached, place = self._before[cpu], _place(record.event, record.obj)
        if record.event == "mutex.enter":
            span = self._spin(record, place, reached)
        else:
            span = _span("stuck", record, place)
            span.since, span.kept = reached, [(reached + 1, record.step)]
            if self.waker is not None:
                span.let_go(self.waker.step)
        _end(span, record)
        return span

    def _spin(self, record: Record, mutex: str, reached: int) -> Span:
        """Of who stood at ``mutex`` since step ``reached`` and has it now."""
        span = _span("spin", record, mutex)
        # where the log does not know who held it, nothing better is known than where it stood
        span.kept = self._stretches(mutex, reached) or [(reached + 1, record.step)]
        span.since = span.kept[0][0] - 1
        return span

    def _stretches(self, mutex: str, reached: int) -> list[tuple[int, int | None]]:
        holds = self._held.get(mutex)
        return holds.after(reached) if holds else []

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
            self._now[kind, cpu] = self._kept(kind, cpu, name, _place(event, obj), end)
        if said:
            self._ready(set(words[::2]))

    def _kept(self, kind: Kind, cpu: int, name: str, place: str, end: Record) -> Span:
        """Where a CPU is for ever."""
        span = Span(kind, cpu, name, place, self.last[cpu], end.seq)
        if kind == "spin":
            span.kept = self._stretches(place, span.since)
            held = [one.since for one in self.holders(place) if one.cpu != cpu]
            span.kept += [(max(span.since, *held) + 1, None)] if held else []
        span.kept = span.kept or [(span.since + 1, None)]
        span.since = span.kept[0][0] - 1
        return span

    def _ready(self, unable: set[str]) -> None:
        """Who is asleep on a lock where a run hangs, and could go: a release has woken it."""
        for (kind, _), span in self._now.items():
            freed = self._released.get(span.obj)
            if kind == "wait" and span.task not in unable and freed is not None:
                span.let_go(freed)

    def _begin(self, kind: Kind, record: Record) -> None:
        span = self._now.setdefault((kind, record.cpu or 0), _span(kind, record, str(record.obj)))
        if kind == "fault":
            return
        if span.began != record.seq:
            self._wake(span, record.step)
            span.tried.append(record.step)
        span.kept.append((record.step + 1, None))

    def _end(self, kind: Kind, record: Record) -> Span | None:
        span = self._now.pop((kind, record.cpu or 0), None)
        if span is not None and kind != "fault":
            self._wake(span, record.step)
        return _end(span, record)

    def _wake(self, span: Span, now: int) -> None:
        """It goes on: let go by whom the record names, or else nobody knows when."""
        if self.waker is not None:
            span.let_go(self.waker.step)
        elif span.kept[-1][1] is None:
            span.let_go(now - 1)

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
            span = self._now["sleep", record.cpu or 0]
            span.kept[-1] = record.step + 1, None
            span.tried.append(record.step)

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
        slept = self._end("sleep", record)
        yield slept
        if "mutex" in record.fields:
            mutex = str(record.fields["mutex"])
            if self.waker is not None and self._stretches(mutex, self.waker.step):
                # it was woken, and the interlock was still held
                spun = self._spin(record, mutex, self.waker.step)
                if slept is not None:
                    slept.then = spun.kept[0][0]
                yield _end(spun, record)
            self._hold(record, mutex)

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
