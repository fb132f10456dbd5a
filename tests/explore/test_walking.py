"""Walks through a graph are the runs that the same strategy gives on plain objects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from programs import build, program
from toys import Counter

from kmodel.event import say
from kmodel.explore.cycle import Order
from kmodel.explore.execution import Execution, Outcome, run
from kmodel.explore.graph import Graph, Limits, Search
from kmodel.explore.strategy import Random
from kmodel.explore.walking import HANGS, Walked, Walks
from kmodel.point import Loop, pause
from kmodel.world import World

STEPS = 60


def searched(world: World, expansions: int) -> Graph:
    search = Search(world, Limits())
    if search.advance(expansions):
        search.interrupt("enough")
    return search.graph


def both(
    make: Callable[[], World], expansions: int, seeds: int
) -> list[tuple[Walked, Outcome, bytes]]:
    """Each seed walked through the graph, and run on objects of its own."""
    graph = searched(make(), expansions)
    walks = Walks(graph, Order(graph))
    found = []
    for seed in range(seeds):
        execution = Execution(make())
        outcome = run(execution, Random(seed), STEPS)
        walked = walks.run(Random(seed), lambda event, fields: None, STEPS)
        found.append((walked, outcome, bytes(execution.choices)))
    return found


@pytest.mark.parametrize("expansions", [100_000, 40, 1])
def test_a_walk_is_the_run_of_the_same_seed(
    expansions: int, fuzz_seed: int, fuzz_scale: int
) -> None:
    """Choice for choice, to the same end, whether or not the search saw all of it."""
    kinds: dict[str, int] = {}
    for number in range(fuzz_seed, fuzz_seed + 150 * fuzz_scale):
        tried = program(number)
        for walked, outcome, choices in both(lambda tried=tried: build(tried), expansions, 3):
            kinds[walked.kind] = kinds.get(walked.kind, 0) + 1
            if walked.kind == HANGS:
                assert outcome.kind in ("deadlock", "limit")
                assert choices.startswith(walked.choices)
            else:
                assert (walked.kind, walked.choices) == (outcome.kind, choices)
    assert {"done", "panic"} <= set(kinds)


def rounds(stops: bool) -> Callable[[], World]:
    """``a`` goes round for ever, or until ``b`` has let it go."""

    def make() -> World:
        with World() as world:
            counter = Counter()

        async def a() -> None:
            loop = Loop()
            while not await counter.reached(1):
                loop.head()

        async def b() -> None:
            await pause()
            if stops:
                await counter.up()

        world.task("a", a)
        world.task("b", b)
        return world

    return make


def test_a_walk_is_broken_off_where_it_begins_to_go_round_for_ever() -> None:
    """Not after a bound of steps."""
    for walked, outcome, _ in both(rounds(stops=False), 1000, 20):
        assert (walked.kind, outcome.kind) == (HANGS, "limit")
        settled = max(walked.choices.index(0), walked.choices.rindex(1))
        assert len(walked.choices) - settled <= 3, "b has ended, and a goes round"
    for walked, outcome, _ in both(rounds(stops=True), 1000, 10):
        assert (walked.kind, outcome.kind) == ("done", "done")


def test_a_walk_goes_on_while_somebody_is_on_the_way() -> None:
    """One task hangs already, and a third goes round: what the second says is heard."""

    def make() -> World:
        with World() as world:
            counter = Counter()

        async def hangs() -> None:
            loop = Loop()
            while not await counter.reached(1):
                loop.head()

        async def speaks() -> None:
            for number in range(5):
                await pause()
                say("mark", text=str(number))

        world.task("a", hangs)
        world.task("b", speaks)
        return world

    graph = searched(make(), 1000)
    for seed in range(10):
        heard: list[Any] = []
        walks = Walks(graph, Order(graph))
        walked = walks.run(Random(seed), lambda *said, heard=heard: heard.append(said), 200)
        assert (walked.kind, len(heard)) == (HANGS, 5)


def test_in_a_graph_that_is_not_whole_nobody_knows_what_can_end() -> None:
    """So a walk goes on to its bound."""
    for walked, _, _ in both(rounds(stops=False), 1, 5):
        assert (walked.kind, len(walked.choices)) == ("limit", STEPS)


def test_what_is_said_is_heard_in_its_order() -> None:
    """Each event of the run, once."""

    def make() -> World:
        world = World()

        async def speak() -> None:
            for number in range(3):
                await pause()
                say("mark", text=str(number))

        world.task("a", speak)
        return world

    graph = searched(make(), 100)
    heard: list[Any] = []
    Walks(graph, Order(graph)).run(Random(0), lambda event, fields: heard.append(fields), STEPS)
    assert [fields["text"] for fields in heard] == ["0", "1", "2"]
