"""A run in numbers, from its log alone: per lock, per pool, per fault, per CPU.

::

    stats = Stats(log.tasks, log.pools)
    for record in log:
        stats.add(record)
    stats.close(log.end)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import attrs

from kmodel.log.record import Record
from kmodel.log.span import DOES, Kind, Span
from kmodel.log.spans import Spans


@attrs.frozen
class Longest:
    """The longest span of its kind: of which thread, from which step on; ``open`` if the
    log ends before it does."""

    steps: int
    task: str
    since: int
    open: bool


@attrs.define
class Lock:
    """A mutex or a sleeping lock. ``contended``: had to sleep or spin for it; ``refused``:
    tries that failed. A wait for a sleeping lock counts from the first refusal to having it,
    one for a mutex has only the steps in which another held it."""

    name: str
    acquired: int = 0
    contended: int = 0
    refused: int = 0
    longest_hold: Longest | None = None
    longest_wait: Longest | None = None


@attrs.define
class Pool:
    """``failed`` and ``waited`` are by cause. ``out`` counts items that have been handed
    out and not given back, ``high`` is the most at once."""

    name: str
    out: int
    high: int
    gets: int = 0
    puts: int = 0
    failed: Counter[str] = attrs.field(factory=Counter)
    waited: Counter[str] = attrs.field(factory=Counter)


@attrs.define
class Fault:
    """``waited`` is in steps in which it could not go, by what it waited for. ``error`` is
    ``None`` if the log ends before the fault does."""

    task: str
    space: str
    va: str
    since: int
    steps: int = 0
    refaults: int = 0
    failed: Counter[str] = attrs.field(factory=Counter)
    waited: Counter[str] = attrs.field(factory=Counter)
    error: int | None = None


@attrs.define
class Cpu:
    """Steps of the run as one CPU spent them: ``busy`` are its own; ``ready`` it could have
    stepped, and others did (before it began, once it was woken, at a mutex that is free);
    ``stuck`` at an operation that could not go and is no lock and no sleep."""

    task: str
    busy: int = 0
    asleep: int = 0
    spinning: int = 0
    ready: int = 0
    ended: int = 0
    refused: int = 0
    stuck: int = 0


@attrs.frozen
class Kept:
    """Where a run went wrong at its end: a thread that does not go on, and why."""

    task: str
    kind: Kind
    obj: str
    since: int


class Stats:
    """The numbers so far. ``close`` ends what is open."""

    def __init__(self, tasks: tuple[str, ...], pools: Mapping[str, int]) -> None:
        self.steps = self.events = 0
        self.outcome: str | None = None
        self.locks: dict[str, Lock] = {}
        self.pools = {name: Pool(name, out, out) for name, out in pools.items()}
        self.faults: list[Fault] = []
        self.kept: list[Kept] = []
        self.cpus = {index: Cpu(name) for index, name in enumerate(tasks)}
        self._in_fault: dict[int, Fault] = {}
        self._spans = Spans()

    def add(self, record: Record) -> None:
        """Count one record; they come in order."""
        self.events += 1
        self.steps = max(self.steps, record.step + (record.cpu is not None))
        cpu = record.cpu
        last = -1 if cpu is None else self._spans.last.get(cpu, -1)
        waiting = None if cpu is None else self._spans.waiting(cpu)
        ended = self._spans.feed(record)
        if cpu is None:
            return
        for span in ended:
            self._ended(span, record.step)
        if last != record.step:
            self._cpu(record).busy += 1
            if waiting is not None and waiting.until is None:
                # it was refused again
                ended.append(waiting)
            self._pass(self._cpu(record), last, record.step, ended)
        count = _COUNTS.get(record.event)
        if count:
            count(self, record)

    def close(self, end: Record | None) -> None:
        """The log is over; ``end`` is its ``run.end``, if it has one."""
        self.outcome = str(end.fields.get("outcome")) if end else None
        hangs = end is not None and bool(end.fields.get("waiting"))
        still = self._spans.open()
        for cpu, stats in self.cpus.items():
            last = self._spans.last.get(cpu, -1)
            if stats.ended:
                stats.ended = self.steps - last - 1
            else:
                mine = [span for span in still if span.cpu == cpu]
                self._pass(stats, last, self.steps, mine)
        for span in still:
            self._ended(span, self.steps)
            # of a leak or a panic nobody says who waits: an idle daemon does, and does no harm
            if hangs and span.kind in DOES and span.ready_since is None:
                self.kept.append(Kept(span.task, span.kind, span.obj, span.since))

    def document(self) -> dict[str, Any]:
        """The numbers as JSON values."""
        return {
            "outcome": self.outcome,
            "steps": self.steps,
            "events": self.events,
            "locks": [attrs.asdict(lock) for lock in self.worst_locks()],
            "pools": [attrs.asdict(pool) for pool in self.pools.values()],
            "faults": [attrs.asdict(fault) for fault in self.faults],
            "cpus": [attrs.asdict(cpu) for cpu in self.cpus.values()],
            "kept": [attrs.asdict(one) for one in self.kept],
        }

    def worst_locks(self) -> list[Lock]:
        """Those that kept somebody waiting longest first."""

        def badness(lock: Lock) -> tuple[Any, ...]:
            waited = lock.longest_wait.steps if lock.longest_wait else 0
            return -waited, -lock.refused, -lock.acquired, lock.name

        return sorted(self.locks.values(), key=badness)

    @staticmethod
    def _pass(cpu: Cpu, last: int, now: int, spans: list[Span]) -> None:
        """The steps between the CPU's last one and ``now``; ``spans`` tell what kept it."""
        cpu.ready += now - last - 1
        for span in spans:
            if span.kind in DOES:
                kept = span.kept_within(last + 1, now)
                cpu.ready -= kept
                cpu.spinning += kept if span.kind == "spin" else 0
                cpu.stuck += kept if span.kind == "stuck" else 0
                cpu.asleep += kept if span.kind in ("wait", "sleep") else 0

    def _cpu(self, record: Record) -> Cpu:
        assert record.cpu is not None
        return self.cpus.setdefault(record.cpu, Cpu(record.task or f"cpu {record.cpu}"))

    def _lock(self, name: str) -> Lock:
        return self.locks.setdefault(name, Lock(name))

    def _pool(self, name: str) -> Pool:
        return self.pools.setdefault(name, Pool(name, 0, 0))

    def _ended(self, span: Span, now: int) -> None:
        found = Longest(span.steps(now), span.task, span.since, span.until is None)
        if span.kind == "hold":
            lock = self._lock(span.obj)
            lock.longest_hold = _longer(lock.longest_hold, found)
        elif span.kind in ("wait", "spin"):
            lock = self._lock(span.obj)
            lock.longest_wait = _longer(lock.longest_wait, found)
            lock.contended += span.kind == "spin"
        fault = self._in_fault.get(span.cpu)
        if fault is None:
            return
        if span.kind in DOES and span.since >= fault.since:
            fault.waited[span.obj] += span.kept_within(0, now)
        elif span.kind == "fault":
            fault.steps = found.steps

    def _takes(self, record: Record) -> None:
        lock = self._lock(str(record.obj))
        trying = record.event in ("lock.try", "mutex.try")
        if record.result is not False:
            lock.acquired += 1
        elif trying:
            lock.refused += 1
            self._cpu(record).refused += 1
        elif record.event == "lock.acquire":
            lock.contended += 1

    def _woken(self, record: Record) -> None:
        if "mutex" in record.fields:
            self._lock(str(record.fields["mutex"])).acquired += 1

    def _get(self, record: Record) -> None:
        pool = self._pool(str(record.obj))
        pool.gets, pool.out = pool.gets + 1, pool.out + 1
        pool.high = max(pool.high, pool.out)

    def _put(self, record: Record) -> None:
        pool = self._pool(str(record.obj))
        pool.puts, pool.out = pool.puts + 1, pool.out - 1

    def _fail(self, record: Record) -> None:
        why = str(record.fields.get("why"))
        self._pool(str(record.obj)).failed[why] += 1
        fault = self._in_fault.get(record.cpu or 0)
        if fault:
            fault.failed[f"{record.obj}: {why}"] += 1

    def _wait(self, record: Record) -> None:
        self._pool(str(record.obj)).waited[str(record.fields.get("why"))] += 1

    def _fault(self, record: Record) -> None:
        cpu = record.cpu or 0
        if record.event == "fault.begin":
            va = str(record.fields.get("va"))
            fault = Fault(self._cpu(record).task, str(record.obj), va, record.step)
            self._in_fault[cpu] = fault
            self.faults.append(fault)
        elif cpu in self._in_fault and record.event == "fault.restart":
            self._in_fault[cpu].refaults += 1
        elif cpu in self._in_fault:
            self._in_fault.pop(cpu).error = record.fields.get("error")

    def _done(self, record: Record) -> None:
        # how many steps that is will be known at the end
        self._cpu(record).ended = 1


_COUNTS = {
    **dict.fromkeys(
        ("lock.acquire", "lock.contended", "lock.try", "mutex.enter", "mutex.try"), Stats._takes
    ),
    **dict.fromkeys(("fault.begin", "fault.restart", "fault.end"), Stats._fault),
    "chan.woken": Stats._woken,
    "pool.get": Stats._get,
    "pool.put": Stats._put,
    "pool.fail": Stats._fail,
    "pool.wait": Stats._wait,
    "task.end": Stats._done,
}


def _longer(one: Longest | None, other: Longest) -> Longest:
    return other if one is None or other.steps > one.steps else one
