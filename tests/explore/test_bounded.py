"""The bounded search: what it finds within a bound is what schedules within it reach."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import stories
from enumeration import TooMany, done, facts_of, searched, values
from programs import build, program
from switches import cheapest, levels
from test_preemptions import Number

from kmodel.case import Case
from kmodel.cli import run_command_line
from kmodel.explore.bounded import BEYOND, Bounded
from kmodel.explore.graph import Graph, Limits
from kmodel.explore.preemption import delays, forced
from kmodel.explore.purity import pure
from kmodel.explore.schedule import parse
from kmodel.joint import explore_within
from kmodel.panic import Panic
from kmodel.point import pause
from kmodel.shown import show
from kmodel.verdict import Verdict
from kmodel.world import World

CHUNKS = 4
MOST = 250
DEEPEST = 4


def ends(graph: Graph) -> set[tuple[str, Any]]:
    """Where the schedules that were searched end."""
    facts = facts_of(graph)
    found: set[tuple[str, Any]] = {("final", where) for where in facts.finals}
    found |= {("deadlock", where) for where in facts.deadlocks}
    panics = {v.message for v in graph.violations if v.property == "no panic"}
    return found | {("panic", message) for message in panics}


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_bounded_finds_what_schedules_within_the_bound_reach(
    chunk: int, fuzz_seed: int, fuzz_scale: int
) -> None:
    """Final states, deadlocks and panics are those of plain enumeration, bound by bound."""
    count = 200 * fuzz_scale
    first = fuzz_seed + 700_000 + chunk * count
    compared = needed = 0
    for seed in range(first, first + count):
        tried = program(seed)
        try:
            oracle = cheapest(lambda tried=tried: build(tried), MOST)
        except TooMany:
            continue
        bound = -1
        for bound, (_, graph) in enumerate(levels(build(tried), "bounded", DEEPEST)):
            within = {end for end, cost in oracle.items() if cost[0] <= bound}
            assert ends(graph) == within, (seed, bound, tried)
        if graph.complete:
            assert ends(graph) == set(oracle), (seed, tried)
        compared += 1
        needed += any(cost[0] for cost in oracle.values())
    assert compared > count // 2, "most programs are too big for the oracle"
    assert needed > count // 20, "too few programs need a preemption to say anything"


def test_a_bound_that_covers_everything_says_so(fuzz_seed: int) -> None:
    """Then the graph is that of the complete search, and only then is it complete."""
    complete = partial = 0
    for seed in range(fuzz_seed + 720_000, fuzz_seed + 720_150):
        whole = searched(build(program(seed)))
        for _, graph in levels(build(program(seed)), "bounded", 3):
            same = (len(graph), graph.transitions) == (len(whole), whole.transitions)
            beyond = any(BEYOND in row for row in graph.succ)
            assert not graph.complete or (same and not beyond), seed
            assert graph.complete or beyond, seed
        complete, partial = complete + graph.complete, partial + (not graph.complete)
    assert complete
    assert partial


def within_delays(graph: Graph, most: int) -> set[Any]:
    """States that schedules with at most so many delays reach; every budget by itself."""
    nobody = len(graph.world.tasks)
    seen = {(0, nobody, 0)}
    todo = list(seen)
    for state, last, used in todo:
        for task, cost in delays(graph.succ[state], last):
            to = graph.succ[state][task]
            skip = last == nobody and forced(graph, state, task)
            place = (to, nobody if skip else task, used + cost)
            if to >= 0 and place[2] <= most and place not in seen:
                seen.add(place)
                todo.append(place)
    return {(values(graph, state), done(graph, state)) for state, _, _ in seen}


def test_delays_find_what_schedules_within_them_reach(fuzz_seed: int) -> None:
    for seed in range(fuzz_seed + 730_000, fuzz_seed + 730_150):
        whole = searched(build(program(seed)))
        if len(whole) > 300:
            continue
        for bound, (_, graph) in enumerate(levels(build(program(seed)), "delay", 4)):
            here = {(values(graph, one), done(graph, one)) for one in range(len(graph))}
            assert here == within_delays(whole, bound), (seed, bound)


def reorder(setters: int, place: int) -> Callable[[], World]:
    """Setters write two fields, each in a step; a checker, the ``place``-th task, must
    never see only the first written."""

    def make() -> World:
        with World() as world:
            one, two = Number(), Number()

        async def put() -> None:
            await pause()
            one.value = 1
            await pause()
            two.value = 1

        async def look() -> None:
            await pause()
            if one.value != two.value:
                raise Panic("half written")

        for number in range(setters + 1):
            world.task(f"t{number}", look if number == place else put)
        return world

    return make


def found_at(make: Callable[[], World], kind: Any) -> int | None:
    """The bound at which something is found."""
    search = Bounded(make(), Limits(), kind, 8)
    while search.advance(100):
        pass
    return search.levels[-1].bound if search.levels[-1].found else None


@pytest.mark.parametrize("setters", [2, 3, 4])
def test_delays_depend_on_the_order_of_tasks(setters: int) -> None:
    """One preemption shows it wherever the checker stands; in delays it is as far away as
    round robin has it come."""
    for place in range(setters + 1):
        assert found_at(reorder(setters, place), "bounded") == 1
    assert found_at(reorder(setters, setters), "delay") == setters
    assert found_at(reorder(setters, 1), "delay") == 1


def test_no_delays_are_one_schedule() -> None:
    search, graph = next(levels(reorder(3, 3)(), "delay", 0))
    assert all(sum(to >= 0 for to in row) <= 1 for row in graph.succ)
    assert str(search.levels[0]).startswith("none within 0 delays: ")


def test_limits_end_it_and_keep_what_is_there() -> None:
    search = Bounded(reorder(4, 4)(), Limits(states=30), "bounded", 8, go_on=True)
    while search.advance(5):
        pass
    assert search.graph.stopped_by == "30 states"
    assert not search.graph.complete
    assert len(search.graph) >= 30


# verdicts


def judged(path: Path, text: str, kind: Any, bound: int, **given: Any) -> Verdict:
    (path / "story.py").write_text(text)
    with pure():
        case = Case.of(str(path / "story.py"), given)
        verdict = explore_within(case, Limits(), kind, bound, None).verdict()
        if verdict.replay:
            assert show(case, parse(verdict.replay)) == verdict.digest
    return verdict


def test_nothing_within_a_bound_is_no_pass(tmp_path: Path) -> None:
    """None within 0 preemptions, and it says how far that goes."""
    verdict = judged(tmp_path, stories.CROSSED, "bounded", 0)
    assert (verdict.verdict, verdict.kind, verdict.strategy) == ("inconclusive", None, "bounded")
    assert verdict.message.startswith("none within 0 preemptions, and more lies beyond")
    assert "not judged: deadlock of some" in verdict.message
    assert not verdict.evidence.complete
    assert verdict.evidence.bound == "0 preemptions"


@pytest.mark.parametrize(
    ("kind", "copies", "bound", "before"),
    [
        ("bounded", 1, "none", "0 preemptions"),
        ("bounded", 2, "1 preemption", "0 preemptions"),
        ("delay", 1, "1 delay", "0 delays"),
    ],
)
def test_a_deadlock_is_found_at_its_bound(
    tmp_path: Path, kind: str, copies: int, bound: str, before: str
) -> None:
    """Missed with one less; of one copy a preemption covers everything."""
    verdict = judged(tmp_path, stories.CROSSED, kind, 5, copies=copies)
    assert (verdict.verdict, verdict.kind, verdict.property) == ("violated", "deadlock", "ends")
    assert f"none within {before}" in verdict.message
    assert verdict.evidence.bound == bound
    assert verdict.evidence.complete == (bound == "none")
    assert ("so all is judged" in verdict.message) == verdict.evidence.complete


def test_a_leak_is_found_without_preemptions(tmp_path: Path) -> None:
    verdict = judged(tmp_path, stories.LEAK, "bounded", 2)
    assert (verdict.verdict, verdict.kind) == ("violated", "leak")


def test_what_covers_everything_may_hold(tmp_path: Path) -> None:
    verdict = judged(tmp_path, stories.QUIET, "bounded", 2)
    assert (verdict.verdict, verdict.evidence.complete) == ("holds", True)
    assert "a bound of 0 preemptions covers every step there is" in verdict.message


def test_the_command_says_each_bound(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A line a bound, then the verdict, what it was found with, and why this search."""
    path = tmp_path / "story.py"
    path.write_text(stories.CROSSED)
    assert run_command_line(["explore", str(path), "--search", "bounded", "--bound", "0"]) == 4
    capsys.readouterr()
    assert run_command_line(["explore", str(path), "--search", "bounded"]) == 1
    out = capsys.readouterr().out
    assert "\n  found within 1 preemption: " in out
    assert out.startswith("  none within 0 preemptions: ")
    assert "\n  found with 1 preemption, " in out
    assert "\n  search: bounded: " in out
    assert run_command_line(["explore", str(path)]) == 1
    assert "\n  search: dfs: complete over exact states, and liveness" in capsys.readouterr().out
    assert run_command_line(["explore", str(path), "--bound", "1"]) == 2
    capsys.readouterr()
    arguments = ["--search", "delay", "--bound", "0", "--json"]
    assert run_command_line(["explore", str(path), *arguments]) == 4
    assert json.loads(capsys.readouterr().out)["strategy"] == "delay"
