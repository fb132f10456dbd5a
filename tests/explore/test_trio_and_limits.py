"""What stops a search, and what is refused."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio
from enumeration import facts_of, searched
from programs import build, program

from kmodel.explore.execution import Execution, Outcome, run
from kmodel.explore.graph import Limits, Search
from kmodel.explore.host import TrioHost
from kmodel.explore.strategy import Random, Replay, ReplayDiverged
from kmodel.point import Loop, pause
from kmodel.shared import shared
from kmodel.world import ScenarioError, World


@shared
class Number:
    value: int

    def __init__(self) -> None:
        self.value = 0


def world_of(make: Callable[[Number], Callable[[], Awaitable[None]]], tasks: int = 1) -> World:
    with World() as world:
        number = Number()
    for task in range(tasks):
        world.task(f"t{task}", make(number))
    return world


def pauses(count: int) -> Callable[[Number], Callable[[], Awaitable[None]]]:
    def make(_: Number) -> Callable[[], Awaitable[None]]:
        async def body() -> None:
            for _ in range(count):
                await pause()

        return body

    return make


# limits


def test_the_limit_of_states_stops_a_search() -> None:
    """The search says what stopped it, claims nothing, and keeps what it has."""
    search = Search(world_of(pauses(20), 3), Limits(states=100))
    turns = 0
    while search.advance(10):
        turns += 1
    graph = search.graph
    assert not graph.complete
    assert graph.stopped_by == "100 states"
    assert 100 <= len(graph) < 200
    assert turns < 20


def test_the_limit_of_time_stops_a_search() -> None:
    """The same with seconds."""
    search = Search(world_of(pauses(20), 3), Limits(seconds=0.0))
    assert not search.advance(10)
    said = "0 s (a third of them kept for judging)"
    assert (search.graph.complete, search.graph.stopped_by) == (False, said)


def test_the_limit_of_memory_stops_a_search() -> None:
    """The same with bytes, where the system says how many are used."""
    search = Search(world_of(pauses(20), 3), Limits(memory=1))
    assert not search.advance(10)
    assert (search.graph.complete, search.graph.stopped_by) == (False, "0 MiB of memory")


def test_an_interrupted_search_is_not_complete() -> None:
    """Ctrl-C between two batches leaves a graph that says so, however little was left."""
    search = Search(world_of(pauses(2), 1), Limits())
    search.advance(1)
    search.interrupt("Ctrl-C")
    while search.advance(100):
        pass
    assert (search.graph.complete, search.graph.stopped_by) == (False, "Ctrl-C")


def test_a_limit_that_is_not_reached_changes_nothing() -> None:
    """A search that ends below its limits is complete."""
    graph = searched(world_of(pauses(5), 2), limits=Limits(states=1000, seconds=600))
    assert (graph.complete, graph.stopped_by) == (True, None)


def test_a_stopped_search_found_nothing_that_is_not_there() -> None:
    """What a cut graph says of final states, deadlocks and panics is in the whole one."""
    for seed in range(40):
        whole = facts_of(searched(build(program(seed))))
        cut = facts_of(searched(build(program(seed)), limits=Limits(states=20), batch=5))
        assert cut.finals <= whole.finals, seed
        assert cut.deadlocks <= whole.deadlocks, seed
        assert cut.panics <= whole.panics, seed


# what a task may await


def sleeper(_: Number) -> Callable[[], Awaitable[None]]:
    async def body() -> None:
        await pause()
        await trio.sleep(0.1)

    return body


def refusal(world: World) -> str:
    """What a search of ``world`` says is wrong with the scenario."""
    graph = searched(world)
    wrong = [v.message for v in graph.violations if v.kind == "scenario-error"]
    return wrong[0] if wrong else "accepted"


def outcome_of(world: World, on_trio: bool) -> Outcome:
    """One run, inside Trio on either host."""

    async def main() -> Outcome:
        execution = Execution(world)
        if on_trio:
            return await TrioHost(execution, Random(0), 50).run()
        return run(execution, Random(0), 50)

    return trio.run(main)


def test_a_task_may_not_await_trio_in_a_search() -> None:
    """Trio's own waits are no points: what they wait for is not in the model."""

    async def main() -> str:
        return refusal(world_of(sleeper))

    assert "no kmodel point" in trio.run(main)


@pytest.mark.parametrize("on_trio", [False, True])
def test_a_task_may_not_await_trio_in_a_run(on_trio: bool) -> None:
    """The same in one run, on either host."""
    outcome = outcome_of(world_of(sleeper), on_trio)
    assert outcome.kind == "scenario-error"
    assert "no kmodel point" in outcome.message


@pytest.mark.parametrize("thing", [(), (1, 2, 3), [1, 2, 3], None, "pause"])
def test_whatever_else_is_awaited_is_refused(thing: object) -> None:
    """Also a tuple that has the length of an operation."""

    class Odd:
        def __await__(self):  # type: ignore[no-untyped-def]
            return (yield thing)

    def make(_: Number) -> Callable[[], Awaitable[None]]:
        async def body() -> None:
            await Odd()

        return body

    if not isinstance(thing, list):  # which is refused before any step is taken
        assert "no kmodel point" in refusal(world_of(make))
    assert "no kmodel point" in outcome_of(world_of(make), False).message


def test_both_hosts_and_the_search_blame_the_same_error_alike() -> None:
    """What a task raises is a verdict with a schedule, the same one everywhere."""

    def make(_: Number) -> Callable[[], Awaitable[None]]:
        async def body() -> None:
            await pause()
            raise ZeroDivisionError("model bug")

        return body

    inner, hosted = (outcome_of(world_of(make, 2), on_trio) for on_trio in (False, True))
    assert inner == hosted
    assert inner.kind == "scenario-error"
    assert "ZeroDivisionError: model bug" in inner.message
    assert refusal(world_of(make)).replace("t0", "t1") == inner.message.replace("t0", "t1")


# what nothing bounds


def stopped(world: World) -> str:
    """Why the search of ``world`` gave up; it claims nothing then."""
    graph = searched(world)
    assert not graph.complete
    assert graph.stopped_by is not None
    return graph.stopped_by


def test_an_unbounded_counter_in_a_local_is_refused() -> None:
    """A loop without a head that counts for ever has ever new histories."""

    def make(_: Number) -> Callable[[], Awaitable[None]]:
        async def body() -> None:
            turn = 0
            while True:
                turn += 1
                await pause()

        return body

    assert "Loop().head(...)" in stopped(world_of(make))


def test_a_live_counter_that_nothing_bounds_is_refused() -> None:
    """Declared live, the same counter makes ever new values."""

    def make(_: Number) -> Callable[[], Awaitable[None]]:
        async def body() -> None:
            loop, turn = Loop(), 0
            while True:
                loop.head(turn)
                turn += 1
                await pause()

        return body

    assert "more than 65535 different" in stopped(world_of(make))


def test_more_values_than_a_code_can_name_are_refused() -> None:
    """A counter that only grows, as shared state, is refused with advice."""

    def make(number: Number) -> Callable[[], Awaitable[None]]:
        async def body() -> None:
            loop = Loop()
            while True:
                loop.head()
                number.value += 1
                await pause()

        return body

    assert "Statistic or a Stamp" in stopped(world_of(make))


@pytest.mark.parametrize("value", [1.5, [1], {1}, (1, [2]), object(), b"x"])
def test_a_value_that_is_no_state_is_refused(value: object) -> None:
    """Anything mutable or unknown, however deep."""

    def make(number: Number) -> Callable[[], Awaitable[None]]:
        async def body() -> None:
            number.value = value  # type: ignore[assignment]
            await pause()

        return body

    if isinstance(value, (list, set)) or value == (1, [2]):  # met before any step is taken
        with pytest.raises(ScenarioError, match="can reach a"):
            searched(world_of(make))
    else:
        assert "cannot hold" in refusal(world_of(make))


# replay


@pytest.mark.parametrize("on_trio", [False, True])
def test_an_impossible_choice_is_a_divergence(on_trio: bool) -> None:
    """A schedule that lets a finished task step is refused, and says at which step."""

    async def main() -> None:
        execution = Execution(world_of(pauses(1), 2))
        replay = Replay(bytes([0, 0, 0, 1]))
        if on_trio:
            await TrioHost(execution, replay, 50).run()
        else:
            run(execution, replay, 50)

    with pytest.raises(ReplayDiverged, match=r"step 2: .* task 0 step, and only") as caught:
        trio.run(main)
    assert caught.value.step == 2


def test_a_schedule_that_is_too_short_is_a_divergence() -> None:
    """A replay does not make choices of its own."""
    with pytest.raises(ReplayDiverged) as caught:
        run(Execution(world_of(pauses(1), 2)), Replay(bytes([0])), 50)
    assert caught.value.step == 1
