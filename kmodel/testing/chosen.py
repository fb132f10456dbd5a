"""What the command line asks of every test: how long to search, or what to do instead."""

from __future__ import annotations

from typing import Any, Final

import attrs

from kmodel.explore.found import Found
from kmodel.explore.interrupt import heard
from kmodel.explore.result import Build, Result, sample, search
from kmodel.explore.severity import severity
from kmodel.world import World


@attrs.define
class Chosen:
    """``seconds`` of a search, ``runs`` (and then ``seed``) to sample instead, a schedule to
    ``replay``."""

    seconds: float = 10.0
    runs: int | None = None
    seed: int = 0
    replay: str | None = None


CHOSEN = Chosen()
A_LOOK: Final = 200
"""States that are searched before runs are sampled: plain runs cannot tell that a check writes,
or that tasks share what is not seen."""
A_SAMPLE: Final = 20
"""Runs that are looked through where a search was too large: for a data race, or any bug."""


def searched(build: Build, **limits: Any) -> Result:
    """``search``, which a Ctrl-C ends early; so it must all tests that would come after.

    Raises ``KeyboardInterrupt``."""
    with heard() as pressed:
        result = search(build, **limits)
    if pressed() or "interrupted" in result.bound:
        raise KeyboardInterrupt
    return result


def sampled(build: Build, runs: int, seed: int) -> Result:
    """What so many runs show, as a search would tell it; never that all is well beyond them."""
    look = searched(build, states=A_LOOK)
    taken = sample(build, runs=runs, seed=seed, races=True)
    with World() as world:
        build(world)
    found = [
        Found(
            kind=kind,
            property=taken.broken[kind][0].property or kind,
            message=taken.broken[kind][0].message,
            stem=taken.broken[kind][1].steps,
        )
        for kind in sorted(taken.broken, key=severity)
    ]
    if not found and look.verdict == "violated":
        return look
    worst = found[0] if found else None
    wrong = worst is not None and worst.kind == "scenario-error"
    ended = bool(taken.ended.get("done"))
    nothing = "nothing found" if ended else "nothing was seen, as none came to an end"
    return Result(
        verdict="violated" if worst and not wrong else "inconclusive",
        kind=worst.kind if worst else None,
        message=worst.message if worst else f"{nothing}, in {runs} runs",
        found=tuple(found),
        excluded=(),
        complete=False,
        bound=f"{runs} runs",
        states=0,
        steps=0,
        seconds=0.0,
        tasks=tuple(task.name for task in world.tasks),
        within=ended and not found,
        reached={},
    )
