"""Mutexes whose waiters get them in the order in which they came.

Source: sys/kern/kern_lock.c 1.85 (mtx_enter; December 2025), a parking lot. Left out: the
lots (each mutex has a queue of its own here), spinning before parking.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from kmodel.point import Task, curtask, operation
from kmodel.shared import Atomic, shared
from kmodel.sync.mutex import IPL_VM, Mutex


@shared
class ParkingMutex(Mutex):
    """As a mutex, but that who comes queues up first, and goes in when all before have been."""

    queues: ClassVar[bool] = True
    queue: Atomic[tuple[Task, ...]]

    def __init__(self, name: str, ipl: int = IPL_VM, *, tried: bool = False) -> None:
        super().__init__(name, ipl, tried=tried)
        self.queue = ()

    async def take(self) -> None:
        """Queue up, and wait for one's turn."""
        await self._park(curtask())
        await self._turn(curtask())

    @operation(event="mutex.park")
    def _park(self, task: Task) -> None:
        self.queue = (*self.queue, task)

    @operation(lambda self, task: self.owner is None and self.queue[0] is task, event="mutex.enter")
    def _turn(self, task: Task) -> None:
        self.owner, self.queue = task, self.queue[1:]


def park(objects: Iterable[Any]) -> None:
    """Every mutex among the objects of a world that is being built becomes such a one."""
    for thing in objects:
        if type(thing) is Mutex:
            thing.__class__ = ParkingMutex
            vars(thing)["queue"] = ()
