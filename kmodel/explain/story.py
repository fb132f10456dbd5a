"""The story of a run: which sentences it gets, by what it shows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from kmodel.explain.broken import held, race
from kmodel.explain.decided import decided
from kmodel.explain.lap import Lap
from kmodel.explain.ran import Ran
from kmodel.explain.stuck import stuck
from kmodel.explore.absent import LEFT_OUT
from kmodel.explore.decisive import Search, decisive
from kmodel.explore.schedule import Token
from kmodel.world import World

MOST: Final = 15
"""Sentences, and no more."""

STUCK: Final = ("deadlock", "lost-wakeup", "lock-order", LEFT_OUT)
GOES_ROUND: Final = ("livelock", "starvation")


def story(ran: Ran, build: Callable[[], World], search: Search | None = None) -> list[str]:
    """The story of a run that is over. ``build`` makes its world afresh (for a race);
    ``search`` is what was found of the pair of events that decides."""
    told, last = _told(ran, build), []
    if search is not None:
        last = decided(search, ran.names, ran.token.kind in GOES_ROUND)
    most = MOST - len(last)
    if len(told) > most:
        told = [*told[: most - 1], f"... and {len(told) - most + 1} sentences more"]
    return told + last


def deciding(token: Token, build: Callable[[], World]) -> Search:
    """The pair of events that decides whether the run of ``token`` comes to what it shows."""
    stem, loop = token.schedule()
    return decisive(build, stem, loop, token.property, token.kind not in GOES_ROUND)


def _told(ran: Ran, build: Callable[[], World]) -> list[str]:
    if ran.token.loop:
        return Lap(ran).tell()
    if ran.token.kind in STUCK:
        return stuck(ran)
    if ran.token.kind == "data-race":
        return race(ran, build) or held(ran)
    return held(ran)
