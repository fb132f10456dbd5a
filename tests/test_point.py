"""Points: where another CPU can get in, and where it cannot."""

import types

import pytest
from worlds import Cell, Refused, at_end, everywhere, run, search, stuck

from kmodel.explore.graph import Limits, Search
from kmodel.point import Loop, curtask, operation, pause, procedure
from kmodel.shared import Atomic, shared
from kmodel.world import World


@shared
class Gate:
    """Shut until somebody opens it."""

    open: Atomic[bool]

    def __init__(self) -> None:
        self.open = False

    @operation(lambda self: self.open, event="task.pause")
    def through(self) -> str:
        return "through"

    @operation(event="task.pause")
    def unlock(self) -> None:
        self.open = True


async def add(cell, gap):
    value = cell.value
    if gap:
        await pause()
    cell.value = value + 1


@pytest.mark.parametrize(("gap", "sums"), [(False, {2}), (True, {1, 2})])
def test_another_cpu_gets_in_at_points_only(gap, sums):
    """Code between two points is atomic; a point inside it loses an update."""
    with World() as world:
        cell = Cell(0)
    world.task("A", add, cell, gap)
    world.task("B", add, cell, gap)
    assert at_end(search(world), lambda: cell.value) == sums


def test_a_guard_holds_the_task_until_it_is_true():
    """An operation waits for its guard, and its effect's result is what the await gives."""
    with World() as world:
        gate, got = Gate(), Cell()

    async def pass_it():
        got.value = await gate.through()

    async def open_it():
        await gate.unlock()

    world.task("A", pass_it)
    world.task("B", open_it)
    graph = search(world)
    assert stuck(graph) == []
    assert at_end(graph, lambda: got.value) == {"through"}
    # the gate is open in each state in which A is through it
    assert (False, "through") not in everywhere(graph, lambda: (gate.open, got.value))


def test_a_guard_that_never_holds_is_a_deadlock():
    """A task whose guard stays false cannot step, and is stuck for good."""
    with World() as world:
        gate = Gate()

    async def pass_it():
        await gate.through()

    world.task("A", pass_it)
    assert run(world).outcome.kind == "deadlock"


def test_an_operation_takes_its_arguments_by_position():
    """The guard and the effect get the same tuple, so names are refused."""

    @shared
    class Box:
        @operation(event="task.pause")
        def put(self, value: int) -> None: ...

    with pytest.raises(TypeError, match="by position"):
        Box().put(value=1)


def test_curtask_is_the_task_whose_step_it_is():
    """Model code learns its own thread, and there is none outside a run."""
    with World() as world:
        names = [Cell(), Cell()]

    async def note(cell):
        await pause()
        cell.value = repr(curtask())

    world.task("A", note, names[0])
    world.task("B", note, names[1])
    assert at_end(search(world), lambda: (names[0].value, names[1].value)) == {("A", "B")}
    with pytest.raises(RuntimeError, match="no task is running"):
        curtask()


@types.coroutine
def foreign():
    yield "a trap of some other library"


def test_awaiting_anything_else_is_refused():
    """A task may await points only: the engine could drive nothing else."""

    async def sleep():
        await foreign()

    world = World()
    world.task("A", sleep)
    with pytest.raises(Refused, match="no kmodel point"):
        run(world)


async def parity(cell):
    """Looks at more than it tells."""
    first = cell.value
    await pause()
    return (first + cell.value) % 2


def nodes_of_reader(look):
    """How many places a task can be in that calls ``look`` while another counts to 4."""
    with World() as world:
        cell = Cell(0)

    async def count():
        for _ in range(4):
            await pause()
            cell.value += 1

    async def read():
        await look(cell)
        await pause()

    world.task("writer", count)
    world.task("reader", read)
    return len(search(world).histories.nodes[1])


def test_a_procedure_forgets_all_but_its_result():
    """What a procedure read on its way no longer tells two states apart."""
    assert nodes_of_reader(procedure(parity)) < nodes_of_reader(parity)


def test_a_procedure_gives_its_result_with_and_without_a_search():
    """Forgetting changes no answer, in async functions and plain ones."""

    @procedure
    def double(value):
        return 2 * value

    @procedure
    async def quadruple(value):
        await pause()
        return double(double(value))

    with World() as world:
        cell = Cell()

    async def ask():
        cell.value = await quadruple(3)

    world.task("A", ask)
    assert run(world).outcome.kind == "done"
    assert cell.value == 12
    cell.value = None
    assert at_end(search(world), lambda: cell.value) == {12}


def toggling(forget, turns=None):
    """A world in which one task turns a bit for ever and another watches it."""
    with World() as world:
        bit = Cell(0)

    async def toggle():
        loop = Loop()
        while True:
            loop.head()
            await pause()
            bit.value = 1 - bit.value

    async def watch():
        loop, turn = Loop(), 0
        while turns is None or turn < turns:
            if forget:
                loop.head(*() if turns is None else (turn,))
            await pause()
            turn += bit.value

    world.task("toggle", toggle, obliged=False)
    world.task("watch", watch)
    return world


def test_a_loop_that_forgets_has_few_states():
    """With its head said, an endless loop comes back to where it was."""
    assert len(search(toggling(forget=True))) < 20


def test_a_loop_that_does_not_forget_never_ends():
    """Without a head each turn is a new state, and only the bound stops the search."""
    endless = Search(toggling(forget=False), Limits(states=2_000))
    while endless.advance(500):
        pass
    assert not endless.graph.complete
    assert endless.graph.stopped_by == "2000 states"


def test_what_a_loop_declares_live_stays_apart():
    """``head(turn)`` keeps the turns apart, so the loop's end is still found."""
    graph = search(toggling(forget=True, turns=3))
    assert any(graph.final(number) for number in range(len(graph)))
