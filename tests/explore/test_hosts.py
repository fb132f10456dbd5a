"""Two hosts, one run: the Trio host and the inner loop say the same, event for event."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from random import Random as Dice
from typing import Any

import trio
from programs import build, contents, plain, program

from kmodel.explore.execution import Execution, Outcome, run
from kmodel.explore.host import TrioHost
from kmodel.explore.strategy import Random, Replay

PROGRAMS, SEEDS = 250, 3


class Listener:
    """Keeps each event as text."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(
        self, step: int, task: int, cause: int | None, event: str, fields: dict[str, Any]
    ) -> int:
        said = {name: plain(value) for name, value in fields.items()}
        self.lines.append(f"{step} {task} {cause} {event} {said}")
        return len(self.lines) - 1


Story = tuple[list[str], bytes, Outcome, tuple[Any, ...]]


def told(number: int, seed: int, on_trio: bool, steps: int) -> Story:
    """Everything that one run shows: events, choices, outcome, the values it leaves."""
    listener = Listener()
    execution = Execution(build(program(number)), listener)
    if on_trio:
        outcome = trio.run(TrioHost(execution, Random(seed), steps).run)
    else:
        outcome = run(execution, Random(seed), steps)
    return listener.lines, bytes(execution.choices), outcome, contents(execution.world)


def digest(programs: int) -> str:
    """One number for what the inner loop does on many programs."""
    total = hashlib.sha256()
    for number in range(programs):
        total.update(repr(told(number, number, False, 200)[:3]).encode())
    return total.hexdigest()


def test_hosts_agree_event_for_event(fuzz_seed: int) -> None:
    """Same program, same seed: equal events, choices, outcome and values; also where
    the run deadlocks, panics or reaches its bound."""
    kinds: Counter[str] = Counter()
    for number in range(fuzz_seed, fuzz_seed + PROGRAMS):
        for seed in range(SEEDS):
            steps = 5 if seed == 2 else 200
            inner = told(number, seed, False, steps)
            assert inner == told(number, seed, True, steps), (number, seed)
            kinds[inner[2].kind] += 1
    assert set(kinds) == {"done", "deadlock", "panic", "limit"}, kinds
    assert min(kinds.values()) >= 5, kinds


def test_a_recorded_schedule_replays_on_either_host(fuzz_seed: int) -> None:
    """The choices of a random run, followed again, give the same events."""
    for number in range(fuzz_seed, fuzz_seed + 50):
        lines, choices, outcome, left = told(number, 7, False, 200)
        for on_trio in (False, True):
            listener = Listener()
            execution = Execution(build(program(number)), listener)
            if on_trio:
                again = trio.run(TrioHost(execution, Replay(choices), 200).run)
            else:
                again = run(execution, Replay(choices), 200)
            assert (listener.lines, again, contents(execution.world)) == (lines, outcome, left)


def test_one_trio_run_can_hold_many_executions(fuzz_seed: int) -> None:
    """Nothing is left behind in Trio by one execution that the next could notice."""

    async def many() -> list[bytes]:
        found = []
        for number in range(fuzz_seed, fuzz_seed + 30):
            execution = Execution(build(program(number)))
            await TrioHost(execution, Random(number), 200).run()
            found.append(bytes(execution.choices))
        return found

    alone = []
    for number in range(fuzz_seed, fuzz_seed + 30):
        execution = Execution(build(program(number)))
        run(execution, Random(number), 200)
        alone.append(bytes(execution.choices))
    assert trio.run(many) == alone


def test_two_runs_side_by_side_do_not_mix() -> None:
    """Two executions that share one Trio loop keep their events apart."""

    async def both(first: int, second: int, told_by: list[Listener]) -> None:
        async with trio.open_nursery() as nursery:
            for number, listener in zip((first, second), told_by):
                execution = Execution(build(program(number)), listener)
                nursery.start_soon(TrioHost(execution, Random(number), 200).run)

    dice = Dice(1)
    for _ in range(40):
        first, second = dice.randrange(1000), dice.randrange(1000)
        listeners = [Listener(), Listener()]
        trio.run(both, first, second, listeners)
        for number, listener in zip((first, second), listeners):
            assert listener.lines == told(number, number, False, 200)[0], (first, second)


def test_hypothesis_and_hash_seeds_change_nothing() -> None:
    """Runs are the same with Hypothesis imported (it patches random and Trio notices)
    and without, and under any PYTHONHASHSEED."""
    folder = Path(__file__).parent
    digests = set()
    for imported in ("", "import hypothesis;"):
        for hash_seed in ("0", "99"):
            code = f"{imported}import test_hosts; print(test_hosts.digest(120))"
            env = dict(os.environ, PYTHONHASHSEED=hash_seed)
            env["PYTHONPATH"] = os.pathsep.join([str(folder), str(folder.parent.parent)])
            child = subprocess.run(
                [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
            )
            digests.add(child.stdout)
    assert len(digests) == 1
