"""Forgetting: what ``Loop.head`` and ``procedure`` throw away, and what they must not."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from enumeration import TooMany, enumerate_all, facts_of, searched
from programs import build, program

from kmodel.explore.drive import drive
from kmodel.explore.graph import Limits, Search
from kmodel.explore.history import FalseLive, Histories
from kmodel.point import Loop, pause, procedure
from kmodel.shared import shared
from kmodel.table import Stamp
from kmodel.world import World


@shared
class Pair:
    x: int
    y: int

    def __init__(self) -> None:
        self.x = self.y = 0


def agree(build: Callable[[], World]) -> bool:
    """Does the search find what enumeration finds?"""
    return facts_of(searched(build())) == enumerate_all(build, 5000, fresh=True)[0]


def one_task(make: Callable[[Pair], Callable[..., object]]) -> Callable[[], World]:
    """A world in which one task runs what ``make`` gives, and another writes x now and then."""

    def build() -> World:
        with World() as world:
            pair = Pair()

        async def writer() -> None:
            for value in (1, 2):
                await pause()
                pair.x = value

        world.task("a", make(pair))
        world.task("writer", writer)
        return world

    return build


def summing(*, honest: bool) -> Callable[[], World]:
    """Two turns add up what they read; the sum is declared live, or is not."""

    def make(pair: Pair) -> Callable[..., object]:
        async def body() -> None:
            loop, total = Loop(), 0
            for turn in range(2):
                loop.head(turn, *([total] if honest else []))
                total += pair.x
                await pause()
            pair.y = total

        return body

    return one_task(make)


def test_a_true_live_set_loses_nothing() -> None:
    """With all that outlives a turn declared, the search equals enumeration."""
    assert agree(summing(honest=True))


def test_a_false_live_set_merges_what_differs() -> None:
    """Leaving out the sum loses final states, and the comparison shows it."""
    assert not agree(summing(honest=False))


def test_a_procedure_that_changes_its_callers_list_merges_what_differs() -> None:
    """The one thing that ``procedure`` forbids: handing back what it read by another way
    than its result."""

    def make(pair: Pair) -> Callable[..., object]:
        @procedure
        def read(into: list[int]) -> None:
            into.append(pair.x)

        async def body() -> None:
            found: list[int] = []
            await pause()
            read(found)
            await pause()
            pair.y = found[0]

        return body

    assert not agree(one_task(make))


def lie(build: Callable[[], World]) -> str:
    """What a search finds that forgets nothing, and compares; nothing if all is well."""
    world = build()
    search = Search(world, Limits(), "bfs", Histories(world, forgetful=False))
    try:
        drive(search)
    except FalseLive as found:
        return str(found)
    assert search.graph.complete
    return ""


def test_a_false_live_set_is_found_by_a_search_that_forgets_nothing() -> None:
    """``--check-live`` says who goes on differently; of a true one it says nothing."""
    assert lie(summing(honest=False)).startswith("task a goes on differently after a Loop.head()")
    assert lie(summing(honest=True)) == ""


def test_what_was_read_before_the_loop_is_kept() -> None:
    """``head`` forgets back to where the loop was made, and no further."""

    def make(pair: Pair) -> Callable[..., object]:
        async def body() -> None:
            await pause()
            before = pair.x
            loop = Loop()
            for turn in range(2):
                loop.head(turn)
                pair.x  # noqa: B018  (read, and forgotten)
                await pause()
            pair.y = before

        return body

    assert agree(one_task(make))


def test_a_location_read_inside_a_procedure_and_again_after_it() -> None:
    """The second read, in the same step, is known to the caller though the first is not."""

    def make(pair: Pair) -> Callable[..., object]:
        @procedure
        def is_set() -> bool:
            return pair.x > 0

        async def body() -> None:
            await pause()
            was = is_set()
            value = pair.x
            await pause()
            pair.y = 10 * value + was

        return body

    assert agree(one_task(make))


def test_a_read_after_an_own_write_in_the_same_step() -> None:
    """What the step itself wrote is no input of it, but still in the history."""

    def make(pair: Pair) -> Callable[..., object]:
        async def body() -> None:
            await pause()
            pair.y = pair.x + 1
            kept = pair.y
            await pause()
            pair.y = 0
            await pause()
            pair.y = kept

        return body

    assert agree(one_task(make))


def test_a_value_that_lives_on_the_stack_only() -> None:
    """The left operand is read in one step and used in another; no local holds it."""

    def make(pair: Pair) -> Callable[..., object]:
        async def later() -> int:
            await pause()
            return pair.x

        async def body() -> None:
            await pause()
            pair.y = 10 * pair.x + await later()

        return body

    assert agree(one_task(make))


@pytest.mark.parametrize(("one", "other"), [(1, True), (0, False), (0, None), (-1, -2)])
def test_values_that_compare_or_hash_equal_are_kept_apart(one: object, other: object) -> None:
    """``1 == True`` and ``hash(-1) == hash(-2)``; a task that looks at the type, or the
    value, must not be merged with its twin."""

    def build() -> World:
        with World() as world:
            pair = Pair()

        async def writer() -> None:
            pair.x = one  # type: ignore[assignment]
            await pause()
            pair.x = other  # type: ignore[assignment]

        async def reader() -> None:
            await pause()
            loop = Loop()
            value = pair.x
            loop.head(value)
            await pause()
            pair.y = repr(value)  # type: ignore[assignment]

        world.task("writer", writer)
        world.task("reader", reader)
        return world

    assert agree(build)
    assert len(facts_of(searched(build())).finals) >= 2


def test_an_exception_out_of_a_procedure_keeps_what_was_read() -> None:
    """A procedure that raises has no result; its caller may have learned anything."""

    def make(pair: Pair) -> Callable[..., object]:
        @procedure
        def demand() -> int:
            if not pair.x:
                raise KeyError
            return 7

        async def body() -> None:
            await pause()
            try:
                value = demand()
            except KeyError:
                value = 3
            await pause()
            pair.y = value

        return body

    assert agree(one_task(make))


def test_loops_and_procedures_one_inside_the_other() -> None:
    """An inner loop forgets the inner turn only; a procedure's loop dies with it."""

    def make(pair: Pair) -> Callable[..., object]:
        @procedure
        async def settled() -> int:
            await pause()
            loop = Loop()
            last = -1
            for turn in range(3):
                loop.head(turn, last)
                if pair.x == last:
                    break
                last = pair.x
                await pause()
            return last

        async def body() -> None:
            await pause()
            outer, total = Loop(), 0
            for turn in range(2):
                outer.head(turn, total)
                total += await settled()
            pair.y = total

        return body

    assert agree(one_task(make))


def test_forgetting_makes_fewer_states_of_the_same_facts() -> None:
    """Where a loop forgets, the search keeps fewer states than where it does not."""

    def polling(forget: bool) -> Callable[[], World]:
        def make(pair: Pair) -> Callable[..., object]:
            async def body() -> None:
                await pause()
                loop = Loop()
                for turn in range(4):
                    if forget:
                        loop.head(turn)
                    if pair.x == 2:
                        break
                    await pause()
                pair.y = 1

            return body

        return one_task(make)

    small, large = searched(polling(True)()), searched(polling(False)())
    assert len(small) < len(large)
    assert facts_of(small) == facts_of(large)


@pytest.mark.parametrize("seed", range(30))
def test_stamps_are_faithful_to_real_version_numbers(seed: int) -> None:
    """A stamp answers ``same`` as a number that grows would, in every schedule."""
    dice = Random(seed)
    plans = [
        ["copy", *(dice.choice(("bump", "copy", "same", "pause")) for _ in range(4))]
        for _ in range(2)
    ]

    def build(real: bool) -> World:
        with World() as world:
            stamp, version, answers = Stamp(), Pair(), (Pair(), Pair())

        async def body(plan: tuple[str, ...], mine: Pair) -> None:
            copy = 0
            for act in plan:
                await pause()
                if act == "copy":
                    copy = version.x
                    stamp.copy()
                elif act == "bump":
                    version.x += 1
                    stamp.bump()
                elif act == "same":
                    known = copy == version.x if real else stamp.same()
                    mine.x = 2 * mine.x + known + 1

        for number, plan in enumerate(plans):
            world.task(f"t{number}", body, tuple(plan), answers[number])
        return world

    assert facts_of(searched(build(True))) == facts_of(searched(build(False)))


def test_random_programs_forget_nothing_that_matters(fuzz_seed: int) -> None:
    """Programs with retry loops and procedures, against enumeration."""
    seen = 0
    for seed in range(fuzz_seed + 400_000, fuzz_seed + 400_600):
        tried = program(seed, tries=False)
        if "'retry'" not in repr(tried) and "'call'" not in repr(tried):
            continue
        try:
            oracle, _ = enumerate_all(lambda tried=tried: build(tried), 150)
        except TooMany:
            continue
        seen += 1
        assert facts_of(searched(build(tried))) == oracle, seed
    assert seen > 50
