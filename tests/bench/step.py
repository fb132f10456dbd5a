"""What a step costs, by how much of shared state it touches.

Times are against the same coroutines driven by a bare send loop: nothing chosen, nothing
recorded, effects not applied.
"""

from __future__ import annotations

import time
from typing import Any

from rounds import Measured, medians

from kmodel.explore.execution import Execution, run
from kmodel.explore.graph import Limits, Search
from kmodel.explore.history import Histories
from kmodel.explore.strategy import Random
from kmodel.point import Loop, pause
from kmodel.shared import shared
from kmodel.world import World

TASKS, STEPS = 3, 20
REPEAT = 60
"""Schedules a round."""


@shared
class Cell:
    value: int

    def __init__(self) -> None:
        self.value = 0


async def body(cell: Cell, accesses: int, steps: int) -> None:
    """``accesses`` tracked accesses a step: reads, and a write if there are several."""
    for _ in range(steps):
        await pause()
        if accesses:
            cell.value  # noqa: B018
        if accesses == 5:
            cell.value = (cell.value + 1) % 3
            cell.value  # noqa: B018
            cell.value  # noqa: B018


def model(accesses: int, steps: int = STEPS - 1) -> World:
    """Tasks of so many steps (the first is the start), each with a cell of its own."""
    world = World()
    for task in range(TASKS):
        with world:
            cell = Cell()
        world.task(f"t{task}", body, cell, accesses, steps)
    return world


def bare(accesses: int) -> tuple[float, int]:
    """The coroutines and nothing else, in turn."""
    worlds = [model(accesses) for _ in range(REPEAT)]
    began, steps = time.process_time(), 0
    for world in worlds:
        coros = [start() for start in world.starts]
        while coros:
            for coro in tuple(coros):
                steps += 1
                try:
                    coro.send(None)
                except StopIteration:
                    coros.remove(coro)
    return time.process_time() - began, steps


def inner_loop(accesses: int) -> tuple[float, int]:
    worlds = [model(accesses) for _ in range(REPEAT)]
    began, steps = time.process_time(), 0
    for world in worlds:
        steps += run(Execution(world), Random(1), 1000).steps
    return time.process_time() - began, steps


def recorded(accesses: int) -> tuple[float, int]:
    """Each step for the first time: real code runs on recorded objects."""
    total = steps = 0.0
    for _ in range(REPEAT):
        histories = Histories(model(accesses))
        state = histories.initial
        began = time.process_time()
        for _ in range(STEPS):
            for task in range(TASKS):
                node = histories.node(state, task)
                if node.op is None:
                    continue
                leaf = histories.leaf(node, state)
                state = state[:]
                for where, code in leaf.stores:
                    state[where] = code
                assert leaf.next is not None
                state[histories.locations + task] = leaf.next.index
        total += time.process_time() - began
        steps += histories.runs
    return total, int(steps)


async def turning(cell: Cell, accesses: int) -> None:
    """A short program that keeps coming back to where it was."""
    loop = Loop()
    while True:
        loop.head()
        await body(cell, accesses, 6)


def remembered(accesses: int) -> tuple[float, int]:
    """Transitions of a search that has run all code before: it only walks its tables."""
    world = World()
    for task in range(TASKS):
        with world:
            cell = Cell()
        world.task(f"t{task}", turning, cell, accesses)
    histories = Histories(world)
    for counted in (False, True):
        before = histories.runs
        search = Search(world, Limits(), histories=histories)
        began = time.process_time()
        while search.advance(10_000):
            pass
        taken = time.process_time() - began
        assert not counted or histories.runs == before
    return taken, search.graph.transitions


def measure(rounds: int) -> dict[str, Any]:
    """Microseconds of each kind of step with 0, 1 and 5 accesses, and times a bare send."""
    kinds = {
        "bare send": bare,
        "inner loop": inner_loop,
        "recorded step": recorded,
        "remembered transition": remembered,
    }
    work: Measured = {
        f"{name}, {accesses}": lambda function=function, accesses=accesses: function(accesses)
        for name, function in kinds.items()
        for accesses in (0, 1, 5)
    }
    each = medians(work, rounds)
    return {
        name: {
            accesses: {
                "microseconds": round(each[f"{name}, {accesses}"] * 1e6, 3),
                "x bare send": round(
                    each[f"{name}, {accesses}"] / each[f"bare send, {accesses}"], 1
                ),
            }
            for accesses in (0, 1, 5)
        }
        for name in kinds
    }


def show(found: dict[str, Any]) -> None:
    print("a step with 0, 1 and 5 accesses (microseconds, times a bare send)")
    for name, row in found.items():
        cells = (f"{v['microseconds']:8.3f} {v['x bare send']:6.1f}x" for v in row.values())
        print(f"  {name:24}" + "   ".join(cells))
