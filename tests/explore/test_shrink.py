"""Shrinking: the same bug, never larger, as small as is known to be possible."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
from enumeration import TooMany
from programs import build, program
from switches import runs
from test_preemptions import LADDER, ladder
from toys import Counter, deep

from kmodel.explore.execution import Execution, run
from kmodel.explore.shrink import Cost, Shrunk, shrink
from kmodel.explore.signature import Signature, shown
from kmodel.explore.strategy import Random, Replay
from kmodel.panic import Panic
from kmodel.point import pause
from kmodel.sync.mutex import Mutex
from kmodel.world import World

sys.path.append(str(Path(__file__).parents[1] / "power"))

import bugs

Build = Callable[[], World]


@attrs.frozen
class Broken:
    """A run that broke something, and what."""

    choices: bytes
    signature: Signature


def random_run(make: Build, seed: int) -> Broken | None:
    execution = Execution(make(), checks=True)
    run(execution, Random(seed), 1000)
    found = shown(execution)
    return Broken(bytes(execution.choices), found) if found else None


def first_broken(make: Build, seeds: int = 3000) -> Broken:
    return next(found for seed in range(seeds) if (found := random_run(make, seed)))


def replayed(make: Build, choices: bytes, prop: str = "") -> tuple[Signature | None, Cost]:
    """What a run shows with its last step, and no sooner; and what it costs."""
    execution, switches, last = Execution(make(), checks=True), 0, None
    for task in choices:
        assert not execution.over()
        assert shown(execution, prop) is None
        assert task in execution.enabled()
        switches += last is not None and task != last and last in execution.enabled()
        execution.step(task)
        last = task
    execution.close()
    execution = Execution(make(), checks=True)
    run(execution, Replay(choices), len(choices) + (not prop))
    return shown(execution, prop), (len(set(choices)), switches, len(choices))


def test_random_programs_shrink_to_the_same_bug(fuzz_seed: int, fuzz_scale: int) -> None:
    """Never more tasks, preemptions or steps; shrunk again it stays as it is."""
    shrunk = smaller = 0
    for seed in range(fuzz_seed + 720_000, fuzz_seed + 720_000 + 150 * fuzz_scale):
        tried = program(seed)

        def make(tried=tried) -> World:  # type: ignore[no-untyped-def]
            return build(tried)

        broken = random_run(make, seed)
        if broken is None:
            continue
        small = shrink(make, broken.choices, broken.signature)
        signature, cost = replayed(make, small.choices)
        _, before = replayed(make, broken.choices)
        assert signature == broken.signature, seed
        assert cost == small.cost, seed
        assert before == small.original, seed
        assert all(now <= then for now, then in zip(cost, before)), seed
        assert small.minimal, seed
        again = shrink(make, small.choices, signature)
        assert again.choices == small.choices, seed
        shrunk, smaller = shrunk + 1, smaller + (cost < before)
    assert shrunk > 15 * fuzz_scale
    assert smaller > shrunk / 2


def test_no_other_schedule_has_fewer_preemptions(fuzz_seed: int) -> None:
    """Of all schedules of the same tasks that show the same bug, by enumeration."""
    compared = 0
    for seed in range(fuzz_seed + 721_000, fuzz_seed + 721_100):
        tried = program(seed)

        def make(tried=tried) -> World:  # type: ignore[no-untyped-def]
            return build(tried)

        try:
            every = [one for one in runs(make, 200) if one.kind in ("deadlock", "panic")]
        except TooMany:
            continue
        broken = random_run(make, seed)
        if broken is None:
            continue
        small = shrink(make, broken.choices, broken.signature)
        assert small.fewest, seed
        longest = min(len(broken.choices), 2 * len(small.choices))
        for one in every:
            if set(one.choices) <= set(small.choices) and len(one.choices) <= longest:
                signature, cost = replayed(make, one.choices)
                if signature == broken.signature:
                    assert cost[1] >= small.cost[1], (seed, one.choices)
                    compared += 1
    assert compared > 10


PLANTED = [
    (bugs.lost_update, 3, 1),
    (bugs.lost_wakeup, 3, 1),
    (bugs.crossed_locks, 3, 1),
    (bugs.ignored_try, 2, 1),
    (bugs.use_after_release, 2, 1),
    (bugs.torn_pair, 2, 1),
    (bugs.double_release, 2, 1),
    (lambda: deep(1), 1, 0),
    (lambda: deep(2), 2, 1),
    (lambda: deep(3), 2, 2),
    *((ladder(first, second), 2, needed) for first, second, needed in LADDER),
]
"""A bug, and the fewest tasks and preemptions that show it. What is seen at the end alone
(a sum, a deadlock of all) needs every task to end, a bystander too."""


@pytest.mark.parametrize(("make", "tasks", "preemptions"), PLANTED)
def test_planted_bugs_shrink_to_what_they_need(make: Build, tasks: int, preemptions: int) -> None:
    """A bug that needs one switch ends with one switch, and so on."""
    broken = first_broken(make)
    small = shrink(make, broken.choices, broken.signature)
    assert small.cost[:2] == (tasks, preemptions)
    assert small.minimal
    assert small.fewest


def two_panics() -> World:
    """The one that is shown takes a switch; another shows whenever ``b`` is done first."""
    with World() as world:
        counter = Counter()

    async def a() -> None:
        await counter.up()
        if await counter.reached(3):
            raise Panic("b was done first")
        await counter.up()
        await pause()
        if await counter.reached(3):
            raise Panic("b came in between")

    async def b() -> None:
        await pause()
        for _ in range(2):
            await counter.up()

    world.task("a", a)
    world.task("b", b)
    return world


def test_a_shorter_way_to_another_panic_is_not_taken() -> None:
    """Fewer switches, but not the same bug."""
    founds = [found for seed in range(300) if (found := random_run(two_panics, seed))]
    messages = {found.signature.message for found in founds}
    assert messages == {"* was done first", "* came in between"}
    sizes = {}
    for found in founds:
        small = shrink(two_panics, found.choices, found.signature)
        assert replayed(two_panics, small.choices)[0] == found.signature
        sizes[found.signature.message] = small.cost[1]
    assert sizes == {"* was done first": 0, "* came in between": 1}


def two_deadlocks() -> World:
    """Two pairs of locks in two orders, one after the other."""
    with World() as world:
        locks = [Mutex(f"m{number}") for number in range(4)]

    async def take(*order: int) -> None:
        for first, second in (order[:2], order[2:]):
            await locks[first].enter()
            await locks[second].enter()
            await locks[second].leave()
            await locks[first].leave()

    world.task("a", take, 0, 1, 2, 3)
    world.task("b", take, 1, 0, 3, 2)
    return world


def test_a_deadlock_stays_at_its_places() -> None:
    """The first pair is crossed sooner, and is not the second."""
    seen = set()
    for seed in range(200):
        found = random_run(two_deadlocks, seed)
        if found is not None:
            small = shrink(two_deadlocks, found.choices, found.signature)
            assert replayed(two_deadlocks, small.choices)[0] == found.signature
            seen.add((found.signature.places, small.cost[2]))
    assert seen == {
        (("mutex.enter m0", "mutex.enter m1"), 4),
        (("mutex.enter m2", "mutex.enter m3"), 8),
    }


def unjudged() -> World:
    """A check that fails on the way and ends nothing."""
    with World() as world:
        counter = Counter()

    async def up() -> None:
        for _ in range(3):
            await counter.up()

    for name in "ab":
        world.task(name, up)
    world.check("few", lambda: "too many" if counter.count > 3 else None, judged=False)
    return world


def test_what_does_not_end_the_run_can_be_shrunk_too() -> None:
    """Named by its check; the run ends where it shows."""
    execution = Execution(unjudged(), checks=True)
    run(execution, Random(3), 100)
    wanted = shown(execution, "few")
    assert wanted is not None
    assert shown(execution) is None
    small = shrink(unjudged, bytes(execution.choices), wanted)
    assert replayed(unjudged, small.choices, "few") == (wanted, (2, 0, 6))


def test_a_budget_ends_it_with_what_there_is() -> None:
    """And it says that there may be less."""
    broken = first_broken(bugs.lost_update)

    def within(most: int) -> Shrunk:
        return shrink(bugs.lost_update, broken.choices, broken.signature, runs=most)

    assert within(1).choices == broken.choices
    assert not within(1).minimal
    costs = [within(most).cost for most in (1, 20, 60, 1000)]
    assert costs == sorted(costs, reverse=True)
    assert costs[0] > costs[-1]
    assert [within(60).runs, within(60).choices] == [60, within(60).choices]
    stopped = shrink(bugs.lost_update, broken.choices, broken.signature, enough=lambda: True)
    assert (stopped.choices, stopped.runs) == (broken.choices, 1)


def test_a_run_that_does_not_show_it_is_refused() -> None:
    """Whoever asks has mixed something up."""
    broken = first_broken(bugs.lost_update)
    with pytest.raises(ValueError, match="the run does not end in panic"):
        shrink(bugs.lost_update, broken.choices, Signature.of("panic", "no panic", "boom", (), ()))


def test_the_search_alone_comes_to_one_switch(monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not need that what is left out has led there."""
    monkeypatch.setattr("kmodel.explore.shrink._Shrinker._less", lambda self: False)
    broken = first_broken(bugs.torn_pair)
    small = shrink(bugs.torn_pair, broken.choices, broken.signature, runs=30_000)
    assert small.original[1] > 10
    assert small.cost[1] == 1
    assert small.fewest
    assert replayed(bugs.torn_pair, small.choices)[0] == broken.signature
