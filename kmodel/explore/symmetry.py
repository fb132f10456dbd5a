"""Judges a search of orbits: what one state or step can show; and falls back on the search
of every state where tasks are not as alike as they look."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cached_property
from typing import Final

import attrs

from kmodel.explore.drive import Tick, drive
from kmodel.explore.found import Found
from kmodel.explore.graph import Limits, Search, Violation
from kmodel.explore.judgement import Judgement
from kmodel.explore.likeness import Unlike
from kmodel.explore.orbit import Orbital
from kmodel.explore.unfolded import Unfolded
from kmodel.explore.within import UNJUDGED, OfSafety
from kmodel.world import World

SAFETY: Final = "safety only"
"""The bound of a search of orbits that came to its end."""
AT_LEAST: Final = 0.1
"""Seconds that a search of every state gets, however long that of orbits took."""


def up_to_symmetry(
    build: Callable[[], World],
    limits: Limits,
    tick: Tick | None = None,
    again: str = "",
    never: str = "",
) -> Judgement:
    """Search one state of each orbit of like tasks. Where there are none, or they turn out
    to differ, search every state in the time that is left, and say why."""
    began = time.monotonic()
    try:
        search = Orbital(build(), limits)
        drive(search, tick)
        return UpToSymmetry(search, again, never)
    except Unlike as unlike:
        spent, why = time.monotonic() - began, str(unlike)
    left = max(round(limits.seconds - spent, 1), AT_LEAST)
    whole = Search(build(), attrs.evolve(limits, seconds=left))
    drive(whole, tick)
    whole.graph.seconds += spent
    return OfEveryState(whole, why, again, never)


class UpToSymmetry(OfSafety):
    """What a search of orbits found, as real states and runs."""

    search: Orbital

    def __init__(self, search: Orbital, again: str = "", never: str = "") -> None:
        super().__init__(search, again, never, Unfolded(search))
        self.strategy = "symmetric"

    @cached_property
    def violated(self) -> list[Found]:
        """Of those that differ only in which of like tasks is which, the easiest to show."""
        easiest = [min(self._images(one), key=_ease) for one in self.graph.violations]
        return list(dict.fromkeys(easiest))

    def _images(self, violation: Violation) -> list[Found]:
        """What a violation is in real runs, with tasks in each other's places."""
        images = {
            attrs.evolve(
                violation,
                message=turn.text(violation.message),
                culprits=tuple(map(turn.text, violation.culprits)),
            ): None
            for turn in self.search.like.turns
        }
        return [found for image in images if (found := self.of_violation(image)).stem is not None]

    def conclude(self, judged: list[Found], holds: str) -> tuple[str, str | None, str]:
        """What is wrong; or what was looked at, and what cannot be known so."""
        verdict, kind, message = super().conclude(judged, holds)
        if verdict == "holds":
            message = f"nothing found in {self._orbits} (not judged: {UNJUDGED})"
            return "inconclusive", None, message
        return verdict, kind, message if judged else f"{message} (in {self._orbits})"

    @property
    def _orbits(self) -> str:
        turns, names = self.search.like.turns, self.names
        alike = {tuple(sorted({turn.tasks[task] for turn in turns})) for task in range(len(names))}
        moving = [" and ".join(names[t] for t in tasks) for tasks in sorted(alike) if tasks[1:]]
        return (
            f"{self.states:,} orbits, of up to {len(turns)} states in which {', '.join(moving)} "
            "have each other's places"
        )

    @property
    def bound(self) -> str:
        ended = self.graph.complete and not self.cut
        return SAFETY if ended else super().bound


def _ease(found: Found) -> tuple[int, int]:
    assert found.stem is not None
    assert found.preemptions is not None
    return found.preemptions, len(found.stem)


class OfEveryState(Judgement):
    """What a search of every state found, because symmetry could not be used: ``why``."""

    def __init__(self, search: Search, why: str, again: str = "", never: str = "") -> None:
        super().__init__(search, again, never)
        self.why = why

    def conclude(self, judged: list[Found], holds: str) -> tuple[str, str | None, str]:
        verdict, kind, message = super().conclude(judged, holds)
        return verdict, kind, f"{message} (symmetry not used: {self.why})"
