"""Runs with several sleepers and several wakeups, and who really woke whom in them: whoever
took the thread off the queue, seen on the objects before and after each step."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

from kmodel.explore.execution import Execution, Outcome
from kmodel.explore.strategy import Random
from kmodel.log.record import Header, Record
from kmodel.log.recorder import Recorder
from kmodel.point import pause
from kmodel.sync.channel import Channel
from kmodel.sync.mutex import Mutex
from kmodel.sync.rwlock import RwLock, rwlock
from kmodel.world import World

NAMES = ("A", "B", "C", "W", "V", "Z")
"""A, B and C sleep, then want a lock; W and V wake; Z is only ever in the way."""

Woken = tuple[str, str, str, int]
"""Who came back from a wait, in which event; who had let it go, in which step."""


@attrs.define
class Sleepers:
    world: World
    mutex: Mutex
    chan: Channel
    lock: RwLock


def sleepers(policy: str = "wake-all") -> Sleepers:
    with World() as world:
        found = Sleepers(world, Mutex("m"), Channel("chan"), rwlock("lock", policy))

    async def sleep(write: bool) -> None:
        await found.mutex.enter()
        await found.chan.msleep(found.mutex)
        await pause()
        await found.mutex.leave()
        await found.lock.enter(write)
        await pause()
        await found.lock.exit()

    async def wake() -> None:
        while True:
            await found.mutex.enter()
            await found.chan.wakeup_one()
            await pause()
            await found.mutex.leave()
            await found.mutex.enter()
            await found.mutex.leave()
            await pause()
            await found.chan.wakeup()

    async def in_the_way() -> None:
        while True:
            await found.mutex.enter()
            await pause()
            await found.mutex.leave()
            await found.lock.enter(False)
            await pause()
            await found.lock.exit()

    for name in NAMES[:3]:
        world.task(name, sleep, name != "C")
    for name in NAMES[3:5]:
        world.task(name, wake, obliged=False)
    world.task("Z", in_the_way, obliged=False)
    return found


def steered(schedule: str, logs: Path | None = None) -> tuple[list[Record], Path | None]:
    """The records of a run in which the tasks step in the order of their letters."""
    world = sleepers().world
    with Recorder.start(Header(scenario="sleepers", tasks=NAMES), logs, keep=True) as recorder:
        execution = Execution(world, recorder)
        for name in schedule:
            index = NAMES.index(name)
            assert index in execution.enabled(), (name, execution.waiting())
            execution.step(index)
        execution.close()
        recorder.close(Outcome("limit", len(schedule)))
    return recorder.records, recorder.path


def random_runs(policy: str, seeds: int, steps: int) -> Iterator[tuple[list[Record], list[Woken]]]:
    """Records of random runs, and who was let go by whom in them, in order."""
    for seed in range(seeds):
        there = sleepers(policy)
        with Recorder.start(Header(scenario="sleepers", tasks=NAMES), keep=True) as recorder:
            truth = _watched(there, Execution(there.world, recorder), Random(seed), steps)
        yield recorder.records, truth


def _watched(there: Sleepers, execution: Execution, strategy: Random, steps: int) -> list[Woken]:
    let_go: dict[int, tuple[str, int]] = {}
    found: list[Woken] = []
    for step in range(steps):
        if execution.over():
            break
        chosen = strategy.choose(execution.enabled(), None)
        op = execution.pending[chosen]
        assert op is not None
        if chosen in let_go:
            found.append((NAMES[chosen], op[0].event, *let_go.pop(chosen)))
        before = _waits(there, execution)
        execution.step(chosen)
        for index in before - _waits(there, execution):
            if index != chosen:
                let_go[index] = NAMES[chosen], step
    execution.close()
    return found


def _waits(there: Sleepers, execution: Execution) -> set[int]:
    """Who is on a queue, or spins for a mutex that another holds."""
    found = {task.index for task in there.chan.sleepers}
    for index, op in enumerate(execution.pending):
        event: Any = op and op[0].event
        if event == "lock.contended" and there.lock.asleep(there.world.tasks[index]):
            found.add(index)
        if event == "mutex.enter" and there.mutex.owner is not None:
            found.add(index)
    return found
