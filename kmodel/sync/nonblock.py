"""Sections of code that may not sleep, said aloud for whoever wants to check it.

Source: the promise of PR_NOWAIT in pool_get(9). The kernel says it nowhere: there such
code mostly runs with a mutex held, where sleeping panics. Linux has the same as
``non_block_start`` and ``non_block_end``.
"""

from __future__ import annotations

from typing import Final

from kmodel.point import procedure
from kmodel.shared import shared
from kmodel.world import curcpu


@shared
class NonBlock:
    """While a CPU is inside it stands among what the CPU holds; nobody can wait for it."""

    name: Final[str]

    def __init__(self, name: str) -> None:
        self.name = name

    @procedure
    def begin(self) -> None:
        """From now on this CPU may not sleep."""
        cpu = curcpu()
        cpu.held = (*cpu.held, self)

    @procedure
    def end(self) -> None:
        """It may again, as far as this section goes: the innermost one of its kind ends."""
        cpu = curcpu()
        last = max(n for n, one in enumerate(cpu.held) if one is self)
        cpu.held = (*cpu.held[:last], *cpu.held[last + 1 :])
