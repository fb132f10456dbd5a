"""What can befall a CPU while it works, as data of the workload: it is slow while it holds a
lock, an interrupt arrives, its thread is killed while asleep.

Occasions are counted per CPU, in hidden state: the n-th lock that it takes, the n-th point at
which nothing masks interrupts, the n-th sleep. So a mishap comes at the same place of the
CPU's own work whatever the others do, and costs nothing where the workload has none.

A kill does what SIGKILL does to the sleeps that are modelled, none of which is interruptible
(rw_enter without RW_INTR, pool_get, uvm_wait): the thread sleeps on, ends its operation, and
gives back what it holds; another thread goes on with the CPU's next operation. Left out:
interrupts that nest, and the times that all this takes.
"""

from __future__ import annotations

import types
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, Final

import attrs

from kmodel.event import say
from kmodel.fuzz.workload import INTERRUPT, KILLED, SLOW, Injected, Workload
from kmodel.point import Loop, Op, Task, curtask, operation
from kmodel.shared import Atomic, Hidden, shared
from kmodel.sync.mutex import IPL_NONE, IPL_VM, Mutex, ipl
from kmodel.table import observe
from kmodel.world import World

Handler = Callable[[], Awaitable[None]]
ASLEEP: Final = ("chan.woken", "lock.contended")
"""What a thread is about to do while it is asleep."""


@shared
class Occasions:
    """The ``nth`` is the one, and all later ones if ``on``. Counts no further than it must."""

    nth: Final[int]
    on: Final[bool]
    met: Hidden[int]

    def __init__(self, injected: Injected) -> None:
        self.nth, self.on, self.met = injected.nth, injected.on, 0

    def now(self) -> bool:
        """Here is one more: is it the one?"""
        self.met = min(self.met + 1, self.nth + 1)
        return bool(observe(self.met == self.nth or (self.on and self.met > self.nth)))


@shared
class Timer:
    """What holds up a slow holder: a disk, a callout. It ends the delay when it likes, which
    costs a search no preemption."""

    name: Final[str]
    asleep: Atomic[tuple[Task, ...]]

    def __init__(self, name: str) -> None:
        self.name, self.asleep = name, ()

    async def wait(self) -> None:
        await self._begin(curtask())
        await self._end(curtask())

    async def run(self) -> None:
        """The timer's own task."""
        loop = Loop()
        while True:
            loop.head()
            await self._expire()

    @operation(event="delay.begin")
    def _begin(self, task: Task) -> None:
        self.asleep = (*self.asleep, task)

    @operation(lambda self, task: task not in self.asleep, event="delay.end")
    def _end(self, task: Task) -> None:
        pass

    @operation(lambda self: bool(self.asleep), event="timer.expire")
    def _expire(self) -> None:
        self.asleep = self.asleep[1:]


@shared
class Killed:
    """Has the thread on this CPU been killed?"""

    killed: Hidden[bool]

    def __init__(self) -> None:
        self.killed = False

    def kill(self) -> None:
        if not self.killed:
            self.killed = True
            say("task.kill")

    def dies(self) -> bool:
        """At the end of an operation: does the thread end here?"""
        dies = bool(observe(self.killed))
        if dies:
            self.killed = False
        return dies


@attrs.frozen
class Mishaps:
    """All that can befall one CPU. ``handler`` is what its interrupts do, at IPL_VM."""

    slow: tuple[Occasions, ...]
    interrupts: tuple[Occasions, ...]
    kills: tuple[Occasions, ...]
    timer: Timer
    level: Mutex
    thread: Killed
    handler: Handler

    def befall(self, work: Coroutine[Op, Any, None]) -> Awaitable[None]:
        """``work``, with all that."""
        return _befallen(self, work)

    def before(self, op: Op) -> bool:
        """The CPU is about to do ``op``: does an interrupt come first?"""
        if op[0].event in ASLEEP:
            for one in self.kills:
                if one.now():
                    self.thread.kill()
            return False  # the CPU is not the thread's
        return bool(self.interrupts) and not _masked(op) and _any(self.interrupts)

    def after(self, op: Op, answer: Any) -> bool:
        """It has done so: does it hold a lock now, and is slow?"""
        return bool(self.slow) and took(op, answer) and _any(self.slow)

    async def interrupt(self) -> None:
        """Nothing may sleep in it, as if it held a mutex."""
        say("intr.begin")
        self.level.note()
        await self.handler()
        self.level.forget()
        say("intr.end")


def _masked(op: Op) -> bool:
    """Can no interrupt come before ``op``? msleep has struck its mutex off the list by the time
    it goes to sleep, and lets it go no sooner than then."""
    going = op[0].event == "chan.sleep" and isinstance(op[2][1], Mutex)
    return ipl() > IPL_NONE or going


def took(op: Op, answer: Any) -> bool:
    """Does whoever did ``op`` hold a lock since?"""
    event = op[0].event
    if event == "mutex.enter":
        return True
    if event == "chan.woken":
        return op[2][1] is not None  # the mutex that is taken again
    return event in ("mutex.try", "lock.try", "lock.acquire", "lock.contended") and answer is True


def _any(occasions: tuple[Occasions, ...]) -> bool:
    """Each counts it."""
    return sum(one.now() for one in occasions) > 0


@types.coroutine
def _befallen(mishaps: Mishaps, work: Coroutine[Op, Any, None]) -> Generator[Op, Any, None]:
    answer: Any = None
    try:
        while True:
            try:
                op = work.send(answer)
            except StopIteration:
                return
            if mishaps.before(op):
                yield from mishaps.interrupt().__await__()
            answer = yield op
            if mishaps.after(op, answer):
                yield from mishaps.timer.wait().__await__()
    finally:
        work.close()


def mishaps(world: World, workload: Workload, cpu: int, handler: Handler) -> Mishaps | None:
    """What the workload has in store for ``cpu``; ``None`` if nothing. Called while the world is
    built."""
    mine = [one for one in workload.injected if one.of == f"cpu{cpu}"]
    if not mine:
        return None
    with world:
        of = {
            cause: tuple(Occasions(one) for one in mine if one.cause == cause)
            for cause in (SLOW, INTERRUPT, KILLED)
        }
        timer, level = Timer(f"timer{cpu}"), Mutex(f"interrupt level of cpu{cpu}", IPL_VM)
        made = Mishaps(of[SLOW], of[INTERRUPT], of[KILLED], timer, level, Killed(), handler)
    if made.slow:
        world.task(timer.name, timer.run, obliged=False)
    return made
