"""Who waits for a lock: in vain, or in the order in which they came?"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from kmodel.panic import Panic
from kmodel.point import Task
from kmodel.shared import Hidden, shared
from kmodel.sync.parking import ParkingMutex
from kmodel.sync.rwlock import RwLock
from kmodel.table import observe


@shared
class Wanted:
    """Who is on the way into the lock, and whether to write."""

    by: Hidden[tuple[tuple[int, bool], ...]]

    def __init__(self) -> None:
        self.by = ()

    def come(self, cpu: int, write: bool) -> None:
        self.by = tuple(sorted((*self.by, (cpu, write))))

    def go(self, cpu: int) -> None:
        self.by = tuple(one for one in self.by if one[0] != cpu)

    def in_vain(self, lock: RwLock, tasks: dict[int, Task]) -> str | None:
        """Who sleeps on a lock must not be able to have it, or let a writer go before: a reader
        any, a writer one that is awake. So it is in each policy, whomever a release wakes."""
        for cpu, write in self.by:
            if lock.free(write) and lock.asleep(tasks[cpu]):
                before = [tasks[c] for c, writes in self.by if writes and c != cpu]
                if not [one for one in before if not (write and lock.asleep(one))]:
                    return f"{tasks[cpu]} sleeps on a lock that it could have"
        return None


@shared
class Line:
    """Who has parked at a mutex, in the order in which they came."""

    by: Hidden[tuple[int, ...]]

    def __init__(self) -> None:
        self.by = ()

    def watch(self, mutex: ParkingMutex) -> None:
        """Called while the world is built; the mutex stays the object that it is."""
        vars(mutex)["_park"] = partial(self._come, mutex._park)
        vars(mutex)["_turn"] = partial(self._go, mutex._turn)

    async def _come(self, park: Callable[[Task], Awaitable[None]], task: Task) -> None:
        await park(task)
        self.by = (*self.by, task.index)

    async def _go(self, turn: Callable[[Task], Awaitable[None]], task: Task) -> None:
        await turn(task)
        if observe(self.by[0] != task.index):
            raise Panic(f"{task} went into the mutex before one that had come first", "invariant")
        self.by = self.by[1:]
