"""The search against plain enumeration: random programs, every schedule of each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from random import Random

import pytest
from enumeration import TooMany, enumerate_all, facts_of, searched, values
from programs import Program, build, contents, program

from kmodel.explore.execution import Execution
from kmodel.explore.graph import Graph

CHUNKS = 8
CHUNK = 200
MOST = 300
"""Schedules of one program in the default run; programs with more are skipped."""


def compare(seeds: Iterable[int], most: int, fresh: bool = False) -> dict[str, int]:
    """Compare search and oracle on the programs of ``seeds``; say what they were like."""
    tally = {"compared": 0, "deadlocks": 0, "panics": 0}
    for seed in seeds:
        tried = program(seed)
        try:
            oracle, _ = enumerate_all(lambda tried=tried: build(tried), most, fresh)
        except TooMany:
            continue
        found = facts_of(searched(build(tried)))
        assert found.finals == oracle.finals, f"final states of program {seed}: {tried}"
        assert found.deadlocks == oracle.deadlocks, f"deadlocks of program {seed}: {tried}"
        assert found.panics == oracle.panics, f"panics of program {seed}: {tried}"
        tally["compared"] += 1
        tally["deadlocks"] += bool(oracle.deadlocks)
        tally["panics"] += bool(oracle.panics)
    return tally


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_search_finds_what_every_schedule_reaches(
    chunk: int, fuzz_seed: int, fuzz_scale: int
) -> None:
    """Final states, deadlocks and panics are exactly those of plain enumeration."""
    first, count = fuzz_seed + chunk * CHUNK * fuzz_scale, CHUNK * fuzz_scale
    tally = compare(range(first, first + count), MOST)
    assert tally["compared"] > count // 2, "most programs are too big for the oracle"
    assert tally["deadlocks"] > count // 50, "too few programs deadlock to say anything"
    assert tally["panics"] > count // 50, "too few programs panic to say anything"


@pytest.mark.slow
@pytest.mark.parametrize("chunk", range(8))
def test_search_finds_what_every_schedule_of_larger_programs_reaches(
    chunk: int, fuzz_seed: int, fuzz_scale: int
) -> None:
    """The same with more schedules a program, each on objects of its own."""
    first = fuzz_seed + 500_000 + chunk * 1000 * fuzz_scale
    assert compare(range(first, first + 1000 * fuzz_scale), 4000, fresh=True)["compared"] > 500


def a_path_to(graph: Graph) -> list[bytes]:
    """For each state, choices that lead there."""
    paths: list[bytes | None] = [None] * len(graph)
    paths[0] = b""
    todo = [0]
    for state in todo:
        here = paths[state]
        assert here is not None
        for task, to in enumerate(graph.succ[state]):
            if to >= 0 and paths[to] is None:
                paths[to] = here + bytes([task])
                todo.append(to)
    assert None not in paths, "a state that nothing leads to"
    return [path for path in paths if path is not None]


def replayed(tried: Program, choices: bytes) -> Execution:
    execution = Execution(build(tried))
    for choice in choices:
        assert choice in execution.enabled()
        execution.step(choice)
    return execution


def test_each_state_is_where_its_path_leads(fuzz_seed: int) -> None:
    """Replaying a path on plain objects gives the values and the enabled tasks of
    the state that the search says it leads to."""
    for seed in range(fuzz_seed + 100_000, fuzz_seed + 100_150):
        tried = program(seed)
        graph = searched(build(tried))
        paths = a_path_to(graph)
        for number in Random(seed).sample(range(len(graph)), min(len(graph), 40)):
            execution = replayed(tried, paths[number])
            assert contents(execution.world) == values(graph, number), (seed, paths[number])
            able = [task for task, to in enumerate(graph.succ[number]) if to != -1]
            if 1 not in graph.state(number)[graph.histories.locations :]:
                assert execution.over() or execution.enabled() == able, (seed, paths[number])
            execution.close()


def test_each_edge_does_what_one_step_does(fuzz_seed: int) -> None:
    """A transition changes the shared values as one step of real code does, also when
    it was remembered and not run."""
    for seed in range(fuzz_seed + 200_000, fuzz_seed + 200_100):
        tried = program(seed)
        graph = searched(build(tried))
        paths = a_path_to(graph)
        edges = list(graph.edges())
        for state, task, to, _ in Random(seed).sample(edges, min(len(edges), 40)):
            execution = replayed(tried, paths[state] + bytes([task]))
            assert contents(execution.world) == values(graph, to), (seed, paths[state], task)
            execution.close()


def test_both_orders_find_the_same_states(fuzz_seed: int) -> None:
    """Depth first and breadth first fill the same graph, numbered otherwise."""
    for seed in range(fuzz_seed + 300_000, fuzz_seed + 300_200):
        deep = searched(build(program(seed)), "dfs")
        wide = searched(build(program(seed)), "bfs")
        assert (len(deep), deep.transitions) == (len(wide), wide.transitions), seed
        assert facts_of(deep) == facts_of(wide), seed
        assert {values(deep, one) for one in range(len(deep))} == {
            values(wide, one) for one in range(len(wide))
        }, seed


def test_the_size_of_a_batch_changes_nothing(fuzz_seed: int) -> None:
    """How often the driver gets control back does not show in the graph."""
    for seed in range(fuzz_seed + 300_000, fuzz_seed + 300_050):
        one = searched(build(program(seed)), batch=1)
        all_at_once = searched(build(program(seed)))
        assert (one.keys, one.succ) == (all_at_once.keys, all_at_once.succ), seed


def numbers(first: int, count: int) -> list[list[object]]:
    """What a search may not vary in: sizes, edges and violations in order."""
    found: list[list[object]] = []
    for seed in range(first, first + count):
        graph = searched(build(program(seed)))
        wrong = [[v.kind, v.message, v.state, v.task] for v in graph.violations]
        found.append([len(graph), graph.transitions, wrong, graph.succ])
    return found


def test_a_search_is_the_same_twice_and_under_any_hash_seed() -> None:
    """States, transitions and violations come out equal and in the same order."""
    here = json.loads(json.dumps(numbers(0, 60)))
    assert here == json.loads(json.dumps(numbers(0, 60)))
    code = "import json, test_enumeration as t; print(json.dumps(t.numbers(0, 60)))"  # in a child
    folder = Path(__file__).parent
    for hash_seed in ("0", "1", "4711"):
        env = dict(os.environ, PYTHONHASHSEED=hash_seed)
        env["PYTHONPATH"] = os.pathsep.join([str(folder), str(folder.parent.parent)])
        child = subprocess.run(
            [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
        )
        assert json.loads(child.stdout) == here, f"PYTHONHASHSEED={hash_seed}"
