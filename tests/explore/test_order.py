"""Cycles in the lock order: which there are, and which can happen."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable

import pytest
from enumeration import searched
from stories import judged

from kmodel.explore.execution import Execution
from kmodel.explore.graph import Graph, Limits, Search
from kmodel.explore.inversion import Inversion
from kmodel.explore.lasso import Paths
from kmodel.explore.order import LockOrder, cycles
from kmodel.point import pause
from kmodel.sync.mutex import Mutex
from kmodel.sync.rwlock import rwlock
from kmodel.world import World

Body = Callable[[], Awaitable[None]]


def taking(*locks: Mutex) -> Body:
    """Take the mutexes one after the other, and give them back."""

    async def body() -> None:
        for lock in locks:
            await lock.enter()
        for lock in reversed(locks):
            await lock.leave()

    return body


taking_line = 5
"""Where in it a lock is taken."""


def world_of(make: Callable[[], tuple[Body, ...]], obliged: bool = True) -> World:
    with World() as world:
        bodies = make()
    for number, body in enumerate(bodies):
        world.task("ABCD"[number], body, obliged=obliged)
    return world


def graph_of(make: Callable[[], tuple[Body, ...]]) -> Graph:
    graph = searched(world_of(make))
    assert graph.complete
    return graph


def crosswise() -> tuple[Body, ...]:
    one, two = Mutex("one"), Mutex("two")
    return taking(one, two), taking(two, one)


def guarded() -> tuple[Body, ...]:
    one, two, outer = Mutex("one"), Mutex("two"), Mutex("outer")
    return taking(outer, one, two), taking(outer, two, one)


def round_three() -> tuple[Body, ...]:
    one, two, three = Mutex("one"), Mutex("two"), Mutex("three")
    return taking(one, two), taking(two, three), taking(three, one)


def only(graph: Graph) -> Inversion:
    (inversion,) = LockOrder(graph).inversions
    return inversion


def message(graph: Graph) -> str:
    return only(graph).message([task.name for task in graph.world.tasks])


def test_two_orders_of_two_locks_are_confirmed_by_a_deadlock() -> None:
    """With who held and who wanted, and the nearest state in which both wait."""
    graph = graph_of(crosswise)
    found = only(graph)
    assert (found.locks, found.status) == (("one", "two"), "confirmed")
    place = inspect.getsourcelines(taking)[1] + taking_line
    body = f"taking.<locals>.body (test_order.py:{place})"
    assert message(graph) == (
        f"A holds one and wants two in {body}; B holds two and wants one in {body}: confirmed, "
        "A and B can wait so for one another for ever"
    )
    assert found.deadlock is not None
    assert found.deadlock.tasks == (0, 1)
    execution = Execution(world_of(crosswise))
    for task in Paths(graph).to(found.deadlock.state):
        execution.step(task)
    assert execution.enabled() == []
    assert execution.waiting() == {"A": "mutex.enter two", "B": "mutex.enter one"}
    execution.close()


def test_two_orders_under_an_outer_lock_are_a_potential_inversion_only() -> None:
    """The cycle is there; no schedule comes to the deadlock, and the outer lock is why."""
    graph = graph_of(guarded)
    found = only(graph)
    assert (found.status, found.deadlock) == ("unreachable within bounds", None)
    assert found.gates == ("outer",)
    assert f"no such deadlock in {len(graph)} states (outer is held each time)" in message(graph)


def test_two_orders_one_after_the_other_are_unreachable() -> None:
    """One task alone takes them both ways: it never waits for itself."""

    def make() -> tuple[Body, ...]:
        one, two = Mutex("one"), Mutex("two")
        there, back = taking(one, two), taking(two, one)

        async def both() -> None:
            await there()
            await back()

        return (both,)

    assert message(graph_of(make)).endswith("(no other task takes them so)")


def test_a_cycle_of_three_locks_is_one_cycle() -> None:
    """None of its pairs is an inversion by itself."""
    found = only(graph_of(round_three))
    assert found.locks == ("one", "two", "three")
    assert found.deadlock is not None
    assert found.deadlock.tasks == (0, 1, 2)


def test_one_order_is_no_cycle() -> None:
    """However many tasks take it."""

    def make() -> tuple[Body, ...]:
        one, two, three = Mutex("one"), Mutex("two"), Mutex("three")
        return taking(one, two, three), taking(one, three), taking(two, three)

    order = LockOrder(graph_of(make))
    assert order.inversions == []
    assert set(order.pairs) == {("one", "two"), ("one", "three"), ("two", "three")}


def test_a_try_gives_no_order() -> None:
    """Back-off in the other order is how one does it."""

    def make() -> tuple[Body, ...]:
        one, two = Mutex("one", tried=True), Mutex("two")

        async def back_off() -> None:
            await two.enter()
            if await one.enter_try():
                await one.leave()
            await two.leave()

        return taking(one, two), back_off

    order = LockOrder(graph_of(make))
    assert set(order.pairs) == {("one", "two")}
    assert order.inversions == []


def test_a_deadlock_among_some_is_confirmed_while_another_goes_on() -> None:
    """Not only where nobody can step."""

    def make() -> tuple[Body, ...]:
        async def rest() -> None:
            await pause()
            await pause()

        return (*crosswise(), rest)

    found = only(graph_of(make))
    assert found.deadlock is not None
    assert found.deadlock.tasks == (0, 1)


def test_two_locks_of_one_name_count_as_one() -> None:
    """Held and wanted at once they are a cycle of one, as two of a type are to witness."""

    def make() -> tuple[Body, ...]:
        first, second = Mutex("vnode"), Mutex("vnode")
        return taking(first, second), taking(second, first)

    found = only(graph_of(make))
    assert (found.locks, found.status) == (("vnode",), "confirmed")


def readers(policy: str, writers: bool) -> Callable[[], tuple[Body, ...]]:
    """Two readers crosswise; perhaps a writer for each lock."""

    def make() -> tuple[Body, ...]:
        one, two = rwlock("one", policy), rwlock("two", policy)

        async def read(first: object, second: object) -> None:
            await first.enter(False)  # type: ignore[attr-defined]
            await second.enter(False)  # type: ignore[attr-defined]
            await second.exit()  # type: ignore[attr-defined]
            await first.exit()  # type: ignore[attr-defined]

        async def write(lock: object) -> None:
            await lock.enter(True)  # type: ignore[attr-defined]
            await lock.exit()  # type: ignore[attr-defined]

        bodies = [lambda: read(one, two), lambda: read(two, one)]
        if writers:
            bodies += [lambda: write(one), lambda: write(two)]
        return tuple(bodies)

    return make


def test_who_waits_in_a_circle_of_names_and_goes_on_later_is_in_no_deadlock() -> None:
    """A holds one x and waits for a y, B holds the other y and waits for an x; but each waits
    for somebody who holds nothing else, and who lets go."""

    def alike() -> tuple[Body, ...]:
        (x, other_x), (y, other_y) = ((Mutex(name), Mutex(name)) for name in "xy")
        return taking(x, other_y), taking(y, other_x), keeping(other_y), keeping(other_x)

    def keeping(lock: Mutex) -> Body:
        async def body() -> None:
            await lock.enter()
            await pause()
            await lock.leave()

        return body

    found = only(graph_of(alike))
    assert (found.locks, found.status) == (("x", "y"), "unreachable within bounds")


@pytest.mark.parametrize("writers", [False, True])
def test_readers_crosswise_lock_up_only_with_writers_in_between(writers: bool) -> None:
    """Kept as a cycle either way, and said to be of readers only."""
    graph = graph_of(readers("wake-one-writer", writers))
    found = only(graph)
    assert found.read_only
    assert (found.deadlock is not None) is writers
    assert "readers only: harmless until writers wait in between" in message(graph)


def test_a_writer_in_the_cycle_is_no_readers_only() -> None:
    """Mutexes are never shared."""
    assert not only(graph_of(crosswise)).read_only


def test_an_early_end_leaves_a_cycle_open() -> None:
    """Nothing is called unreachable that was not looked at."""
    search = Search(world_of(guarded), Limits(states=12))
    while search.advance(1):
        pass
    for inversion in LockOrder(search.graph).inversions:
        assert inversion.status == "not confirmed"


@pytest.mark.parametrize(
    ("pairs", "found"),
    [
        ([], []),
        ([("a", "b"), ("b", "c"), ("a", "c")], []),
        ([("b", "a"), ("a", "b")], [("a", "b")]),
        ([("a", "a")], [("a",)]),
        ([("a", "b"), ("b", "a"), ("b", "c"), ("c", "a")], [("a", "b"), ("a", "b", "c")]),
    ],
)
def test_cycles(pairs: list[tuple[str, str]], found: list[tuple[str, ...]]) -> None:
    """The shortest through each pair, once."""
    assert cycles(pairs) == found


@pytest.mark.parametrize("fix", ["wait", "lock-retry", "populate"])
@pytest.mark.parametrize("policy", ["wake-all", "wake-one-writer"])
def test_the_kernel_takes_its_locks_in_one_order(fix: str, policy: str) -> None:
    """maps, amap, pmap, pools, free pages, as the head of uvm_fault.c has it; and no fault
    waits for kernel_map while it holds anything, since it may only try it."""
    graph = judged("contended_kernel_map", fix, cpus=1, rwlock=policy).graph
    order = LockOrder(graph)
    assert order.inversions == []
    assert {("p0 vm_map", "p0 amap"), ("p0 amap", "p0 pm_mtx")} <= set(order.pairs)
    assert ("p0 pm_mtx", "vp.pr_mtx") in order.pairs
    assert "kernel_map" not in {wanted for _, wanted in order.pairs}
