"""A search of orbits reaches what a search of every state reaches, and it notices when tasks
are not as alike as they look."""

from __future__ import annotations

from collections.abc import Callable
from math import comb
from random import Random

import pytest
from enumeration import TooMany, enumerate_all, facts_of, searched, values
from likes import PRETENCES, Cell, bounded_buffer, lockers, owners, philosophers, pretender
from programs import build, like_program
from toys import chain

from kmodel.explore.drive import drive
from kmodel.explore.graph import Graph, Limits
from kmodel.explore.likeness import Unlike, then
from kmodel.explore.orbit import LikeHistories, Orbital
from kmodel.explore.unfolded import Unfolded
from kmodel.point import pause
from kmodel.world import World

CHUNKS = 4


def orbital(world: World) -> Orbital:
    search = Orbital(world, Limits())
    drive(search)
    assert search.graph.complete
    return search


def everywhere(graph: Graph) -> set[object]:
    """Every real state: the values, and who is done."""
    tasks = range(len(graph.world.tasks))
    return {
        (values(graph, number), tuple(graph.done(number, task) for task in tasks))
        for number in range(len(graph))
    }


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_it_finds_what_a_search_of_every_state_finds(
    chunk: int, fuzz_seed: int, fuzz_scale: int
) -> None:
    """All states, final states, deadlocks and panics of random programs with 2-4 like tasks."""
    count = 150 * fuzz_scale
    first = fuzz_seed + 800_000 + chunk * count
    states = orbits = 0
    ways = set()
    for seed in range(first, first + count):
        tried = like_program(seed)
        whole = searched(build(tried), limits=Limits(states=1500), batch=100)
        if not whole.complete:
            continue
        search = orbital(build(tried))
        unfolded = Unfolded(search)
        assert facts_of(unfolded) == facts_of(whole), (seed, tried)
        assert everywhere(unfolded) == everywhere(whole), (seed, tried)
        states, orbits = states + len(whole), orbits + len(search.graph)
        ways.add(len(search.like.turns))
    assert ways == {2, 6, 24}
    assert states > 2 * orbits


def test_it_finds_what_plain_enumeration_finds(fuzz_seed: int) -> None:
    compared = 0
    for seed in range(fuzz_seed + 830_000, fuzz_seed + 830_150):
        tried = like_program(seed)
        try:
            oracle, _ = enumerate_all(lambda tried=tried: build(tried), 300)
        except TooMany:
            continue
        assert facts_of(Unfolded(orbital(build(tried)))) == oracle, (seed, tried)
        compared += 1
    assert compared > 30


def test_one_state_stands_for_an_orbit(fuzz_seed: int) -> None:
    """The canonical form of a state is that of all states of its orbit, one of them, its own
    canonical form, and what the turn leads to."""
    moved = 0
    for seed in range(fuzz_seed + 840_000, fuzz_seed + 840_040):
        search = orbital(build(like_program(seed)))
        like, graph, random = search.like, search.graph, Random(seed)
        for _ in range(20):
            kept = graph.state(random.randrange(len(graph)))
            orbit = [turn.state(kept) for turn in like.turns]
            for state in orbit:
                best, number = like.canonical(state)
                assert best == kept
                assert like.turns[number].state(state) == best
                assert like.canonical(best)[0] == best
                moved += state != kept
            assert {bytes(turn.state(state)) for turn in like.turns for state in orbit} == {
                bytes(state) for state in orbit
            }
    assert moved


def test_turns_of_states_are_a_group() -> None:
    """Two turns one after the other are one, also of what tasks know of each other."""
    search = orbital(build(like_program(800_011)))
    turns, graph = search.like.turns, search.graph
    assert len(turns) > 2
    for number in range(0, len(graph), 7):
        state = graph.state(number)
        for one in turns:
            for two in turns:
                both = tuple(two.tasks[place] for place in one.tasks)
                product = turns[search.like.number[both]]
                assert two.state(one.state(state)) == product.state(state)


@pytest.mark.parametrize("make", [lambda: lockers(4, 1), lambda: philosophers(5)])
def test_every_turn_is_a_product_of_the_few_that_are_compared(make: Callable[[], World]) -> None:
    """In the order that its word says."""
    like = LikeHistories(make())
    for turn, word in zip(like.turns, like._words):
        place = tuple(range(len(turn.tasks)))
        for number in word:
            place = then(place, like.turns[number].tasks)
        assert place == turn.tasks
    assert 0 < len(like._made) < 4


@pytest.mark.parametrize("tasks", [2, 3, 4])
def test_independent_tasks_leave_one_state_of_each_multiset(tasks: int) -> None:
    """Of tasks at 4 places each (once all have begun, alone) only how many are where counts."""
    whole, search = searched(chain(tasks, 3)), orbital(chain(tasks, 3))
    assert len(whole) == 4**tasks + tasks
    assert len(search.graph) == comb(tasks + 3, 3) + tasks


def test_few_states_are_left() -> None:
    for make, less in (
        (lambda: lockers(3, 5), 4.5),
        (lambda: lockers(4, 5), 14),
        (lambda: bounded_buffer(2, 1), 1.5),
        (lambda: bounded_buffer(3, 3), 6),
        (lambda: philosophers(5), 4.5),
    ):
        assert len(searched(make())) > less * len(orbital(make()).graph)


@pytest.mark.parametrize("what", PRETENCES)
def test_tasks_that_only_look_alike_are_noticed(what: str) -> None:
    with pytest.raises(Unlike, match=r"with . and . in each other's places, \w \w+"):
        orbital(pretender(what)())


def test_what_differs_at_the_start_is_noticed() -> None:
    """A shared object that knows one of them."""
    with World() as world:
        cell = Cell()

    async def idle() -> None:
        await pause()

    first = world.task("A", idle)
    world.task("B", idle)
    cell.value = first  # type: ignore[assignment]
    with pytest.raises(Unlike, match=r"cell0.value is not the same at the start"):
        Orbital(world, Limits())


@pytest.mark.parametrize("tell", [1, 2, 3])
def test_a_check_that_tells_tasks_apart_is_asked_about_every_state(tell: int) -> None:
    """Whatever it says of any state is found."""
    found = {(wrong.property, wrong.message) for wrong in orbital(owners(tell)).graph.violations}
    every = {(wrong.property, wrong.message) for wrong in searched(owners(tell)).violations}
    assert found == every


def test_a_check_that_names_a_task_may_name_its_like() -> None:
    """It says the same of all states of an orbit but for the names, and is asked about one."""

    def make() -> World:
        world = lockers(3, 2)
        mutex = world.objects[0]
        world.check("free", lambda: mutex.owner and f"{mutex.owner} has it")
        return world

    search = orbital(make())
    assert not search._each
    assert {wrong.message for wrong in search.graph.violations} <= {
        wrong.message for wrong in searched(make()).violations
    }
    assert search.graph.violations
