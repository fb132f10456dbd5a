"""Sleep channels: one queue under all that sleeps.

Source: sys/kern/kern_synch.c (msleep, rwsleep, wakeup, wakeup_n). Left out: priorities,
signals (the modelled sleeps take none), the hash of channels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from kmodel.panic import Panic
from kmodel.point import Task, curtask, operation, procedure
from kmodel.shared import Atomic, shared
from kmodel.sync.mutex import Mutex
from kmodel.world import curcpu


@procedure
def assert_may_sleep(what: str, interlock: Mutex | None = None) -> None:
    """Panic if the running task holds a mutex other than ``interlock``.

    Every place that may give up the CPU for long starts with this
    (``assertwaitok``; the check in ``mi_switch``).
    """
    for lock in curcpu().held:
        if isinstance(lock, Mutex) and lock is not interlock:
            raise Panic(
                f"{what}: {curtask()} would sleep holding mutex {lock.name}",
                "sleep-under-mutex",
                culprits=(curtask().name, lock.name),
            )


@procedure
def assert_nothing_held(where: str) -> None:
    """At a place where a fault waits it must hold no lock of any kind, and own no busy page."""
    cpu = curcpu()
    held = (*(lock.name for lock in cpu.held), *(f"busy page {page}" for page in cpu.busy))
    if held:
        raise Panic(
            f"{where}: {cpu.name} would wait holding {', '.join(held)}",
            "wait-under-lock",
            culprits=held,
        )


class Sleeping(Protocol):
    """A sleeping lock, as far as ``rwsleep`` needs one."""

    async def exit(self) -> None: ...


@shared
class Channel:
    """A wait channel. ``condition`` is what its sleepers wait for, if they say:
    asleep for ever while it is true is a lost wakeup. ``left_out`` names who would
    wake them in the kernel and is not modelled, so that a hang here says so."""

    name: Final[str]
    condition: Final[Callable[[], bool] | None]
    left_out: Final[str]
    sleepers: Atomic[tuple[Task, ...]]

    def __init__(
        self, name: str, condition: Callable[[], bool] | None = None, left_out: str = ""
    ) -> None:
        self.name, self.condition, self.sleepers = name, condition, ()
        self.left_out = left_out

    async def msleep(self, mutex: Mutex, *, relock: bool = True) -> None:
        """Sleep until a wakeup. Held: ``mutex``, no other; it is released while asleep
        and held again after (unless ``relock`` is false: PNORELOCK)."""
        assert_may_sleep(f"msleep({self.name})", mutex)
        mutex.forget(again=relock)
        await self._enqueue(curtask(), mutex)
        await self._woken(curtask(), mutex if relock and not mutex.queues else None)
        if relock:
            if mutex.queues:
                await mutex.take()
            mutex.note()

    async def msleep_a_while(self, mutex: Mutex) -> None:
        """Sleep until a wakeup, or until some time is over (msleep_nsec): how long that is
        compared with what others do nobody knows, so it may be over at once. Held: ``mutex``,
        no other; not after (PNORELOCK)."""
        assert_may_sleep(f"msleep_nsec({self.name})", mutex)
        mutex.forget()
        await self._enqueue(curtask(), mutex)
        await self._late(curtask(), None)

    async def rwsleep(self, lock: Sleeping) -> None:
        """Sleep until a wakeup. Held: ``lock``, a sleeping lock, and no mutex; it is
        released once the task is on the queue, and not held after (PNORELOCK)."""
        assert_may_sleep(f"rwsleep({self.name})")
        await self._enqueue_before(curtask(), lock)
        await lock.exit()
        await self._woken(curtask(), None)

    @operation(event="chan.sleep")
    def _enqueue(self, task: Task, mutex: Mutex) -> None:
        self.sleepers = (*self.sleepers, task)
        mutex.owner = None

    @operation(event="chan.sleep")
    def _enqueue_before(self, task: Task, mutex: Sleeping) -> None:
        self.sleepers = (*self.sleepers, task)  # the lock is released after this, not with it

    @operation(
        lambda self, task, mutex: (
            task not in self.sleepers and (mutex is None or mutex.owner is None)
        ),
        event="chan.woken",
        woken=lambda self, task, _mutex: task not in self.sleepers,
        until=lambda self, *_: self.condition() if self.condition else None,
    )
    def _woken(self, task: Task, mutex: Mutex | None) -> None:
        if mutex is not None:
            mutex.owner = task

    @operation(event="chan.woken")
    def _late(self, task: Task, mutex: None) -> None:
        self.sleepers = tuple(one for one in self.sleepers if one is not task)

    @operation(event="chan.wakeup")
    def wakeup(self) -> None:
        """Wake every sleeper."""
        self.sleepers = ()

    @operation(event="chan.wakeup_one")
    def wakeup_one(self) -> None:
        """Wake the one that has slept longest."""
        self.sleepers = self.sleepers[1:]
