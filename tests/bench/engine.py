"""What a step costs, measured in one run: CPU time, medians of interleaved rounds.

    python tests/bench/engine.py [--rounds N] [--json FILE]

Ratios are against the same model coroutines driven by a bare send loop (nothing
chosen, nothing recorded, effects not applied). Compare ratios, not absolute numbers.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import trio

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from kmodel import fixes  # noqa: E402
from kmodel.explore.execution import Execution, run  # noqa: E402
from kmodel.explore.graph import Limits, Search  # noqa: E402
from kmodel.explore.history import Histories  # noqa: E402
from kmodel.explore.host import TrioHost  # noqa: E402
from kmodel.explore.strategy import Random  # noqa: E402
from kmodel.machine import Machine  # noqa: E402
from kmodel.param import KernelParams  # noqa: E402
from kmodel.point import Loop, pause  # noqa: E402
from kmodel.shared import shared  # noqa: E402
from kmodel.world import World  # noqa: E402

TASKS, STEPS = 3, 20
REPEAT = 60
"""Schedules a round."""

Measured = dict[str, Callable[[], tuple[float, int]]]
"""Name -> something that does work and says how long it took and how much it was."""


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


def schedules_inner() -> tuple[float, int]:
    worlds = [model(1) for _ in range(REPEAT)]
    began = time.process_time()
    for seed, world in enumerate(worlds):
        run(Execution(world), Random(seed), 1000)
    return time.process_time() - began, REPEAT


def schedules_trio() -> tuple[float, int]:
    worlds = [model(1) for _ in range(REPEAT)]
    began = time.process_time()
    for seed, world in enumerate(worlds):
        trio.run(TrioHost(Execution(world), Random(seed), 1000).run)
    return time.process_time() - began, REPEAT


def contended_kernel_map() -> World:
    """As scenarios/contended_kernel_map.py builds it by default."""
    machine = Machine(KernelParams(), fixes.load("wait"))
    space = machine.process()
    for number, name in enumerate("AB", 1):
        machine.cpu(name, space.fault(0x20_0000 * number, write=True))
    machine.background("K", machine.kernel_map.churn())
    return machine.finish()


def search_scenario() -> dict[str, float]:
    search = Search(contended_kernel_map(), Limits(states=300_000, seconds=120))
    began = time.process_time()
    while search.advance(2_000):
        pass
    taken = time.process_time() - began
    graph = search.graph
    return {
        "states": len(graph),
        "transitions": graph.transitions,
        "steps of real code": search.histories.runs,
        "seconds": round(taken, 3),
        "states/s": round(len(graph) / taken),
        "transitions/s": round(graph.transitions / taken),
    }


def medians(measured: Measured, rounds: int) -> dict[str, float]:
    """Seconds for one unit of each, in rounds that run them in shuffled order."""
    found: dict[str, list[float]] = {name: [] for name in measured}
    order, dice = list(measured), random.Random(1)
    for _ in range(rounds):
        dice.shuffle(order)
        for name in order:
            taken, units = measured[name]()
            found[name].append(taken / units)
    return {name: median(times) for name, times in found.items()}


def measure(rounds: int) -> dict[str, Any]:
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
    work |= {"schedule, inner loop": schedules_inner, "schedule, Trio": schedules_trio}
    each = medians(work, rounds)
    steps = {
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
    inner, hosted = 1 / each["schedule, inner loop"], 1 / each["schedule, Trio"]
    return {
        "steps": steps,
        "schedules/s": {
            "inner loop": round(inner),
            "Trio": round(hosted),
            "ratio": round(inner / hosted, 1),
        },
        "contended_kernel_map": search_scenario(),
    }


def show(found: dict[str, Any]) -> None:
    print("a step, by tracked accesses in it (microseconds, times a bare send)")
    for name, row in found["steps"].items():
        cells = (f"{v['microseconds']:8.3f} {v['x bare send']:6.1f}x" for v in row.values())
        print(f"  {name:24}" + "   ".join(cells))
    for title in ("schedules/s", "contended_kernel_map"):
        print(title)
        for name, value in found[title].items():
            print(f"  {name:24}{value:12,}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = measure(options.rounds)
    show(found)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
