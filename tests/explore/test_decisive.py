"""The pair of events that decides: on stories worked out by hand, and where there is none."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from enumeration import TooMany, enumerate_all, searched
from programs import build, program
from toys import Counter, tries

from kmodel.explore.cycle import Fairness
from kmodel.explore.decisive import Decisive, Search, decisive
from kmodel.explore.execution import Execution, run
from kmodel.explore.liveness import Liveness
from kmodel.explore.shrink import shrink
from kmodel.explore.signature import shown
from kmodel.explore.strategy import Random
from kmodel.panic import Panic
from kmodel.point import operation, pause
from kmodel.shared import Atomic, shared
from kmodel.sync.channel import Channel
from kmodel.sync.mutex import Mutex
from kmodel.world import World

Build = Callable[[], World]


@shared
class Cell:
    """A number that is read and written one access a step."""

    value: Atomic[int]

    def __init__(self, name: str) -> None:
        self.name, self.value = name, 0

    name: str

    @operation(event="cell.read")
    def read(self) -> int:
        return self.value

    @operation(event="cell.write")
    def write(self, value: int) -> None:
        self.value = value


def of_sample(make: Build, prop: str = "") -> Search:
    """Of the first broken run of a sample, made small."""
    for seed in range(1000):
        execution = Execution(make(), checks=True)
        run(execution, Random(seed), 500)
        if wanted := shown(execution, prop):
            small = shrink(make, bytes(execution.choices), wanted)
            return decisive(make, small.choices, b"", prop, True)
    raise AssertionError("nothing broken")


def said(search: Search) -> tuple[tuple[int, str, str], tuple[int, str, str]]:
    """Who should have done what on what, before who did what on what."""
    pair = search.pair
    assert pair is not None
    return tuple((e.task, e.event, e.thing) for e in (pair.late, pair.early))  # type: ignore[return-value]


def lost_wakeup() -> World:
    """The sleeper looks before it has the lock."""
    with World() as world:
        ready, lock, channel = Cell("ready"), Mutex("m"), Channel("ready")

    async def wait() -> None:
        if not await ready.read():
            await lock.enter()
            await channel.msleep(lock)

    async def work() -> None:
        await lock.enter()
        await ready.write(1)
        await channel.wakeup()
        await lock.leave()

    world.task("waiter", wait)
    world.task("worker", work)
    return world


def test_a_lost_wakeup_is_decided_by_the_sleep_and_the_wakeup() -> None:
    """Though a lock stands between them: both critical sections change places."""
    search = of_sample(lost_wakeup)
    assert said(search) == ((0, "chan.sleep", "ready"), (1, "chan.wakeup", "ready"))
    assert search.pair is not None
    assert search.pair.same


def crosswise() -> World:
    with World() as world:
        one, two = Mutex("one"), Mutex("two")

    async def take(first: Mutex, second: Mutex) -> None:
        await first.enter()
        await second.enter()
        await second.leave()
        await first.leave()

    world.task("a", take, one, two)
    world.task("b", take, two, one)
    return world


def test_a_deadlock_is_decided_by_what_never_came() -> None:
    """The second lock of one, before the other took it."""
    choices = bytes([0, 0, 1, 1])
    search = decisive(crosswise, choices, b"", "", True)
    assert said(search) == ((0, "mutex.enter", "two"), (1, "mutex.enter", "two"))
    assert search.pair is not None
    assert (search.pair.late.step, search.pair.early.step) == (None, 3)


def unlocked() -> World:
    """Both read, both write: one count is lost."""
    with World() as world:
        cell = Cell("count")

    async def count() -> None:
        await cell.write(await cell.read() + 1)

    world.task("a", count)
    world.task("b", count)
    world.check("two", lambda: None if cell.value == 2 else "a count is lost", when="end")
    return world


def test_an_unlocked_counter_is_decided_by_the_write_and_the_other_read() -> None:
    """Had the first write come before the second read."""
    choices = bytes([0, 0, 1, 1, 0, 1])
    search = decisive(unlocked, choices, b"", "two", True)
    assert said(search) == ((0, "cell.write", "count"), (1, "cell.read", "count"))


def test_the_last_pair_of_several_is_told() -> None:
    """Two chances to go well: the later one."""

    def make() -> World:
        with World() as world:
            first, second = Cell("first"), Cell("second")

        async def look() -> None:
            if await first.read() + await second.read() == 0:
                await pause()
                raise Panic("too early")

        async def put() -> None:
            await first.write(1)
            await second.write(1)

        world.task("look", look)
        world.task("put", put)
        return world

    search = decisive(make, bytes([0, 0, 1, 1, 0, 1, 0]), b"", "", True)
    assert said(search) == ((1, "cell.write", "second"), (0, "cell.read", "second"))


def flags(needed: int) -> World:
    """One panics if it sees so many of two flags down, and each is put up by another."""
    with World() as world:
        cells = [Cell("x"), Cell("y")]

    async def look() -> None:
        down = 0
        for cell in cells:
            down += await cell.read() == 0
        if down >= needed:
            raise Panic("down")

    async def put(cell: Cell) -> None:
        await pause()
        await cell.write(1)

    world.task("look", look)
    for cell in cells:
        world.task(cell.name, put, cell)
    return world


def test_where_it_takes_two_flips_no_pair_decides() -> None:
    """Any flag that is down is too many; with two it takes only one to be up."""
    choices = bytes([0, 0, 0])
    search = decisive(lambda: flags(1), choices, b"", "", True)
    assert search.pair is None
    assert search.tried > 0
    assert search.all
    # nobody had begun to put one up; that it would have come to that is seen all the same
    search = decisive(lambda: flags(2), choices, b"", "", True)
    assert said(search) == ((2, "cell.write", "y"), (0, "cell.read", "y"))
    assert search.pair is not None
    assert search.pair.late.step is None


def test_what_goes_wrong_in_any_order_has_no_pair(fuzz_seed: int) -> None:
    """Of random programs of which no schedule ends; and some of the others have one."""
    never = told = 0
    for seed in range(fuzz_seed + 740_000, fuzz_seed + 740_600):
        tried = program(seed)

        def make(tried=tried) -> World:  # type: ignore[no-untyped-def]
            return build(tried)

        execution = Execution(make(), checks=True)
        run(execution, Random(seed), 500)
        if shown(execution) is None:
            continue
        try:
            facts, _ = enumerate_all(make, 300)
        except TooMany:
            continue
        search = decisive(make, bytes(execution.choices), b"", "", True)
        assert facts.finals or search.pair is None, seed
        never, told = never + (not facts.finals), told + (search.pair is not None)
    assert never > 10
    assert told


def test_a_step_that_would_be_another_does_not_count() -> None:
    """Moved up, the write would go elsewhere: what it was never came before the read."""

    def make() -> World:
        with World() as world:
            flag, one, other = Cell("flag"), Cell("one"), Cell("other")

        async def look() -> None:
            if await one.read() + await other.read() == 0:
                await pause()
                raise Panic("none")

        async def put_up() -> None:
            await flag.write(1)

        async def write() -> None:
            await (one if await flag.read() else other).write(1)

        for task in (look, put_up, write):
            world.task(task.__name__, task)
        return world

    assert decisive(make, bytes([0, 0, 0, 1, 1, 2, 2, 2, 0]), b"", "", True).pair is None


def test_a_run_that_can_still_end_well_has_none() -> None:
    """Then no order is to blame: nothing is tried."""
    assert decisive(crosswise, bytes([0, 0, 0]), b"", "", True) == Search(None, 0, True)


def lassos(make: Build, fairness: Fairness) -> dict[str, Decisive | None]:
    """For each kind of hang its pair."""
    found = {}
    for hang in Liveness(searched(make())).hangs(fairness):
        stuck = hang.kind not in ("livelock", "starvation")
        found[hang.kind] = decisive(make, hang.stem, hang.loop, "", stuck).pair
    return found


def test_a_livelock_is_decided_in_its_loop() -> None:
    """Two that try each other's lock: a try that is refused, and who has the lock."""
    pair = lassos(lambda: tries(True), Fairness("weak", False))["livelock"]
    assert pair is not None
    assert "mutex.try" in (pair.late.event, pair.early.event)
    assert pair.same


def churned() -> World:
    """Sleeps on a lock that another takes and gives back for ever: whenever it is woken
    the other has it again."""
    with World() as world:
        lock, asleep = Cell("lock"), Counter()

    async def churn() -> None:
        while True:
            await lock.write(1)
            await lock.write(0)

    async def wait() -> None:
        while await lock.read():
            await asleep.reached(0)

    world.task("wait", wait)
    world.task("churn", churn, obliged=False)
    return world


def test_a_pair_of_a_loop_may_lie_in_two_laps() -> None:
    """The poll before the lock is taken again."""
    stem, loop = bytes([1, 1, 0, 0]), bytes([0, 1, 1, 0])
    search = decisive(churned, stem, loop, "", False)
    assert search.pair is not None
    assert said(search) == ((0, "cell.read", "lock"), (1, "cell.write", "lock"))


def test_the_work_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond it the search says that it has not seen all."""
    monkeypatch.setattr("kmodel.explore.decisive.STEPS", 10)
    search = decisive(lambda: flags(1), bytes([0, 0, 0]), b"", "", True)
    assert search.pair is None
    assert not search.all


def test_of_a_long_run_the_end_is_looked_at() -> None:
    """Ten thousand steps before it cost little."""

    def make() -> World:
        world = flags(2)

        async def idle() -> None:
            for _ in range(10_000):
                await pause()

        world.task("idle", idle, obliged=False)
        return world

    search = decisive(make, bytes([3] * 10_000 + [0, 0, 0]), b"", "", True)
    assert said(search) == ((2, "cell.write", "y"), (0, "cell.read", "y"))
