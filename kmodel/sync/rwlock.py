"""Sleeping reader/writer locks, in the two policies that the kernel has had and
one that it has not.

Source: sys/kern/kern_rwlock.c, revisions 1.48-1.50 (``WakeAll``) and 1.58
(``WakeOneWriter``). Left out: spinning before a sleep, RW_SLEEPFAIL, recursion. A try
looks once, or ``spins`` times more before it gives up (up to 1000 in the real one, while a
writer has the lock; between two looks anybody may run). An upgrade is there in every
policy; the kernel has it from the new design on.

In both real policies the lock is free between the release and the moment the
woken thread runs, so a newcomer may *barge* in.
"""

from __future__ import annotations

from typing import Final

from kmodel.panic import Panic
from kmodel.point import Loop, Task, curtask, operation, procedure
from kmodel.shared import Atomic, shared
from kmodel.sync.channel import assert_may_sleep
from kmodel.sync.witness import check_order
from kmodel.table import Tasks
from kmodel.world import curcpu


@shared
class RwLock:
    """What the policies share: who holds the lock, and the paths in and out.

    A policy says who may enter (``may_enter``), what one who may not leaves behind
    (``_queue``), when a sleeper may try again (``_may_retry``) and whom a release
    wakes (``_wake``). All four run inside operations.
    """

    name: Final[str]
    spins: Final[int]
    writer: Atomic[Task | None]
    readers: Atomic[Tasks]

    def __init__(self, name: str, spins: int = 0) -> None:
        self.name, self.spins, self.writer, self.readers = name, spins, None, Tasks()

    @procedure
    async def enter(self, write: bool) -> None:
        """rw_enter: take the lock, sleeping while it cannot be had. No mutex held."""
        assert_may_sleep(f"rw_enter({self.name})")
        self._assert_not_held(waits=True)
        me = curtask()
        if not await self._attempt(me, write):
            loop = Loop()
            loop.head()  # the first turn is like any other
            while not await self._retry(me, write):
                loop.head()
        self._note()

    async def enter_try(self, write: bool) -> bool:
        """rw_enter with RW_NOSLEEP: no sleep, no queueing; ``False`` is EBUSY."""
        self._assert_not_held()
        got = await self._try(curtask(), write)
        for _ in range(self.spins):
            if got or await self._readers_in():
                break
            got = await self._try(curtask(), write)
        if got:
            self._note()
        return got

    async def exit(self) -> None:
        """rw_exit. Held: this lock."""
        self._forget()
        await self._release(curtask())

    async def upgrade_try(self) -> bool:
        """rw_enter with RW_UPGRADE and RW_NOSLEEP: the only reader becomes the writer;
        ``False`` if there are others. Held: this lock, for reading; still, if refused."""
        self.assert_held()
        return await self._upgrade(curtask())

    async def downgrade(self) -> None:
        """rw_enter with RW_DOWNGRADE: the writer becomes a reader, and others are woken.
        Held: this lock, for writing."""
        self.assert_held()
        await self._downgrade(curtask())

    def free(self, write: bool) -> bool:
        """Does the holder, if any, leave room for one more?"""
        return self.writer is None and not (write and self.readers)

    def asleep(self, task: Task) -> bool:
        """Is ``task`` on the lock's queue? For checks, which see everything."""
        return task in self.sleeping()

    def sleeping(self) -> tuple[Task, ...]:
        """Who is on the lock's queue. For checks."""
        raise NotImplementedError

    def may_enter(self, task: Task, write: bool, woken: bool) -> bool:
        raise NotImplementedError

    def _queue(self, task: Task, write: bool) -> None:
        raise NotImplementedError

    def _may_retry(self, task: Task) -> bool:
        raise NotImplementedError

    def _wake(self) -> None:
        raise NotImplementedError

    def _take(self, task: Task, write: bool) -> None:
        if write:
            self.writer = task
        else:
            self.readers = self.readers.and_also(task)

    @operation(event="lock.acquire")
    def _attempt(self, task: Task, write: bool) -> bool:
        if self.may_enter(task, write, False):
            self._take(task, write)
            return True
        self._queue(task, write)
        return False

    @operation(
        lambda self, task, write: self._may_retry(task),
        event="lock.contended",
        grant=lambda self, task, write: self.free(write),
    )
    def _retry(self, task: Task, write: bool) -> bool:
        if self.may_enter(task, write, True):
            self._take(task, write)
            return True
        self._queue(task, write)
        return False

    @operation(event="lock.try")
    def _try(self, task: Task, write: bool) -> bool:
        if not self.may_enter(task, write, False):
            return False
        self._take(task, write)
        return True

    @operation(event="lock.release")
    def _release(self, task: Task) -> None:
        if self.writer is task:
            self.writer = None
        else:
            self.readers = self.readers.without(task)
        self._wake()

    @operation(event="lock.upgrade")
    def _upgrade(self, task: Task) -> bool:
        if self.readers != (task,):
            return False
        self.readers, self.writer = Tasks(), task
        return True

    @operation(event="lock.downgrade")
    def _downgrade(self, task: Task) -> None:
        self.readers, self.writer = Tasks((task,)), None
        self._wake()

    @operation(event="lock.spin")
    def _readers_in(self) -> bool:
        """Have readers the lock? Then a try gives up at once, and does not spin."""
        return bool(self.readers)

    @procedure
    def _forget(self) -> None:
        self.assert_held()
        cpu = curcpu()
        cpu.held = tuple(lock for lock in cpu.held if lock is not self)

    @procedure
    def assert_held(self) -> None:
        """rw_assert_anylock, for the running task."""
        if self not in curcpu().held:
            raise Panic(
                f"lock {self.name} is not held by {curtask()}",
                culprits=(curtask().name, self.name),
            )

    @procedure
    def _assert_not_held(self, *, waits: bool = False) -> None:
        held = curcpu().held
        if self in held:
            raise Panic(
                f"rw_enter: {curtask()} locks {self.name} against itself",
                culprits=(curtask().name, self.name),
            )
        if waits:
            check_order(held, self.name)

    @procedure
    def _note(self) -> None:
        cpu = curcpu()
        cpu.held = (*cpu.held, self)


@shared
class WakeAll(RwLock):
    """Classical (1.48-1.50): a release wakes every sleeper and forgets that a writer
    was waiting, so whoever comes first gets in."""

    wrwant: Atomic[bool]
    sleepers: Atomic[Tasks]

    def __init__(self, name: str, spins: int = 0) -> None:
        super().__init__(name, spins)
        self.wrwant, self.sleepers = False, Tasks()

    def may_enter(self, task: Task, write: bool, woken: bool) -> bool:
        return self.free(write) and (write or not self.wrwant)

    def _queue(self, task: Task, write: bool) -> None:
        self.sleepers = self.sleepers.and_also(task)
        self.wrwant = self.wrwant or write

    def sleeping(self) -> tuple[Task, ...]:
        return self.sleepers

    def _may_retry(self, task: Task) -> bool:
        return task not in self.sleepers

    def _wake(self) -> None:
        # the lock word is cleared of its wait bits on each exit, also by one reader of many
        if self.sleepers:
            self.sleepers, self.wrwant = Tasks(), False


@shared
class WakeOneWriter(RwLock):
    """New (1.58): a release wakes one writer, or all readers if no writer waits.

    ``waiting`` are the writers in the slow path, asleep or woken (rwl_waiters).
    """

    waiting: Atomic[Tasks]
    writers_asleep: Atomic[tuple[Task, ...]]
    readers_asleep: Atomic[Tasks]

    def __init__(self, name: str, spins: int = 0) -> None:
        super().__init__(name, spins)
        self.waiting, self.writers_asleep, self.readers_asleep = Tasks(), (), Tasks()

    def may_enter(self, task: Task, write: bool, woken: bool) -> bool:
        return self.free(write) and (write or woken or not self.waiting)

    def _queue(self, task: Task, write: bool) -> None:
        if not write:
            self.readers_asleep = self.readers_asleep.and_also(task)
            return
        self.writers_asleep = (*self.writers_asleep, task)
        if task not in self.waiting:
            self.waiting = self.waiting.and_also(task)

    def _take(self, task: Task, write: bool) -> None:
        super()._take(task, write)
        if task in self.waiting:
            self.waiting = self.waiting.without(task)

    def sleeping(self) -> tuple[Task, ...]:
        return (*self.writers_asleep, *self.readers_asleep)

    def _may_retry(self, task: Task) -> bool:
        return task not in self.writers_asleep and task not in self.readers_asleep

    def _wake(self) -> None:
        if self.waiting:
            self.writers_asleep = self.writers_asleep[1:]
        else:
            self.readers_asleep = Tasks()


@shared
class HandOff(RwLock):
    """Hypothetical: a release gives the lock to whoever has waited longest (a writer,
    or all readers up to the next writer), and a newcomer queues behind them."""

    queue: Atomic[tuple[tuple[Task, bool], ...]]

    def __init__(self, name: str, spins: int = 0) -> None:
        super().__init__(name, spins)
        self.queue = ()

    def sleeping(self) -> tuple[Task, ...]:
        return tuple(task for task, _ in self.queue)

    def may_enter(self, task: Task, write: bool, woken: bool) -> bool:
        return woken or (self.free(write) and not self.queue)

    def _queue(self, task: Task, write: bool) -> None:
        self.queue = (*self.queue, (task, write))

    def _may_retry(self, task: Task) -> bool:
        return self.writer is task or task in self.readers

    def _take(self, task: Task, write: bool) -> None:
        if self.writer is not task and task not in self.readers:
            super()._take(task, write)

    def _wake(self) -> None:
        while self.queue and self.free(self.queue[0][1]):
            task, write = self.queue[0]
            self.queue = self.queue[1:]
            super()._take(task, write)


POLICIES: Final[dict[str, type[RwLock]]] = {
    "wake-all": WakeAll,
    "wake-one-writer": WakeOneWriter,
    "hand-off": HandOff,
}


def rwlock(name: str, policy: str, spins: int = 0) -> RwLock:
    """rw_init: a lock of the given policy, whose tries look so many times more."""
    return POLICIES[policy](name, spins)
