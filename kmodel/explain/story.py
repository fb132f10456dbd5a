"""The story of a run: which sentences it gets, by what it shows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from kmodel.explain.broken import held, race
from kmodel.explain.lap import Lap
from kmodel.explain.ran import Ran
from kmodel.explain.stuck import stuck
from kmodel.world import World

MOST: Final = 15
"""Sentences, and no more."""

STUCK: Final = ("deadlock", "lost-wakeup", "lock-order")


def story(ran: Ran, build: Callable[[], World]) -> list[str]:
    """The story of a run that is over. ``build`` makes its world afresh (for a race)."""
    told = _told(ran, build)
    if len(told) > MOST:
        told = [*told[: MOST - 1], f"... and {len(told) - MOST + 1} sentences more"]
    return told


def _told(ran: Ran, build: Callable[[], World]) -> list[str]:
    if ran.token.loop:
        return Lap(ran).tell()
    if ran.token.kind in STUCK:
        return stuck(ran)
    if ran.token.kind == "data-race":
        return race(ran, build) or held(ran)
    return held(ran)
