"""Is a strategy worth having? It must find planted bugs sooner than round robin does.

Round robin has few different runs (who is first, how long a slice is), so it finds a
bug soon or never. Only ``pct`` and ``pos`` claim to be better at finding bugs:
``random`` is there for its simplicity, ``fair`` for runs that must end.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import prod

import pytest
from bugs import BUGS

from kmodel.explore.execution import Execution, run
from kmodel.explore.recipe import recipe
from kmodel.world import World

RUNS, SERIES, STEPS = 500, 6, 1000
BETTER = 3.0
"""How many times sooner, over all bugs (geometric mean)."""


def runs_to_bug(build: Callable[[], World], name: str, series: int) -> int:
    """The number of the first run that shows the bug; ``RUNS`` if none does."""
    drawn = recipe(name)
    for number in range(RUNS):
        strategy = drawn.strategy(series * RUNS + number)
        outcome = run(Execution(build(), checks=True), strategy, STEPS)
        if outcome.kind not in ("done", "limit"):
            return number + 1
        drawn.learn(strategy)
    return RUNS


@cache
def mean(build: Callable[[], World], name: str) -> float:
    return sum(runs_to_bug(build, name, series) for series in range(SERIES)) / SERIES


@pytest.mark.parametrize("name", ["pct", "pos"])
def test_a_strategy_beats_round_robin(name: str) -> None:
    """By a factor of three in runs to the bug, or it is worthless."""
    ratios = {build.__name__: mean(build, "round-robin") / mean(build, name) for build in BUGS}
    overall = prod(ratios.values()) ** (1 / len(ratios))
    shown = ", ".join(f"{bug} {ratio:.1f}" for bug, ratio in ratios.items())
    assert overall >= BETTER, f"{name} is worthless: {overall:.1f}x round robin ({shown})"


@pytest.mark.parametrize("build", BUGS)
@pytest.mark.parametrize("name", ["pct", "pos"])
def test_every_bug_is_found(name: str, build: Callable[[], World]) -> None:
    """In most series of runs, by either strategy."""
    found = sum(runs_to_bug(build, name, series) < RUNS for series in range(SERIES))
    assert found > SERIES / 2
