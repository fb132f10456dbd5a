"""The aim: a recorded step costs at most 5 times the same coroutines driven bare in a fixed
round robin (guards and effects applied, nothing recorded) with history and key, and at
most 7 times with footprints and races too.

Recording always has all of these at once. A search runs a step of model code once for each
combination of values that it reads, and from then on takes it from its tables; so there are
two costs: of a step that runs and is recorded, and of a step of a whole search, the model code
that it ran included.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from rounds import Measured, medians
from story import STORIES, searched

from kmodel.explore.coroutine import close
from kmodel.explore.history import DONE, Histories
from kmodel.explore.race import races
from kmodel.explore.tree import BLOCKED
from kmodel.point import RUN, START, Op
from kmodel.world import World, leave

Build = Callable[[], World]
MOST: Final = 200
"""Steps of one run in round robin (a fault may never end in it)."""
REPEAT: Final = 12
AIMS: Final = {
    "recorded": 7,
    "transition": 5,
    "transition, races judged": 7,
}


def bare(build: Build) -> tuple[float, int]:
    """Every task in turn: its operation if it may go, and on to its next point."""
    taken, steps = 0.0, 0
    for _ in range(REPEAT):
        world = build()
        world.seal()
        coros = [start() for start in world.starts]
        pending: list[Op | None] = [(START, None, ()) for _ in coros]
        left, done = sum(task.obliged for task in world.tasks), 0
        began = time.process_time()
        while left and done < MOST:
            for task, coro in zip(world.tasks, coros):
                op = pending[task.index]
                if op is None or not (op[0].guard is None or op[0].guard(op[1], *op[2])):
                    continue
                done += 1
                RUN.task = task
                try:
                    pending[task.index] = coro.send(op[0].effect(op[1], *op[2]))
                except StopIteration:
                    pending[task.index] = None
                    left -= task.obliged
        taken += time.process_time() - began
        steps += done
        leave()
        for coro in coros:
            close(coro)
    return taken, steps


def recorded(build: Build) -> tuple[float, int]:
    """The same on recorded objects: history, footprint and key of every step. ``steps`` are
    those that ran model code; the others are taken from the tables, and are in the time."""
    taken, ran = 0.0, 0
    for _ in range(REPEAT):
        histories = Histories(build())
        tasks = histories.world.tasks
        state, seen, done = histories.initial, set(), 0
        places = [histories.locations + task.index for task in tasks]
        obliged = [places[task.index] for task in tasks if task.obliged]
        began = time.process_time()
        while done < MOST and any(state[place] != DONE for place in obliged):
            for task, place in zip(tasks, places):
                node = histories.node(state, task.index)
                leaf = BLOCKED if node.op is None else histories.leaf(node, state)
                if leaf is BLOCKED or leaf.next is None:
                    continue
                done += 1
                state = state[:]
                for where, code in leaf.stores:
                    state[where] = code
                state[place] = leaf.next.index
                seen.add(state.tobytes())
        taken += time.process_time() - began
        ran += sum(leaf.next is not None for _, leaf in histories.leaves)
        histories.close()
    return taken, ran


def transition(build: Build) -> tuple[float, int]:
    world = build()
    began = time.process_time()
    search = searched(world)
    return time.process_time() - began, search.graph.transitions


def judged(build: Build) -> tuple[float, int]:
    """Footprints are used: races are looked for in all that was searched."""
    world = build()
    began = time.process_time()
    search = searched(world)
    races(search.graph)
    return time.process_time() - began, search.graph.transitions


def measure(rounds: int, stories: list[str]) -> dict[str, Any]:
    kinds = {"bare": bare, **dict(zip(AIMS, (recorded, transition, judged)))}
    work: Measured = {
        f"{story}: {name}": lambda function=function, story=story: function(STORIES[story])
        for story in stories
        for name, function in kinds.items()
    }
    each = medians(work, rounds)
    return {story: _row(each, story) for story in stories}


def _row(each: dict[str, float], story: str) -> dict[str, Any]:
    base = each[f"{story}: bare"]
    row: dict[str, Any] = {"bare, microseconds": round(base * 1e6, 3)}
    for name, aim in AIMS.items():
        times = round(each[f"{story}: {name}"] / base, 1)
        row[name] = {"x bare": times, "aim": aim, "met": times <= aim}
    return row


def show(found: dict[str, Any]) -> None:
    print("a step, times the same coroutines bare in a fixed round robin")
    for story, row in found.items():
        print(f"  {story} (bare: {row['bare, microseconds']} microseconds)")
        for name in AIMS:
            x, aim, met = row[name].values()
            print(f"    {name:26}{x:6.1f}x   aim {aim}x: {'met' if met else 'NOT met'}")
