"""A world: its tasks, its checks, and the scenarios that are refused."""

import re
import types

import pytest
from worlds import Cell, run, search

from kmodel import explore
from kmodel.explore.execution import Execution
from kmodel.panic import Panic
from kmodel.point import pause
from kmodel.untracked import refuse_untracked
from kmodel.world import ScenarioError, World, curcpu

LEFT_LYING_ABOUT: list[int] = []


async def idle():
    await pause()


async def take(first, second=2, *rest, key=10, **more):
    await pause()
    return first, second, rest, key, more


def closing_over(value):
    async def inner():
        await pause()
        return value

    return inner()


def seen_by_an_inner_function(value):
    async def outer(kept):
        await pause()
        return (lambda: kept)()

    return outer(value)


class Thing:
    async def method(self, value):
        await pause()
        return type(self).__name__, value


class Derived(Thing):
    async def method(self, value):
        return await super().method(value)


BEGUN_AGAIN = {
    "positional": (lambda: take(1), (1, 2, (), 10, {})),
    "defaults given": (lambda: take(1, 3, key=4), (1, 3, (), 4, {})),
    "variable": (lambda: take(1, 2, 3, 4, key=5, other=6), (1, 2, (3, 4), 5, {"other": 6})),
    "closure": (lambda: closing_over("kept"), "kept"),
    "argument in a cell": (lambda: seen_by_an_inner_function("kept"), "kept"),
    "bound method": (lambda: Thing().method(1), ("Thing", 1)),
    "super": (lambda: Derived().method(1), ("Derived", 1)),
}


@pytest.mark.parametrize("case", BEGUN_AGAIN)
def test_a_coroutine_can_be_begun_again(case):
    """A search begins each task many times: each beginning gets the same arguments."""
    make, wanted = BEGUN_AGAIN[case]
    world = World()
    world.task("A", make())
    for _ in range(2):
        assert run(world).results["A"] == wanted


def test_a_task_is_an_async_function_with_its_arguments():
    """What the coroutine would be called with can be given apart."""
    world = World()
    world.task("A", take, 1, 5)
    assert run(world).results["A"] == (1, 5, (), 10, {})


def test_two_tasks_of_one_name_are_refused():
    """A name stands for a CPU in every message."""
    world = World()
    world.task("A", idle)
    with pytest.raises(ScenarioError, match="two tasks are called 'A'"):
        world.task("A", idle)


@pytest.mark.parametrize("begin", [World.seal, World.record, Execution])
def test_a_world_needs_an_obliged_task(begin):
    """With background tasks only a run would be over before it began."""
    world = World()
    world.task("K", idle, obliged=False)
    with pytest.raises(ScenarioError, match="no obliged task"):
        begin(world)


def test_a_coroutine_that_has_begun_is_refused():
    """Half of its story could not be told again."""
    begun = idle()
    begun.send(None)
    with pytest.raises(ScenarioError, match="already begun"):
        World().task("A", begun)
    begun.close()


def test_arguments_beside_a_coroutine_are_refused():
    """A coroutine has its arguments already."""
    coroutine = idle()
    with pytest.raises(ScenarioError, match="arguments given beside a coroutine"):
        World().task("A", coroutine, 1)
    coroutine.close()


def test_a_task_that_is_no_function_is_refused():
    """The message says what was expected and what was given."""
    with pytest.raises(ScenarioError, match="expected a coroutine or an async function, got int"):
        World().task("A", 5)


def test_a_plain_function_is_refused():
    """A function without ``async`` would run at once, and be no task."""

    def plain():
        return 1

    world = World()
    world.task("A", plain)
    with pytest.raises(ScenarioError, match="plain is not an async function"):
        run(world)


def via_closure():
    shared_list = []

    async def grow():
        await pause()
        shared_list.append(1)

    return grow, ()


def via_argument():
    async def grow(found):
        await pause()
        found.append(1)

    return grow, ([],)


def via_global():
    async def grow():
        await pause()
        LEFT_LYING_ABOUT.append(1)

    return grow, ()


def via_method():
    class Plain:
        def __init__(self):
            self.found = []

        async def grow(self):
            await pause()

    return types.MethodType(via_closure()[0], Plain()), ()


@pytest.mark.parametrize("reach", [via_closure, via_argument, via_global, via_method])
def test_a_list_that_two_tasks_could_reach_is_refused(reach):
    """What the engine cannot see change would make every verdict worthless."""
    start, args = reach()
    world = World()
    world.task("A", start, *args)
    with pytest.raises(ScenarioError, match="can reach a list"):
        refuse_untracked(world)


def test_a_list_in_a_constant_field_is_refused():
    """A field that is not recorded must hold nothing that changes."""
    with World() as world:
        cell = Cell()
        cell.extra = [1]
    world.task("A", idle)
    with pytest.raises(ScenarioError, match=r"Cell\.extra can reach a list"):
        refuse_untracked(world)


def test_shared_objects_and_tuples_can_be_reached():
    """What the engine sees, and what never changes, may be passed around."""
    with World() as world:
        cell = Cell(0)

    async def touch(pair):
        await pause()
        pair[0].value += pair[1]

    world.task("A", touch, (cell, 2))
    assert search(world).complete


def test_each_task_has_a_cpu_of_its_own():
    """``curcpu`` is the CPU of the task whose step it is."""
    with World() as world:
        found = Cell()

    async def note():
        await pause()
        found.value = (curcpu().name, curcpu().held)

    world.task("A", note)
    run(world)
    assert found.value == ("cpu A", ())


def test_an_always_check_is_asked_in_every_state():
    """A state that passes between two points is none; one at a point is judged."""
    with World() as world:
        cell = Cell(0)

    async def glitch():
        cell.value = 1
        cell.value = 0
        await pause()
        cell.value = 2
        await pause()
        cell.value = 0

    world.task("A", glitch)
    world.check("zero", lambda: f"it is {cell.value}" if cell.value else None)
    assert [wrong.message for wrong in search(world).violations] == ["it is 2"]


def test_an_end_check_is_asked_when_the_obliged_are_done():
    """What is wrong only on the way does not matter to it."""
    with World() as world:
        cell = Cell(0)

    async def work():
        cell.value = 1
        await pause()
        cell.value = 0

    world.task("A", work)
    world.check("zero", lambda: "not zero" if cell.value else None, when="end")
    assert search(world).violations == []


@pytest.mark.parametrize("when", ["always", "end"])
def test_a_failed_assertion_in_a_check_is_what_is_wrong(when):
    """No mistake of the check. Its text is the same in each run, whatever objects it names."""

    async def work(cell):
        await pause()
        cell.value = 1

    def build(world):
        with world:
            cell = Cell(0)

        def empty():
            assert cell.value == 0, f"not {cell!r}"

        world.task("A", work, cell)
        world.check("empty", empty, when=when)

    (found,) = explore.search(build).found
    said = r"assertion failed in empty \(test_world.py, line \d+\): not <worlds.Cell object>\n"
    assert re.search(said, found.message)
    ran = explore.replay(build, explore.Schedule(found.stem))
    assert re.search(said, ran.message)


def test_a_panic_ends_its_run():
    """A broken rule is an outcome with its kind and culprits, not an error of the tool."""

    async def fall():
        await pause()
        raise Panic("it broke", "invariant", ("A",))

    world = World()
    world.task("A", fall)
    outcome = run(world).outcome
    assert (outcome.kind, outcome.message, outcome.culprits) == ("invariant", "it broke", ("A",))


def test_background_tasks_are_cut_when_the_obliged_are_done():
    """A run is over although a background task could go on."""

    async def forever():
        while True:
            await pause()

    world = World()
    world.task("A", idle)
    world.task("K", forever, obliged=False)
    assert run(world).outcome.kind == "done"
