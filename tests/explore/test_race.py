"""What counts as a data race, and what does not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from enumeration import searched

from kmodel.explore.execution import Execution
from kmodel.explore.graph import Graph
from kmodel.explore.lasso import Paths
from kmodel.explore.race import races
from kmodel.point import operation, pause
from kmodel.shared import Atomic, Hidden, Statistic, left_mover, shared
from kmodel.sync.mutex import Mutex
from kmodel.sync.rwlock import rwlock
from kmodel.table import Stamp, Table
from kmodel.world import World

Body = Callable[[], Awaitable[None]]


@shared
class Counter:
    value: int
    other: int
    total: Statistic
    seen: Atomic[int]
    hidden: Hidden[int]

    def __init__(self) -> None:
        self.value = self.other = self.total = self.seen = self.hidden = 0

    @operation(event="counter.add")
    def add(self) -> None:
        self.seen += 1


def graph_of(make: Callable[[Counter], tuple[Body, ...]]) -> Graph:
    """A task for each body, all about one counter."""
    with World() as world:
        counter = Counter()
        bodies = make(counter)
    for number, body in enumerate(bodies):
        world.task("ABC"[number], body)
    graph = searched(world)
    assert graph.complete
    return graph


def racing(make: Callable[[Counter], tuple[Body, ...]]) -> list[str]:
    """The locations with a race."""
    return [race.location for race in races(graph_of(make))]


def after_a_point(touch: Callable[[], object]) -> Body:
    async def body() -> None:
        await pause()
        touch()

    return body


def adds(counter: Counter) -> Callable[[], None]:
    def add() -> None:
        counter.value += 1

    return add


def test_a_counter_without_a_lock_races() -> None:
    """Two tasks add to it in one step each: a race on that field and on no other."""

    def make(counter: Counter) -> tuple[Body, ...]:
        return after_a_point(adds(counter)), after_a_point(adds(counter))

    (race,) = races(graph_of(make))
    assert race.location == "counter0.value"
    assert {race.first, race.second} == {0, 1}
    assert race.message(["A", "B"]) == (
        f"{'AB'[race.first]} and {'AB'[race.second]} touch counter0.value with nothing to order "
        "them, and one of them writes it"
    )


def test_the_two_steps_of_a_race_can_follow_each_other() -> None:
    """On the way to the race both can step, and so can the second after the first."""

    def build() -> World:
        with World() as world:
            counter = Counter()
        world.task("A", after_a_point(adds(counter)))
        world.task("B", after_a_point(adds(counter)))
        return world

    graph = searched(build())
    (race,) = races(graph)
    execution = Execution(build())
    for task in Paths(graph).to(race.state):
        execution.step(task)
    assert {race.first, race.second} <= set(execution.enabled())
    execution.step(race.first)
    assert race.second in execution.enabled()
    execution.close()


def test_reads_and_writes_race_in_either_order() -> None:
    """One that only reads races with one that writes; which steps first does not matter."""

    def make(counter: Counter) -> tuple[Body, ...]:
        return after_a_point(lambda: counter.value), after_a_point(adds(counter))

    assert racing(make) == ["counter0.value"]
    assert racing(lambda counter: make(counter)[::-1]) == ["counter0.value"]


def test_two_reads_never_race() -> None:
    """Nothing is written, so no order shows."""

    def make(counter: Counter) -> tuple[Body, ...]:
        return (after_a_point(lambda: counter.value),) * 2

    assert racing(make) == []


def test_different_fields_and_cells_do_not_race() -> None:
    """Each field is a location of its own, and so is each cell of a table."""

    def make(counter: Counter) -> tuple[Body, ...]:
        table = Table([0, 0])

        def first() -> None:
            counter.value, table[0] = 1, 1

        def second() -> None:
            counter.other, table[1] = 1, 1

        return after_a_point(first), after_a_point(second)

    assert racing(make) == []


def test_one_cell_of_a_table_can_race() -> None:
    """The message names the cell."""

    def make(counter: Counter) -> tuple[Body, ...]:
        table = Table([0, 0])
        return (after_a_point(lambda: table.__setitem__(1, 5)),) * 2

    assert racing(make) == ["table0[1]"]


def test_atomic_fields_never_race() -> None:
    """They are touched by operations only, each of which is a point."""

    def make(counter: Counter) -> tuple[Body, ...]:
        async def add() -> None:
            await counter.add()
            await counter.add()

        return add, add

    assert racing(make) == []


def test_statistics_and_hidden_fields_never_race() -> None:
    """No kernel field stands for them, or no decision depends on them."""

    def make(counter: Counter) -> tuple[Body, ...]:
        def count() -> None:
            counter.total += 1
            counter.hidden += 1

        return (after_a_point(count),) * 2

    assert racing(make) == []


# locks


@pytest.mark.parametrize(
    "kind", ["mutex", "tried mutex", "wake-all", "wake-one-writer", "hand-off"]
)
def test_a_lock_orders_what_is_done_under_it(kind: str) -> None:
    """A counter that each touches under one lock has no race, whichever lock it is."""

    def make(counter: Counter) -> tuple[Body, ...]:
        if kind.endswith("mutex"):
            mutex = Mutex("m", tried=kind == "tried mutex")

            async def add() -> None:
                await mutex.enter()
                counter.value += 1
                await mutex.leave()
        else:
            lock = rwlock("rw", kind)

            async def add() -> None:
                await lock.enter(True)
                counter.value += 1
                await lock.exit()

        return add, add

    assert racing(make) == []


def test_two_locks_do_not_order_one_field() -> None:
    """Each is under a lock, and no lock is common to both."""

    def make(counter: Counter) -> tuple[Body, ...]:
        mutexes = Mutex("m"), Mutex("n")

        def under(mutex: Mutex) -> Body:
            async def add() -> None:
                await mutex.enter()
                counter.value += 1
                await mutex.leave()

            return add

        return under(mutexes[0]), under(mutexes[1])

    assert racing(make) == ["counter0.value"]


def test_one_that_takes_no_lock_races_with_one_that_does() -> None:
    """A lock orders only those who take it."""

    def make(counter: Counter) -> tuple[Body, ...]:
        mutex = Mutex("m")

        async def locked() -> None:
            await mutex.enter()
            counter.value += 1
            await mutex.leave()

        return locked, after_a_point(adds(counter))

    assert racing(make) == ["counter0.value"]


def test_an_access_after_the_release_in_the_same_step_races() -> None:
    """The release is not a point, so the access lies in the locked step, yet after it."""

    def make(counter: Counter) -> tuple[Body, ...]:
        mutex = Mutex("m")

        async def late() -> None:
            await mutex.enter()
            counter.other += 1
            await mutex.leave()
            counter.value += 1

        async def locked() -> None:
            await mutex.enter()
            counter.other += 1
            counter.value += 1
            await mutex.leave()

        return late, locked

    assert racing(make) == ["counter0.value"]


def test_of_two_locks_released_in_one_step_each_orders_what_came_before_it() -> None:
    """What is done between the two releases is ordered by the second lock only."""

    def make(counter: Counter) -> tuple[Body, ...]:
        outer, inner = Mutex("outer"), Mutex("inner")

        async def nested() -> None:
            await outer.enter()
            await inner.enter()
            counter.other += 1
            await inner.leave()
            counter.value += 1
            await outer.leave()

        async def with_inner() -> None:
            await inner.enter()
            counter.other += 1
            counter.value += 1
            await inner.leave()

        return nested, with_inner

    assert racing(make) == ["counter0.value"]


def test_a_release_that_ends_the_step_orders_like_any_other() -> None:
    """A lock of one's own, whose release is a left mover, is as good as a mutex."""

    @shared
    class Own:
        taken: Atomic[bool]

        def __init__(self) -> None:
            self.taken = False

        @operation(lambda self: not self.taken, event="own.take")
        def take(self) -> None:
            self.taken = True

        @left_mover
        def give(self) -> None:
            self.taken = False

    def make(counter: Counter) -> tuple[Body, ...]:
        own = Own()

        async def add() -> None:
            await own.take()
            counter.value += 1
            own.give()

        return add, add

    assert racing(make) == []


def test_readers_of_a_lock_do_not_race_and_a_careless_writer_among_them_does() -> None:
    """A read lock is no leave to write."""

    def make(writes: bool) -> Callable[[Counter], tuple[Body, ...]]:
        def bodies(counter: Counter) -> tuple[Body, ...]:
            lock = rwlock("rw", "wake-all")

            async def look() -> None:
                await lock.enter(False)
                assert counter.value in (0, 1)
                if writes:
                    counter.value = 1
                await lock.exit()

            return look, look

        return bodies

    assert racing(make(writes=False)) == []
    assert racing(make(writes=True)) == ["counter0.value"]


# stamps


def stamped(copy_locked: bool) -> Callable[[Counter], tuple[Body, ...]]:
    """A bumps a stamp under a mutex; B copies it and asks later."""

    def make(counter: Counter) -> tuple[Body, ...]:
        stamp, mutex = Stamp(), Mutex("m")

        async def bump() -> None:
            await mutex.enter()
            stamp.bump()
            await mutex.leave()

        async def copy() -> None:
            await (mutex.enter() if copy_locked else pause())
            stamp.copy()
            if copy_locked:
                await mutex.leave()
            await mutex.enter()
            stamp.same()
            await mutex.leave()

        return bump, copy

    return make


def test_a_stamp_copied_without_the_lock_races_with_its_bump() -> None:
    """A stamp stands for a number: taking a copy reads it, a bump writes it."""
    assert racing(stamped(copy_locked=False)) == ["stamp0.value"]


def test_a_stamp_under_its_lock_does_not_race() -> None:
    """Nor do two who only copy."""
    assert racing(stamped(copy_locked=True)) == []

    def make(counter: Counter) -> tuple[Body, ...]:
        stamp = Stamp()
        return (after_a_point(stamp.copy),) * 2

    assert racing(make) == []


# how they are told


def write_one_by_one(table: Table[int]) -> Body:
    async def body() -> None:
        for cell in range(len(table)):
            await pause()
            table[cell] = 1

    return body


def test_every_racing_location_is_told_once() -> None:
    """However many places there are in which it does."""

    def make(counter: Counter) -> tuple[Body, ...]:
        return (write_one_by_one(Table([0] * 3)),) * 3

    assert sorted(racing(make)) == ["table0[0]", "table0[1]", "table0[2]"]


def test_there_is_an_end_to_telling() -> None:
    """``most`` bounds the list."""

    def make(counter: Counter) -> tuple[Body, ...]:
        return (write_one_by_one(Table([0] * 8)),) * 2

    assert len(races(graph_of(make))) == 8
    assert len(races(graph_of(make), most=3)) == 3
