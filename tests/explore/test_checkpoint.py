"""A search that is ended anywhere and taken up again is the search that nothing ended."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from itertools import repeat
from pathlib import Path
from random import Random
from typing import Any, get_args

import pytest
from kept import MANY, begin, everything, finished, in_pieces, resume
from programs import build, program

from kmodel.case import Case
from kmodel.explore import checkpoint
from kmodel.explore.graph import Limits, Order, Search
from kmodel.explore.journal import CheckpointError
from kmodel.point import pause
from kmodel.shared import shared
from kmodel.world import World

ORDERS = get_args(Order)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "search"


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk after each piece of work."""
    monkeypatch.setattr(checkpoint, "MOST", 1)


@shared
class Counter:
    count: int
    other: int

    def __init__(self) -> None:
        self.count = self.other = 0


def counting(
    times: int = 3,
    by: int = 1,
    most: int = 99,
    name: str = "a",
    check: str = "few",
    peek: int = -1,
) -> Callable[[], World]:
    """Two tasks count; a check says how far they may, and may look at more than that."""

    def make() -> World:
        with World() as world:
            counter = Counter()

        async def count() -> None:
            for _ in range(times):
                await pause()
                counter.count += by if counter.count else 1

        world.task(name, count)
        world.task("b", count)

        def few() -> str | None:
            seen = counter.count + (counter.other if counter.count == peek else 0)
            return None if seen <= most else f"{seen} are many"

        world.check(check, few)
        return world

    return make


def wide() -> World:
    """More than 256 values, from the beginning, and a task with more places than that."""
    with World() as world:
        counters = tuple(Counter() for _ in range(300))
        for number, counter in enumerate(counters):
            counter.count = number

    async def turn() -> None:
        for counter in reversed(counters):
            await pause()
            counter.count, counter.other = counter.other, counter.count

    async def add() -> None:
        await pause()
        counters[299].other += counters[0].count + 1

    world.task("a", turn)
    world.task("b", add)
    return world


def half() -> World:
    """One task goes on; then, in the same expansion, the other makes one value too many."""
    with World() as world:
        counter = Counter()

    async def go() -> None:
        for _ in range(20):
            await pause()

    async def count() -> None:
        for _ in range(20):
            await pause()
            counter.count += 1

    world.task("a", go)
    world.task("b", count)
    return world


def whole(make: Callable[[], World], order: Order = "dfs", limits: Limits = MANY) -> dict[str, Any]:
    return everything(finished(Search(make(), limits, order)))


def chance(seed: int, most: int) -> Iterator[int]:
    draw = Random(seed)
    while True:
        yield draw.randrange(most)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("order", ORDERS)
def test_random_programs_come_out_the_same_however_often_they_are_ended(
    order: Order, tmp_path: Path, fuzz_seed: int, fuzz_scale: int
) -> None:
    """States, rows, leaves, nodes, codes, violations, frontier: the same numbers."""
    ended = deadlocks = panics = 0
    fuzz_scale = max(fuzz_scale, 2)  # with fewer programs none of them may panic
    for seed in range(fuzz_seed, fuzz_seed + 12 * fuzz_scale):
        tried = program(seed)

        def make(tried: Any = tried) -> World:
            return build(tried)

        pieces, file = chance(seed, 12), tmp_path / str(seed)
        alone = whole(make, order)
        assert len(alone["keys"]) < MANY.states
        search, times = in_pieces(make, file, order, pieces)
        assert everything(search) == alone, f"program {seed}: {tried}"
        assert everything(finished(resume(make, file, order))) == alone
        ended += times
        panics += any(-2 in row for row in alone["succ"])
        deadlocks += any(row and set(row) == {-1} for row in alone["succ"])
    assert ended > 20 * fuzz_scale
    assert min(deadlocks, panics) > 0


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("order", ORDERS)
def test_a_search_that_is_ended_after_each_expansion_comes_to_its_end(
    order: Order, file: Path
) -> None:
    """Nothing is lost but what was in flight."""
    alone = whole(counting(), order)
    search, ended = in_pieces(counting(), file, order, repeat(1))
    assert everything(search) == alone
    assert ended >= len(alone["keys"]) - 1


@pytest.mark.parametrize("order", ORDERS)
def test_codes_and_places_of_two_bytes_come_back(order: Order, file: Path) -> None:
    """Of values, and of where a task is."""
    search = begin(wide, file, order)
    while len(search.graph) < 600:
        search.advance(1)
    search.interrupt("enough")
    assert everything(finished(resume(wide, file, order))) == whole(wide, order)


def contended() -> World:
    return Case.of("contended_kernel_map", {}, "populate").build()


@pytest.mark.parametrize("order", ORDERS)
def test_the_kernel_comes_out_the_same(order: Order, file: Path) -> None:
    """The example of the README, ended at two places."""
    for first, states in enumerate((1_000, 2_000)):
        finished((resume if first else begin)(contended, file, order, Limits(states=states)))
    most = Limits(states=4_000)
    assert everything(finished(resume(contended, file, order, most))) == whole(
        contended, order, most
    )


@pytest.mark.parametrize("order", ORDERS)
def test_a_higher_limit_gives_what_it_would_have_given_at_once(order: Order, file: Path) -> None:
    """To the state; and a lower one adds nothing."""
    finished(begin(contended, file, order, Limits(states=1_000)))
    more = Limits(states=3_000)
    alone = whole(contended, order, more)
    assert everything(finished(resume(contended, file, order, more))) == alone
    size = file.stat().st_size
    less = everything(finished(resume(contended, file, order, Limits(states=10))))
    assert less == alone | {"stopped": "10 states"}
    assert file.stat().st_size == size


def test_the_seconds_of_all_parts_are_told_and_each_part_has_its_own_limit(file: Path) -> None:
    """60 s, and then 60 s more; a third of them is for judging."""
    search = begin(contended, file)
    search.advance(500)
    search._began -= 50.0
    search.advance(500)
    search.interrupt("interrupted")
    later = resume(contended, file, limits=Limits(seconds=30.0))
    assert later.advance(1)
    assert 50.0 < later.graph.seconds < 60.0
    later._began -= 21.0
    assert not later.advance(1)
    assert str(later.graph.stopped_by).startswith("30 s")


def test_an_interrupted_search_is_kept_to_its_last_state(file: Path) -> None:
    """Also what came after the last chunk."""
    search = begin(contended, file)
    search.advance(777)
    search.interrupt("interrupted")
    later = resume(contended, file)
    assert len(later.graph) == len(search.graph)
    assert list(later._frontier) == list(search._frontier)
    for one in (later, alone := Search(contended(), MANY)):
        one.advance(777 if one is alone else 500)
    alone.advance(500)
    assert everything(later) == everything(alone)
    later.close()


@pytest.mark.usefixtures("eager")
def test_a_search_without_enough_numbers_stops_at_the_same_place(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half an expansion is not kept, and is made again."""
    monkeypatch.setattr("kmodel.recorder.MAX_CODES", 14)
    for order in ORDERS:
        alone = whole(half, order)
        assert "different values" in str(alone["stopped"])
        search, ended = in_pieces(half, file, order, repeat(3))
        assert ended > 0
        assert everything(search) == alone
        assert everything(finished(resume(half, file, order))) == alone
        file.unlink()


# what has changed since


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (counting(by=2), "task.pause in state"),
        (counting(times=2), "task.pause in state"),
        (counting(most=2), "the check 'few' in state"),
        (counting(most=0, times=3), "the check 'few' in state"),
        (counting(peek=0), "its checks of the first state"),
        (counting(peek=2), "the check 'few' in state"),
        (counting(most=-1), "its checks of the first state"),
        (counting(name="A"), "its tasks"),
        (counting(check="all"), "its checks"),
    ],
)
def test_what_has_changed_is_named(now: Callable[[], World], said: str, file: Path) -> None:
    """The first step or check that does otherwise."""
    finished(begin(counting(), file))
    with pytest.raises(CheckpointError, match=said) as caught:
        resume(now, file)
    assert "has changed" in str(caught.value)


def test_a_change_that_no_step_has_met_is_none(file: Path) -> None:
    """All that ran does the same, so the graph is that of the new model too."""
    search = begin(counting(times=1), file)
    finished(search)
    resume(counting(times=1, most=7), file).close()


# a disk that is full


@pytest.mark.usefixtures("eager")
def test_a_full_disk_is_told_once_and_costs_the_search_nothing(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file stays whole, and once there is room it gets all."""
    told: list[str] = []
    search = begin(counting(), file, tell=told.append)
    for _ in range(5):
        search.advance(1)
    good, write = file.read_bytes(), os.write

    def full(descriptor: int, data: memoryview) -> int:
        if len(data) > 20:
            return write(descriptor, data[:20])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        search._next = 0.0
        for _ in range(5):
            search._next = 0.0
            search.advance(1)
    assert len(told) == 1
    assert "no space left on device" in told[0]
    assert file.read_bytes() == good
    resumed = resume(counting(), Path(shutil.copy(file, file.with_name("copy"))))
    assert everything(finished(resumed)) == whole(counting())
    assert everything(finished(search)) == whole(counting())


@pytest.mark.usefixtures("eager")
def test_what_a_full_disk_did_not_take_is_written_later(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the next chunk."""
    told: list[str] = []
    search = begin(counting(), file, tell=told.append)
    search.advance(2)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: (_ for _ in ()).throw(OSError(5, "broken")))
        patch.setattr(os, "write", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
        search.advance(2)
    assert told
    finished(search)
    later = resume(counting(), file)
    assert not later._frontier
    assert everything(finished(later)) == whole(counting())
