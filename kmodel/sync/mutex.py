"""Spin mutexes.

Source: sys/kern/kern_lock.c (mtx_enter, mtx_enter_try, mtx_leave). A CPU that
waits spins: it keeps the CPU and may not sleep. Left out: back-off and parking
(no order among spinners is promised), interrupts (the IPL is kept, nothing
arrives).
"""

from __future__ import annotations

from typing import ClassVar, Final

from kmodel.event import say
from kmodel.panic import Panic
from kmodel.point import Task, curtask, operation, procedure
from kmodel.shared import Atomic, left_mover, shared
from kmodel.sync.witness import check_order
from kmodel.world import curcpu

IPL_NONE, IPL_VM, IPL_MPFLOOR, IPL_HIGH = 0, 5, 6, 9


@shared
class Mutex:
    """A mutex that raises the IPL to ``ipl`` while held.

    Leaving is a point only where it can matter: if somebody may *try* the mutex
    (``tried``). Otherwise the release ends the step it is in.
    """

    queues: ClassVar[bool] = False  # first come first served?
    name: Final[str]
    ipl: Final[int]
    tried: Final[bool]
    owner: Atomic[Task | None]

    def __init__(self, name: str, ipl: int = IPL_VM, *, tried: bool = False) -> None:
        self.name, self.ipl, self.tried, self.owner = name, ipl, tried, None

    async def enter(self) -> None:
        """Spin until the mutex is free, and take it."""
        self._assert_not_held("mtx_enter", waits=True)
        await self.take()
        self.note()

    async def take(self) -> None:
        """The part of ``enter`` that waits."""
        await self._enter(curtask())

    async def enter_try(self) -> bool:
        """Take the mutex if it is free now. Never spins, never queues."""
        if not self.tried:
            raise Panic(f"mtx_enter_try: {self.name} is not declared as tried")
        self._assert_not_held("mtx_enter_try")
        got = await self._try(curtask())
        if got:
            self.note()
        return got

    async def leave(self) -> None:
        """Release. Held: this mutex."""
        self.forget()
        if self.tried:
            await self._leave()
        else:
            self._leave_now()
            say("mutex.leave", obj=self.name)

    @operation(lambda self, task: self.owner is None, event="mutex.enter")
    def _enter(self, task: Task) -> None:
        self.owner = task

    @operation(event="mutex.try")
    def _try(self, task: Task) -> bool:
        if self.owner is not None:
            return False
        self.owner = task
        return True

    @operation(event="mutex.leave")
    def _leave(self) -> None:
        self.owner = None

    @left_mover
    def _leave_now(self) -> None:
        self.owner = None

    @procedure
    def note(self) -> None:
        """The running CPU holds this mutex from now on."""
        cpu = curcpu()
        cpu.held = (*cpu.held, self)

    @procedure
    def forget(self, *, again: bool = False) -> None:
        """The running CPU holds this mutex no longer. Panics if it did not. ``again``: it
        will wait for it before it does anything else."""
        self.assert_held()
        cpu = curcpu()
        cpu.held = left = tuple(lock for lock in cpu.held if lock is not self)
        if again:
            check_order(left, self.name)

    @procedure
    def assert_held(self) -> None:
        """MUTEX_ASSERT_LOCKED."""
        if self not in curcpu().held:
            raise Panic(
                f"mutex {self.name} is not held by {curtask()}",
                culprits=(curtask().name, self.name),
            )

    @procedure
    def _assert_not_held(self, what: str, *, waits: bool = False) -> None:
        held = curcpu().held
        if self in held:
            raise Panic(
                f"{what}: {curtask()} locks {self.name} against itself",
                culprits=(curtask().name, self.name),
            )
        if waits:
            check_order(held, self.name)


def ipl() -> int:
    """The running CPU's interrupt priority level: the highest of the mutexes it holds."""
    return max((lock.ipl for lock in curcpu().held if isinstance(lock, Mutex)), default=IPL_NONE)
