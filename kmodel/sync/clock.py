"""Uptime: a clock that moves only when a task of the story moves it.

Source: sys/kern/kern_tc.c (getnsecuptime), sys/kern/kern_timeout.c (a timeout that comes
round each second). Left out: a clock that runs by itself. How fast CPUs are is not
modelled, so between any two steps any time may pass; a story says how many seconds there
are, and the search puts them between any two steps.
"""

from __future__ import annotations

from typing import Final

from kmodel.point import operation
from kmodel.shared import Atomic, shared


@shared
class Clock:
    """Whole seconds since boot. What looks at it is a point, since time passes meanwhile."""

    name: Final[str]
    now: Atomic[int]

    def __init__(self) -> None:
        self.name, self.now = "uptime", 0

    @operation(event="time.read")
    def uptime(self) -> int:
        """getnsecuptime, in seconds."""
        return self.now

    @operation(event="time.pass")
    def tick(self, seconds: int) -> None:
        """So many seconds pass."""
        self.now += seconds

    @operation(lambda self, second: self.now >= second, event="time.sleep")
    def sleep_until(self, second: int) -> int:
        """A timeout: sleep until that second; the second that it is then."""
        return self.now

    async def passing(self, seconds: int, at_once: int = 1) -> None:
        """A task that lets so many seconds pass, ``at_once`` a step."""
        for _ in range(0, seconds, at_once):
            await self.tick(at_once)
