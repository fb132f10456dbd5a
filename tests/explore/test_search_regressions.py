"""Programs on which the explorer was wrong, or believed what it should have refused.

Each was found by trying to break it, and is right now.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import attrs
import pytest
from enumeration import enumerate_all, facts_of, searched, values
from programs import Program, build

from kmodel.explore.graph import Graph, Limits, Search
from kmodel.explore.race import races
from kmodel.panic import Panic
from kmodel.point import Loop, pause, procedure
from kmodel.recorder import SharedStateError
from kmodel.shared import fields, shared
from kmodel.sync.channel import Channel
from kmodel.sync.mutex import Mutex
from kmodel.sync.rwlock import rwlock
from kmodel.table import Table
from kmodel.world import ScenarioError, World

REFUSED = (ScenarioError, SharedStateError)


@shared
class Pair:
    x: int
    y: int

    def __init__(self, x: int = 0) -> None:
        self.x, self.y = x, 0


def agree(build: Callable[[], World]) -> bool:
    return facts_of(searched(build())) == enumerate_all(build, 5000, fresh=True)[0]


def alone(make: Callable[[Pair], Callable[[], Any]]) -> Callable[[], World]:
    """A world with one task."""

    def build() -> World:
        with World() as world:
            pair = Pair()
        world.task("a", make(pair))
        return world

    return build


# two places with one history


def test_a_procedure_that_calls_itself() -> None:
    """After the inner return and after the outer one are two places."""

    def make(pair: Pair) -> Callable[[], Any]:
        @procedure
        async def down(levels: int) -> None:
            if levels:
                await down(levels - 1)
            await pause()

        async def body() -> None:
            await down(1)
            await pause()
            pair.y = 1

        return body

    assert agree(alone(make))


@pytest.mark.parametrize("name", ["read", "other"])
def test_a_procedure_whose_name_is_a_tag_of_the_engine(name: str) -> None:
    """What a procedure is called must not matter, not even ``read``."""

    def make(pair: Pair) -> Callable[[], Any]:
        async def look() -> int:
            value = pair.x
            await pause()
            return value

        look.__qualname__ = name
        read = procedure(look)

        async def body() -> None:
            value = await read()
            await pause()
            pair.y = value + 1

        return body

    assert agree(alone(make))


def test_a_loop_in_a_procedure_called_before_the_callers_head() -> None:
    """The head of the inner loop and that of the outer are two places."""

    def make(pair: Pair) -> Callable[[], Any]:
        @procedure
        async def twice() -> None:
            loop = Loop()
            for turn in range(2):
                loop.head(turn)
                await pause()

        async def body() -> None:
            loop = Loop()
            for turn in range(2):
                await twice()
                loop.head(turn)
                await pause()
            pair.y = 1

        return body

    assert agree(alone(make))


def test_two_loops_made_at_once_and_used_one_after_the_other() -> None:
    """A loop is what it was made as, also if another was made at the same place."""

    def make(pair: Pair) -> Callable[[], Any]:
        async def body() -> None:
            first, second = Loop(), Loop()
            for turn in range(2):
                first.head(turn)
                await pause()
            for turn in range(2):
                second.head(turn)
                await pause()
            pair.y = 1

        return body

    assert agree(alone(make))


# the search


def test_a_search_that_ends_with_its_batch_is_complete() -> None:
    """A search whose last state was the last of a batch has still seen everything."""

    def make(pair: Pair) -> Callable[[], Any]:
        return pause_once

    assert searched(alone(make)(), batch=1).complete


async def pause_once() -> None:
    await pause()


def test_a_task_that_does_nothing_may_end_late() -> None:
    """What background tasks do before the last obliged task ends belongs to its final
    states, also if that task touches nothing."""

    def build() -> World:
        with World() as world:
            pair = Pair()

        async def nothing() -> None:
            pass

        async def count() -> None:
            pair.x = 1
            await pause()
            pair.x = 2

        world.task("a", nothing)
        world.task("k", count, obliged=False)
        return world

    assert agree(build)


def reader_of(values_: tuple[int, ...]) -> World:
    @procedure
    def get(pair: Pair) -> int:
        return pair.x

    with World() as world:
        pair, found = Pair(values_[0]), Pair()

    async def write() -> None:
        for value in values_[1:]:
            await pause()
            pair.x = value

    async def read() -> None:
        await pause()
        value = get(pair)
        await pause()
        found.x = value

    world.task("w", write)
    world.task("r", read)
    return world


def test_two_searches_at_once_do_not_mix() -> None:
    """Starting a second search changes nothing for one that is under way."""
    expected = facts_of(searched(reader_of((1, 2, 3))))
    for before in range(30):
        search = Search(reader_of((1, 2, 3)), Limits(), "bfs")
        search.advance(before)
        Search(reader_of((3, 1, 2)), Limits())
        while search.advance(100):
            pass
        assert facts_of(search.graph) == expected, f"second search after {before} states"


def test_a_world_is_searched_once_or_twice_alike() -> None:
    """A second search of the same world sees its first state, or is refused."""

    def make(pair: Pair) -> Callable[[], Any]:
        async def body() -> None:
            await pause()
            pair.x += 1

        return body

    world = alone(make)()
    first = searched(world)
    try:
        second = searched(world)
    except REFUSED:
        return
    assert values(first, 0) == values(second, 0)


def kept_open() -> tuple[World, Pair]:
    with World() as world:
        pair, mutex, channel = Pair(), Mutex("m"), Channel("ch")

    async def tidy() -> None:
        await mutex.enter()
        try:
            await channel.msleep(mutex)
        finally:
            pair.x = 99

    async def short() -> None:
        await pause()

    world.task("a", short)
    world.task("k", tidy, obliged=False)
    return world, pair


def test_no_model_code_runs_when_a_search_is_dropped() -> None:
    """The ``finally`` of a task that sleeps for ever must not run whenever Python frees
    it: that may be in the middle of somebody else's step."""
    world, pair = kept_open()
    graph = searched(world)
    assert graph.complete
    before = pair.__dict__["x"]
    del graph
    searched(reader_of((1, 2)))
    gc.collect()
    assert pair.__dict__["x"] == before


def test_a_panic_in_the_finally_of_a_dropped_coroutine_is_nobodys() -> None:
    """Two ways to one history: the second coroutine is dropped, and what its ``finally``
    says about that is no verdict and no crash."""

    def build() -> World:
        with World() as world:
            pair = Pair()

        async def body() -> None:
            await pause()
            loop, ended = Loop(), False
            for turn in range(2):
                loop.head(turn)
                try:
                    ended = False
                    pair.x  # noqa: B018  (read, and forgotten)
                    loop.head(turn)
                    await pause()
                    ended = True
                finally:
                    if not ended:
                        raise Panic("left half way")

        async def write() -> None:
            await pause()
            pair.x = 1

        world.task("a", body)
        world.task("w", write)
        return world

    search = Search(build(), Limits())
    try:
        while search.advance(100):
            pass
    finally:
        _close(search)
    assert not facts_of(search.graph).panics


def _close(search: Search) -> None:
    for nodes in search.histories.nodes:
        for node in nodes:
            with suppress(Panic):
                if node.coro is not None:
                    node.coro.close()


# what the engine cannot see, and must refuse


def counting(get: Callable[[], int], put: Callable[[int], None], world: World, pair: Pair) -> World:
    async def add() -> None:
        await pause()
        value = get()
        await pause()
        put(value + 1)
        pair.x = value + 1

    world.task("a", add)
    world.task("b", add)
    return world


def refused_or_right(build: Callable[[], World]) -> bool:
    """Does the search refuse what it cannot see, or else see all of it?"""
    try:
        graph = searched(build())
    except REFUSED:
        return True
    if any(violation.kind == "scenario-error" for violation in graph.violations):
        return True
    return facts_of(graph) == enumerate_all(build, 5000, fresh=True)[0]


def on(other: Any, name: str, world: World, pair: Pair) -> World:
    return counting(
        lambda: getattr(other, name), lambda value: setattr(other, name, value), world, pair
    )


@shared
class Named:
    serial: Final[int]
    z: int

    def __init__(self) -> None:
        self.serial, self.z, self.undeclared = 0, 0, 0


def test_a_constant_that_a_step_assigns() -> None:
    """``Final`` is a promise that the engine relies on."""

    def build() -> World:
        with World() as world:
            pair, other = Pair(), Named()
        return on(other, "serial", world, pair)

    assert refused_or_right(build)


def test_an_attribute_that_is_not_declared() -> None:
    """A forgotten annotation makes state that no search sees."""

    def build() -> World:
        with World() as world:
            pair, other = Pair(), Named()
        return on(other, "undeclared", world, pair)

    assert refused_or_right(build)


class Derived(Pair):
    extra: int

    def __init__(self) -> None:
        super().__init__()
        self.extra = 0


def test_a_subclass_without_the_decorator() -> None:
    """The fields of a class derived from a shared one are state, or are refused."""

    def build() -> World:
        with World() as world:
            pair, other = Pair(), Derived()
        return on(other, "extra", world, pair)

    assert refused_or_right(build)


def test_a_shared_object_made_outside_the_world() -> None:
    """An object that the world does not know is not recorded."""

    def build() -> World:
        other = Pair()
        with World() as world:
            pair = Pair()
        return on(other, "x", world, pair)

    assert refused_or_right(build)


def test_a_shared_object_of_another_world() -> None:
    """The same with an object that some other world knows."""

    def build() -> World:
        with World() as first:
            other = Pair()
        first.task("a", pause_once)
        first.seal()
        with World() as world:
            pair = Pair()
        return on(other, "x", world, pair)

    assert refused_or_right(build)


def test_two_tables_made_from_one_list() -> None:
    """The cells of a table are its own."""
    cells = [0, 0]
    with World():
        one, other = Table(cells), Table(cells)
        one[0] = 1
    assert other[0] == 0


def test_a_number_that_two_tasks_close_over() -> None:
    """``nonlocal`` makes a shared variable out of a number."""

    def build() -> World:
        with World() as world:
            pair = Pair()
        count = 0

        async def add() -> None:
            nonlocal count
            await pause()
            value = count
            await pause()
            count = value + 1
            pair.x = count

        world.task("a", add)
        world.task("b", add)
        return world

    assert refused_or_right(build)


def test_a_mutable_default_value() -> None:
    """A list that is a default value is one list for all."""

    def build() -> World:
        with World() as world:
            pair = Pair()

        def calls(cache: list[int] = []) -> int:  # noqa: B006  (that is the point)
            cache.append(1)
            return len(cache)

        async def add() -> None:
            await pause()
            pair.x = calls()

        world.task("a", add)
        world.task("b", add)
        return world

    try:
        searched(build())
    except REFUSED:
        return
    pytest.fail("accepted")


def test_a_class_whose_name_contains_a_mark() -> None:
    """Only the marks themselves are marks."""

    @shared
    class Holder:
        one: FinalScore | None
        two: AtomicClock | None
        three: list[HiddenThing]

        def __init__(self) -> None:
            self.one = self.two = None

    assert set(fields(Holder).values()) == {"state"}


class FinalScore: ...


class AtomicClock: ...


class HiddenThing: ...


# data races


def late_read() -> World:
    with World() as world:
        pair, gate, lock = Pair(), Pair(), rwlock("rw", "wake-all")

    async def first() -> None:
        await lock.enter(True)
        gate.x = 1
        await lock.exit()
        pair.y = pair.x + 1

    async def second() -> None:
        await lock.enter(True)
        opened = gate.x
        await lock.exit()
        if opened:
            pair.x = 10

    world.task("a", first)
    world.task("b", second)
    return world


def test_an_access_after_a_release_races_with_what_the_release_allowed() -> None:
    """``pair.x`` is read after the release, in its step, and written by whoever takes the
    lock next: no lock orders the two, and no two adjacent steps contain them."""
    assert races(searched(late_read()))


MISSED = Program(
    tasks=(
        (
            ("lock", True, (("set", ("cell", 0), ("field", 0, "other")),)),
            ("set", ("field", 1, "count"), ("sum", ("field", 0, "count"), ("cell", 0))),
        ),
        (
            ("lock", False, (("set", ("local", 0), ("cell", 0)),)),
            ("if", ("local", 0), (("set", ("field", 0, "count"), ("local", 0)),), ()),
        ),
    ),
    procedures=(),
    obliged=(True, True),
    policy="wake-one-writer",
    tried=False,
    stamped=False,
)


def reach(tried: Program, fine: bool) -> Graph:
    return searched(build(tried, fine=fine))


def test_no_race_means_that_finer_points_reach_nothing_new() -> None:
    """Either a race is reported, or a point before each access changes nothing."""
    coarse, fine = reach(MISSED, False), reach(MISSED, True)
    assert races(coarse) or facts_of(coarse) == facts_of(fine)


def test_a_subset_holds_even_then() -> None:
    """Fewer points never reach more."""
    for tried in (MISSED, attrs.evolve(MISSED, policy="hand-off")):
        coarse, fine = facts_of(reach(tried, False)), facts_of(reach(tried, True))
        assert coarse.finals <= fine.finals
