"""How much a second: schedules and steps of single runs, states and transitions of searches."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import trio
from rounds import Measured, medians
from story import STORIES, searched

from kmodel.explore.execution import Execution, run
from kmodel.explore.host import TrioHost
from kmodel.explore.strategy import Random
from kmodel.world import World

Build = Callable[[], World]
REPEAT: Final = 20
MOST: Final = 500
"""Steps of one run."""


def inner(build: Build, steps: bool) -> tuple[float, int]:
    worlds = [build() for _ in range(REPEAT)]
    began = time.process_time()
    ran = sum(run(Execution(w), Random(seed), MOST).steps for seed, w in enumerate(worlds))
    return time.process_time() - began, ran if steps else REPEAT


def hosted(build: Build, steps: bool) -> tuple[float, int]:
    """The same runs on Trio tasks, a fresh ``trio.run`` for each."""
    worlds, ran = [build() for _ in range(REPEAT)], 0
    began = time.process_time()
    for seed, world in enumerate(worlds):
        ran += trio.run(TrioHost(Execution(world), Random(seed), MOST).run).steps
    return time.process_time() - began, ran if steps else REPEAT


def states(build: Build, steps: bool) -> tuple[float, int]:
    world = build()
    began = time.process_time()
    graph = searched(world).graph
    return time.process_time() - began, graph.transitions if steps else len(graph)


KINDS: Final = {
    "schedules": (inner, False),
    "steps": (inner, True),
    "schedules on Trio": (hosted, False),
    "states": (states, False),
    "transitions": (states, True),
}


def measure(rounds: int, stories: list[str]) -> dict[str, Any]:
    work: Measured = {
        f"{story}: {name}": lambda story=story, of=of, steps=steps: of(STORIES[story], steps)
        for story in stories
        for name, (of, steps) in KINDS.items()
    }
    each = medians(work, rounds)
    found: dict[str, Any] = {}
    for story in stories:
        found[story] = row = {name: round(1 / each[f"{story}: {name}"]) for name in KINDS}
        row["a schedule on Trio costs, times"] = round(
            row["schedules"] / row["schedules on Trio"], 1
        )
    return found


def show(found: dict[str, Any]) -> None:
    print("a second")
    for story, row in found.items():
        print(f"  {story}")
        for name, value in row.items():
            print(f"    {name:32}{value:12,}")
