"""Who waits for memory for ever by a flaw of the kernel's page daemon that is known."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

from kmodel.shared import Hidden, shared
from kmodel.sync.mutex import Mutex
from kmodel.table import oracle
from kmodel.vm.physmem import PhysMem

ASKED_IN_VAIN: Final = "the page daemon was asked while it ran, and does not look"
SILENT_LAP: Final = "a lap without a shortage wakes nobody"


@shared
class Daemon:
    """Remembers what can have lost a wakeup since those who wait for memory were last woken:
    somebody asked the page daemon while it was not asleep; a lap passed over who waited."""

    mem: Final[PhysMem]
    silent: Final[bool]
    asleep: Hidden[bool]
    waited: Hidden[bool]
    missed: Hidden[bool]
    passed: Hidden[bool]

    def __init__(self, mem: PhysMem, lap: str) -> None:
        self.mem, self.silent = mem, lap == "silent"
        self.asleep = self.waited = self.missed = self.passed = False

    def watch(self) -> None:
        """Called while the world is built. The channels stay the objects that they are. All of
        this happens with fpageqlock held."""
        daemon, waiters = self.mem.pagedaemon, self.mem.uvmexp_free
        vars(daemon)["msleep"] = partial(self._sleep, daemon.msleep)
        vars(daemon)["wakeup"] = partial(self._asked, daemon.wakeup)
        vars(waiters)["msleep"] = partial(self._wait, waiters.msleep)
        vars(waiters)["wakeup"] = partial(self._woken, waiters.wakeup)

    async def _sleep(self, msleep: Callable[[Mutex], Awaitable[None]], mutex: Mutex) -> None:
        self.asleep = True
        await msleep(mutex)
        # in this step the lap decides whether memory is short; later it may be, or no longer
        self.passed = self.passed or oracle(self.mem, self._passes)

    async def _wait(self, msleep: Callable[..., Awaitable[None]], *args: Any, **how: Any) -> None:
        self.waited = True
        await msleep(*args, **how)

    def _passes(self) -> bool:
        """Will the lap that begins wake nobody, although somebody sleeps?"""
        mem = self.mem
        short = mem.nfree() + mem.paging < mem.freetarg or mem.pmas or mem.nowait_pma
        return self.silent and self.waited and not short

    async def _asked(self, wakeup: Callable[[], Awaitable[None]]) -> None:
        self.missed = self.missed or not self.asleep
        self.asleep = False
        await wakeup()

    async def _woken(self, wakeup: Callable[[], Awaitable[None]]) -> None:
        await wakeup()
        self.waited = self.missed = self.passed = False

    def why(self) -> str:
        """By which known flaw a thread waits for memory for ever, if by one."""
        if self.missed:
            return ASKED_IN_VAIN
        return SILENT_LAP if self.passed else ""
