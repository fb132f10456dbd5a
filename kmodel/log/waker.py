"""Who let a thread go: whose wakeup, or whose release of the lock that it waited for.

Everything that draws an arrow or names a waker asks here. A record's ``cause`` says it. One
without is told as the kernel would have it: ``wakeup`` wakes every sleeper of the channel,
``wakeup_one`` the one that has slept longest. A sleeper that was woken may have to wait for
its interlock still; who releases that has not woken it. Without causes, two channels of one
name count as one.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from typing import Final

import attrs

from kmodel.log.record import Record

WAKEUPS: Final = ("chan.wakeup", "chan.wakeup_one")

LARGEST: Final = 1 << 31
"""No record of kmodel's has a number, a step or a CPU as large as this."""


@attrs.frozen
class Waker:
    """Another thread let this one go, in record ``seq``, in its step ``step``."""

    cpu: int
    task: str
    step: int
    seq: int


class Wakers:
    """Feed it every record in order. Takes a few bytes a step, so that nobody who was let
    go long ago is forgotten."""

    def __init__(self) -> None:
        self._steps, self._cpus, self._first = array("i"), array("i"), array("i")
        self._names: dict[int, str] = {}
        self._asleep: dict[str, list[int]] = {}
        self._woken: dict[int, Waker] = {}

    def feed(self, record: Record) -> Waker | None:
        """Take the next record; who let its thread go, if another did?"""
        cpu = record.cpu
        if cpu is None or not all(0 <= n < LARGEST for n in (cpu, record.step, record.seq)):
            return None
        self._place(record, cpu)
        found, obj = self._at(record.cause), str(record.obj)
        if record.event == "chan.sleep":
            self._asleep.setdefault(obj, []).append(cpu)
        elif record.event == "chan.woken":
            found, told = self._back(obj, cpu), found
            found = told or found
        elif record.event in WAKEUPS:
            self._wake(record, obj, cpu)
        return None if found is None or found.cpu == cpu else found

    def woken(self, cpu: int) -> Waker | None:
        """Who has woken ``cpu``, which slept on a channel and has not come back from that?"""
        return self._woken.get(cpu)

    def sleepers(self, obj: str) -> list[int]:
        """The CPUs asleep on channel ``obj``, whom nobody has woken."""
        return self._asleep.get(obj, [])

    def _wake(self, record: Record, obj: str, cpu: int) -> None:
        queue = self._asleep.get(obj, [])
        count = 1 if record.event == "chan.wakeup_one" else len(queue)
        waker = Waker(cpu, self._names[cpu], record.step, record.seq)
        self._woken.update(dict.fromkeys(queue[:count], waker))
        del queue[:count]

    def _back(self, obj: str, cpu: int) -> Waker | None:
        queue = self._asleep.get(obj, [])
        if cpu in queue:
            queue.remove(cpu)
        return self._woken.pop(cpu, None)

    def _place(self, record: Record, cpu: int) -> None:
        self._names[cpu] = record.task or f"cpu {cpu}"
        if not self._steps or self._steps[-1] != record.step:
            self._steps.append(record.step)
            self._cpus.append(cpu)
            self._first.append(record.seq)

    def _at(self, seq: int | None) -> Waker | None:
        """Who wrote record ``seq``, one before this one?"""
        index = -1 if seq is None else bisect_right(self._first, seq) - 1
        if seq is None or index < 0:
            return None
        cpu = self._cpus[index]
        return Waker(cpu, self._names[cpu], self._steps[index], seq)
