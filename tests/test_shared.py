"""Shared state: the kinds of field, the containers, and what is refused."""

import enum
from typing import Final

import pytest
from worlds import Cell, Refused, at_end, everywhere, run, search, stuck

from kmodel.point import Loop, curtask, operation, pause
from kmodel.recorder import MAX_CODES, LimitReached, Recorder, SharedStateError
from kmodel.shared import Atomic, Hidden, Statistic, fields, shared
from kmodel.table import Sparse, Stamp, Table, Tasks, observe
from kmodel.world import World


class Colour(enum.Enum):
    RED = 1


@shared
class Counted:
    """One field of each kind."""

    name: Final[str]
    value: int
    tally: Statistic
    owner: Atomic[int]
    secret: Hidden[int]

    def __init__(self, name: str = "counted") -> None:
        self.name, self.value, self.tally, self.owner, self.secret = name, 0, 0, 0, 0

    @operation(event="task.pause")
    def take(self) -> None:
        self.owner = 1

    @operation(event="task.pause")
    def read_value(self) -> int:
        return self.value


def searching(start, *made):
    """Search a world of one task, ``start(*made)``; the objects are made in it."""
    with World() as world:
        things = [make() for make in made]
    world.task("A", start, *things)
    return search(world)


# --- the kinds of field -------------------------------------------------------------


def test_the_annotation_says_the_kind():
    """A field is state unless its annotation says otherwise."""
    kinds = {
        "name": "const",
        "value": "state",
        "tally": "statistic",
        "owner": "atomic",
        "secret": "hidden",
    }
    assert fields(Counted) == kinds


def test_a_class_inherits_the_fields_of_its_shared_bases():
    """A subclass records what its base declares, and its own fields too."""

    @shared
    class More(Counted):
        extra: int

    assert list(fields(More)) == [*fields(Counted), "extra"]


def test_a_statistic_is_no_part_of_the_state():
    """Counting for ever makes no new state."""

    async def count(counted):
        loop = Loop()
        while True:
            loop.head()
            await pause()
            counted.tally += 1

    graph = searching(count, Counted)
    assert len(graph) <= 2


@pytest.mark.parametrize(
    "look",
    [
        lambda counted: counted.tally > 3,
        lambda counted: counted.tally == 0,
        lambda counted: bool(counted.tally),
        lambda counted: int(counted.tally),
        lambda counted: range(counted.tally),
    ],
)
def test_a_statistic_is_not_looked_at(look):
    """Model code that decides by a statistic would have an unseen input."""

    async def decide(counted):
        await pause()
        look(counted)

    with pytest.raises(Refused, match="tally is a Statistic"):
        searching(decide, Counted)


def test_a_statistic_is_counted_not_set():
    """A statistic goes up and down and gets no fixed value."""

    async def reset(counted):
        await pause()
        counted.tally = 0

    with pytest.raises(Refused, match="up and down only"):
        searching(reset, Counted)


def test_a_statistic_counts_when_nothing_is_recorded():
    """In a single run a statistic is a plain number."""
    with World() as world:
        counted = Counted()

    async def count():
        counted.tally += 2
        counted.tally -= 1

    world.task("A", count)
    run(world)
    assert counted.tally == 1


def test_an_atomic_field_is_touched_by_operations_only():
    """Ordinary code that touches an Atomic field would need a point of its own."""

    async def peep(counted):
        await pause()
        return counted.owner

    async def poke(counted):
        await pause()
        counted.owner = 2

    for start in (peep, poke):
        with pytest.raises(Refused, match="outside an operation"):
            searching(start, Counted)


def test_an_operation_touches_atomic_fields_only():
    """An effect that reads plain state would hide a data race."""

    async def read(counted):
        await counted.read_value()

    with pytest.raises(Refused, match=r"counted\.value, which is not Atomic"):
        searching(read, Counted)


def test_atomic_and_hidden_fields_are_part_of_the_state():
    """What they hold tells two states apart."""

    async def change(counted):
        await counted.take()
        await pause()
        counted.secret = 5

    with World() as world:
        counted = Counted()
    world.task("A", change, counted)
    seen = everywhere(search(world), lambda: (counted.owner, counted.secret))
    assert seen == {(0, 0), (1, 0), (1, 5)}


def places(read):
    """In how many places a reader can be, while a writer changes what it reads."""
    with World() as world:
        counted = Counted()

    async def write():
        for value in range(1, 4):
            await pause()
            counted.value = counted.secret = value

    async def look():
        await pause()
        read(counted)
        await pause()

    world.task("writer", write)
    world.task("reader", look)
    return len(search(world).histories.nodes[1])


def test_a_reader_learns_state_but_nothing_hidden():
    """A Hidden field tells its reader nothing; ``observe`` says the little it may know."""
    nothing = places(lambda counted: None)
    assert places(lambda counted: counted.secret) == nothing
    assert places(lambda counted: observe(counted.secret > 1)) == nothing + 1
    assert places(lambda counted: counted.value) == nothing + 3


def test_a_hidden_field_is_no_data_access():
    """Book-keeping of the model is left out of what races are looked for in."""

    async def touch(counted):
        counted.secret += 1

    graph = searching(touch, Counted)
    assert [leaf.spans for _, _, _, leaf in graph.edges()] == [()]


# --- values ---------------------------------------------------------------------------


def test_one_and_true_are_different_states():
    """Values are equal only if their types are, inside tuples too."""
    recorder = Recorder()
    codes = [recorder.encode(value) for value in (1, True, (1,), (True,), "1", None, Colour.RED)]
    assert len(set(codes)) == len(codes)
    assert recorder.encode((1,)) == recorder.encode((1,))


def test_a_search_keeps_one_and_true_apart():
    """A task that turns 1 into True leads to a new state."""

    async def change(cell):
        await pause()
        cell.value = True

    graph = searching(change, lambda: Cell(1))
    initial, last = graph.state(0), graph.state(len(graph) - 1)
    assert initial[0] != last[0]


@pytest.mark.parametrize("make", [list, dict, set, bytearray, object, lambda: ([],)])
def test_a_mutable_value_is_refused(make):
    """The engine would not see such a value change."""

    async def put(cell):
        await pause()
        cell.value = make()

    with pytest.raises(Refused, match="shared state cannot hold"):
        searching(put, Cell)


def test_a_field_that_was_never_set_is_refused():
    """A declared field needs a value before the run begins."""

    @shared
    class Half:
        missing: int

    async def idle(_):
        await pause()

    with pytest.raises(SharedStateError, match=r"half0\.missing is declared but was never set"):
        searching(idle, Half)


def test_an_object_made_during_a_step_is_refused():
    """Its identity would depend on the schedule."""

    async def make():
        await pause()
        Cell()

    world = World()
    world.task("A", make)
    with pytest.raises(Refused, match="Cell was made during a step"):
        run(world)


def test_a_counter_that_only_grows_is_found_out():
    """State holds so many different values, and the message says what to do."""
    recorder = Recorder()
    for value in range(MAX_CODES + 1):
        recorder.encode(value)
    with pytest.raises(LimitReached, match="Statistic or a Stamp"):
        recorder.encode("one too many")


def test_a_check_may_only_read():
    """A check that writes would change what it judges."""
    with World() as world:
        cell = Cell(0)

    def meddle():
        cell.value = 1

    async def idle():
        await pause()

    world.task("A", idle)
    world.check("meddle", meddle)
    with pytest.raises(SharedStateError, match="checks may only read"):
        search(world)


# --- sets of tasks ---------------------------------------------------------------------


@pytest.mark.parametrize(("empty", "ends"), [(Tasks(), 1), ((), 2)])
def test_who_came_first_into_a_set_of_tasks_tells_no_states_apart(empty, ends):
    """Two tasks come in either order: one end, where a plain tuple makes two."""
    with World() as world:
        came = Cell(empty)

    async def come():
        me = curtask()
        came.value = came.value.and_also(me) if isinstance(empty, Tasks) else (*came.value, me)

    world.task("A", come)
    world.task("B", come)
    assert len(at_end(search(world), lambda: tuple(task.name for task in came.value))) == ends


def test_a_set_of_tasks_without_one_is_the_set_it_was_before():
    with World() as world:
        came = Cell(Tasks())

    async def come_and_go():
        came.value = came.value.and_also(curtask())
        await pause()
        came.value = came.value.without(curtask())

    world.task("A", come_and_go)
    world.task("B", come_and_go)
    assert at_end(search(world), lambda: came.value) == {Tasks()}


# --- stamps ----------------------------------------------------------------------------


def test_a_stamp_is_compared_and_nothing_else():
    """A copy is current until the next bump; a new copy is current again."""
    with World() as world:
        stamp, seen = Stamp(), Cell(())

    async def compare():
        stamp.copy()
        seen.value = (*seen.value, stamp.same())
        stamp.bump()
        seen.value = (*seen.value, stamp.same())
        stamp.copy()
        seen.value = (*seen.value, stamp.same())

    world.task("A", compare)
    assert at_end(search(world), lambda: seen.value) == {(True, False, True)}


@pytest.mark.parametrize("drop", [False, True])
def test_comparing_a_stamp_needs_a_copy(drop):
    """A task that has no copy, or dropped it, has nothing to compare."""

    async def compare(stamp):
        if drop:
            stamp.copy()
            stamp.drop()
        stamp.same()

    with pytest.raises(Refused, match="holds no copy"):
        searching(compare, Stamp)


def test_bumping_for_ever_makes_no_new_state():
    """The number itself is not kept, only whose copies are current."""
    with World() as world:
        stamp, seen = Stamp(), Cell()

    async def bump():
        loop = Loop()
        while True:
            loop.head()
            await pause()
            stamp.bump()

    async def compare():
        stamp.copy()
        await pause()
        seen.value = stamp.same()

    world.task("bumper", bump, obliged=False)
    world.task("A", compare)
    graph = search(world)
    assert len(graph) < 30
    assert at_end(graph, lambda: seen.value) == {False, True}


def test_a_new_copy_replaces_the_old_one():
    """A task holds one copy of a stamp at most, whether the old one was stale or not."""
    with World() as world:
        stamp = Stamp()

    async def copy_again():
        stamp.copy()
        stamp.copy()
        stamp.bump()
        stamp.copy()

    world.task("A", copy_again)
    copies = at_end(search(world), lambda: (len(stamp.current), len(stamp.stale)))
    assert copies == {(1, 0)}


def test_the_order_of_bumps_leaves_no_trace():
    """Whoever's copy went stale first, in the end the states are one."""
    with World() as world:
        stamp = Stamp()

    async def copy_and_bump():
        stamp.copy()
        await pause()
        stamp.bump()

    for name in "ABC":
        world.task(name, copy_and_bump)
    graph = search(world)
    assert sum(graph.final(number) for number in range(len(graph))) == 1


# --- containers -----------------------------------------------------------------------


@pytest.mark.parametrize("index", [-1, 3])
def test_a_table_refuses_an_index_outside(index):
    """No index wraps round, recorded or not."""
    table = Table([0, 0, 0])
    with pytest.raises(IndexError, match="outside a table of 3"):
        table[index]
    with pytest.raises(IndexError, match="outside a table of 3"):
        table[index] = 1


def test_the_cells_of_a_table_are_apart():
    """Two tasks that write different cells touch nothing in common."""
    with World() as world:
        table = Table([0, 0])

    async def put(index):
        await pause()
        table[index] = index + 1

    world.task("A", put, 0)
    world.task("B", put, 1)
    graph = search(world)
    written = [{where for where, _ in leaf.stores} for _, _, _, leaf in graph.edges()]
    assert max(map(len, written)) == 1
    assert at_end(graph, lambda: tuple(table)) == {(1, 2)}
    assert len(table) == 2


def test_a_sparse_table_holds_what_was_put():
    """An empty cell is ``None``, and putting ``None`` empties a cell."""
    sparse = Sparse()
    sparse[500], sparse[7] = "late", "early"
    assert (sparse[7], sparse[500], sparse[8]) == ("early", "late", None)
    sparse[7] = None
    assert sparse[7] is None
    assert sparse.used == ((500, "late"),)


def test_a_sparse_table_forgets_the_order_of_its_writes():
    """Equal contents are one state, whichever cell was written first."""
    with World() as world:
        sparse = Sparse()

    async def put(index):
        await pause()
        sparse[index] = index

    world.task("A", put, 3)
    world.task("B", put, 9)
    graph = search(world)
    assert stuck(graph) == []
    assert at_end(graph, lambda: sparse.used) == {((3, 3), (9, 9))}
    assert sum(graph.final(number) for number in range(len(graph))) == 1
