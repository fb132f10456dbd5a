"""What every lock promises, whatever its policy; then what the policies differ in."""

from functools import partial
from itertools import combinations_with_replacement

import attrs
import pytest
from facts import fact
from worlds import Cell, Steered, at_end, edges, everywhere, look, panics, search, stuck

from kmodel.explore.tree import BLOCKED
from kmodel.point import pause
from kmodel.shared import shared
from kmodel.sync.mutex import IPL_HIGH, IPL_NONE, IPL_VM, Mutex, ipl
from kmodel.sync.parking import ParkingMutex, park
from kmodel.sync.rwlock import POLICIES, HandOff, WakeAll, WakeOneWriter, rwlock
from kmodel.world import World

MUTEXES = {"mutex": Mutex, "parking mutex": ParkingMutex}


@attrs.frozen
class Lock:
    """One lock seen through the one set of names that the contract uses."""

    name: str
    modes: str  # "w", or "wr" for a lock that readers can share

    def make(self):
        if self.name in MUTEXES:
            return MUTEXES[self.name]("it", tried=True)
        return rwlock("it", self.name)


async def enter(lock, mode):
    await (lock.enter() if isinstance(lock, Mutex) else lock.enter(mode == "w"))


async def enter_try(lock, mode):
    return await (lock.enter_try() if isinstance(lock, Mutex) else lock.enter_try(mode == "w"))


async def leave(lock):
    await (lock.leave() if isinstance(lock, Mutex) else lock.exit())


LOCKS = [*(Lock(name, "w") for name in MUTEXES), *(Lock(name, "wr") for name in POLICIES)]
ANY_LOCK = pytest.mark.parametrize("kind", LOCKS, ids=lambda kind: kind.name)
ANY_MODE = pytest.mark.parametrize(
    ("kind", "mode"),
    [(kind, mode) for kind in LOCKS for mode in kind.modes],
    ids=lambda one: one if isinstance(one, str) else one.name,
)
ANY_THREE = pytest.mark.parametrize(
    ("kind", "modes"),
    [(kind, "".join(m)) for kind in LOCKS for m in combinations_with_replacement(kind.modes, 3)],
    ids=lambda one: one if isinstance(one, str) else one.name,
)


@shared
class Inside:
    """Who is in the lock, by mode. Up to date at every point."""

    readers: int
    writers: int

    def __init__(self) -> None:
        self.readers = self.writers = 0

    def count(self, mode, more):
        if mode == "w":
            self.writers += more
        else:
            self.readers += more

    def excludes(self, mode):
        """Must a newcomer of this mode stay out?"""
        return bool(self.writers or (mode == "w" and self.readers))

    def wrong(self):
        if self.writers > 1 or (self.writers and self.readers):
            return f"{self.writers} writers and {self.readers} readers are inside"
        return None


async def use(lock, mode, inside):
    """Take the lock, stay for a point, leave."""
    await enter(lock, mode)
    inside.count(mode, 1)
    await pause()
    inside.count(mode, -1)
    await leave(lock)


def flat(queue):
    """The tasks of a queue, whose entries may be (task, write)."""
    return [entry[0] if isinstance(entry, tuple) else entry for entry in queue]


def three(kind, modes):
    """Three tasks that each use one lock once."""
    with World() as world:
        lock, inside = kind.make(), Inside()
    for name, mode in zip("ABC", modes):
        world.task(name, use, lock, mode, inside)
    world.check("mutual exclusion", inside.wrong)
    return world, lock, inside


# --- what every lock promises -------------------------------------------------------------


@ANY_THREE
def test_writers_exclude_everybody(kind, modes):
    """In no reachable state is a writer inside together with anybody else."""
    world, _, inside = three(kind, modes)
    graph = search(world)
    assert graph.violations == []
    assert any(everywhere(graph, lambda: inside.writers + inside.readers))


@ANY_THREE
def test_nobody_is_forgotten(kind, modes):
    """Whatever the order, three tasks all get in and out: no deadlock, no lost wakeup."""
    world, _, inside = three(kind, modes)
    graph = search(world)
    assert stuck(graph) == []
    assert at_end(graph, lambda: (inside.readers, inside.writers)) == {(0, 0)}


@pytest.mark.parametrize("policy", POLICIES)
def test_in_what_order_readers_came_is_no_matter(policy):
    """Whoever of them came first, the state is the same."""
    world, lock, _ = three(Lock(policy, "wr"), "rrr")
    orders = everywhere(search(world), lambda: tuple(task.index for task in lock.readers))
    assert orders == {(), (0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)}


@pytest.mark.parametrize("policy", ["wake-all", "wake-one-writer"])
def test_in_what_order_they_fell_asleep_is_no_matter_if_all_are_woken(policy):
    """A release wakes every sleeper, or every reader."""
    world, lock, _ = three(Lock(policy, "wr"), "wrr")
    asleep = everywhere(search(world), lambda: tuple(task.index for task in lock.sleeping()))
    assert {(1, 2)} <= asleep
    assert not {(2, 1)} & asleep


@pytest.mark.parametrize("policy", POLICIES)
def test_who_was_woken_in_vain_sleeps_as_before(policy):
    """A sleeper's point is one, however often it has been there."""
    world, lock, _ = three(Lock(policy, "wr"), "www")
    graph = search(world)
    for of_task in graph.histories.nodes:
        waiting = [node for node in of_task if node.waits_for is lock]
        assert len(waiting) == 1


@pytest.mark.parametrize("kind", LOCKS[2:], ids=lambda kind: kind.name)
def test_readers_share(kind):
    """Three readers can all be inside at once."""
    world, _, inside = three(kind, "rrr")
    assert 3 in everywhere(search(world), lambda: inside.readers)


@pytest.mark.parametrize(
    ("kind", "held", "tried"),
    [(kind, held, tried) for kind in LOCKS for held in kind.modes for tried in kind.modes],
    ids=lambda one: one if isinstance(one, str) else one.name,
)
def test_a_try_fails_exactly_when_it_must(kind, held, tried):
    """With one holder and nobody waiting a try is refused if, and only if, the modes clash."""
    with World() as world:
        lock, inside, got = kind.make(), Inside(), Cell()

    async def hold():
        await enter(lock, held)
        inside.count(held, 1)
        await pause()
        await leave(lock)
        inside.count(held, -1)

    async def attempt():
        had = await enter_try(lock, tried)
        got.value = (had, inside.excludes(tried))
        if had:
            await leave(lock)

    world.task("A", hold)
    world.task("B", attempt)
    clash = "w" in (held, tried)
    wanted = {(True, False), (False, True)} if clash else {(True, False)}
    assert at_end(search(world), lambda: got.value) == wanted


@ANY_MODE
def test_a_try_never_waits_and_never_queues(kind, mode):
    """A try is one step in every state, and leaves nothing behind when it is refused."""
    with World() as world:
        lock = kind.make()

    async def hold():
        await enter(lock, "w")
        await pause()
        await leave(lock)

    async def attempt():
        if await enter_try(lock, mode):
            await leave(lock)

    world.task("A", hold)
    world.task("B", attempt)
    graph = search(world)
    queues = {"sleepers", "waiting", "writers_asleep", "readers_asleep", "queue"} & set(vars(lock))
    for name in queues:
        queued_in = everywhere(graph, partial(getattr, lock, name))
        assert "B" not in {repr(entry) for queue in queued_in for entry in flat(queue)}
    for number in range(len(graph)):
        state = graph.state(number)
        trying = graph.histories.node(state, 1)
        if trying.op and trying.op[0].event.endswith(".try"):
            assert graph.histories.leaf(trying, state) is not BLOCKED


@ANY_MODE
def test_releasing_a_lock_that_is_not_held_panics(kind, mode):
    """Also if somebody else holds it."""
    with World() as world:
        lock = kind.make()

    async def hold():
        await enter(lock, mode)
        await pause()
        await leave(lock)

    async def steal():
        await leave(lock)

    world.task("A", hold)
    world.task("B", steal)
    (wrong,) = panics(search(world))
    assert wrong.message.endswith("is not held by B")
    assert "B" in wrong.culprits


@fact(
    "A plain rwlock or mutex taken twice by its owner panics",
    "kern_rwlock.c, kern_lock.c",
)
@ANY_MODE
@pytest.mark.parametrize("again", [enter, enter_try], ids=["enter", "try"])
def test_taking_a_lock_twice_panics(kind, mode, again):
    """A thread that would wait for itself is stopped at once, a try included."""
    with World() as world:
        lock = kind.make()

    async def twice():
        await enter(lock, mode)
        await again(lock, mode)

    world.task("A", twice)
    (wrong,) = panics(search(world))
    assert wrong.message.endswith("A locks it against itself")


@fact(
    "A rwlock that may sleep is never entered with a mutex held; a try is allowed",
    "kern_rwlock.c",
)
@pytest.mark.parametrize("kind", LOCKS[2:], ids=lambda kind: kind.name)
@pytest.mark.parametrize("mode", ["r", "w"])
def test_a_sleeping_lock_is_not_entered_with_a_mutex_held(kind, mode):
    """It is a panic even when the lock is free, and a try is allowed."""
    with World() as world:
        lock, mutex = kind.make(), Mutex("spin")

    async def attempt():
        await mutex.enter()
        assert await enter_try(lock, mode)
        await leave(lock)
        await enter(lock, mode)

    world.task("A", attempt)
    (wrong,) = panics(search(world))
    assert wrong.message == "rw_enter(it): A would sleep holding mutex spin"


# --- mutexes ------------------------------------------------------------------------------


def test_only_a_mutex_declared_as_tried_is_tried():
    """Its releases are points only then, so an undeclared try would see too little."""
    with World() as world:
        mutex = Mutex("plain")

    async def attempt():
        await mutex.enter_try()

    world.task("A", attempt)
    (wrong,) = panics(search(world))
    assert wrong.message == "mtx_enter_try: plain is not declared as tried"


@fact(
    "A mutex raises the interrupt level to its own while it is held",
    "kern_lock.c 1.85",
)
def test_a_mutex_raises_the_interrupt_level_while_it_is_held():
    """The level is that of the highest mutex held, and goes back with it."""
    with World() as world:
        low, high, levels = Mutex("low", IPL_VM), Mutex("high", IPL_HIGH), Cell(())

    async def climb():
        for turn in (low.enter, high.enter, high.leave, low.leave):
            await turn()
            levels.value = (*levels.value, ipl())

    world.task("A", climb)
    assert at_end(search(world), lambda: levels.value) == {(IPL_VM, IPL_HIGH, IPL_VM, IPL_NONE)}


def test_a_release_that_nobody_tries_is_no_point():
    """Leaving an untried mutex ends no step; leaving a tried one does."""

    def events(tried):
        with World() as world:
            mutex = Mutex("it", tried=tried)

        async def once():
            await mutex.enter()
            await mutex.leave()

        world.task("A", once)
        return [edge.event for edge in edges(search(world))]

    assert events(tried=False) == ["task.start", "mutex.enter"]
    assert events(tried=True) == ["task.start", "mutex.enter", "mutex.leave"]


# --- what the policies differ in ----------------------------------------------------------


def barges(graph, newcomer, waiter):
    """Does ``newcomer`` anywhere get the lock at its first attempt while ``waiter`` waits?"""
    other = next(task.index for task in graph.world.tasks if task.name == waiter)
    for edge in edges(graph):
        if (edge.task, edge.event, edge.leaf.result) == (newcomer, "lock.acquire", True):
            node = graph.histories.node(graph.state(edge.at), other)
            if node.waits_for is not None:
                return True
    return False


@fact(
    "A newcomer can take a rwlock before the woken writer runs, in both designs",
    "kern_rwlock.c 1.48, 1.58",
)
@pytest.mark.parametrize(
    ("policy", "may"), [("wake-all", True), ("wake-one-writer", True), ("hand-off", False)]
)
def test_a_newcomer_barges_past_a_woken_writer(policy, may):
    """In both real policies the lock is free until the woken thread runs; a hand-off is not."""
    world, _, _ = three(Lock(policy, "wr"), "www")
    assert barges(search(world), "C", "B") is may


@fact(
    "The classical rwlock clears WRWANT at a release, so a reader can barge past a woken writer",
    "kern_rwlock.c 1.48, 1.50 rw_exit",
)
def test_in_wake_all_a_reader_barges_past_a_woken_writer_too():
    """The release forgets that a writer was waiting."""
    world, _, _ = three(Lock("wake-all", "wr"), "wwr")
    assert barges(search(world), "C", "B")


@pytest.mark.parametrize("policy", ["wake-one-writer", "hand-off"])
def test_elsewhere_a_reader_does_not_barge_past_a_waiting_writer(policy):
    """A new reader stays out as long as a writer waits, asleep or woken."""
    world, _, _ = three(Lock(policy, "wr"), "wwr")
    assert not barges(search(world), "C", "B")


def releases(policy, modes, asleep):
    """(who sleeps before, who still sleeps after) for each release by A."""
    world, lock, _ = three(Lock(policy, "wr"), modes)
    graph = search(world)

    def names():
        return "".join(sorted(map(repr, asleep(lock))))

    return {
        (look(graph, edge.at, names), look(graph, edge.to, names))
        for edge in edges(graph)
        if edge.task == "A" and edge.event == "lock.release"
    }


@fact(
    "The classical rwlock wakes all sleepers at a release",
    "kern_rwlock.c 1.48, 1.50 rw_exit",
)
@pytest.mark.parametrize("modes", ["www", "wwr", "wrr"])
def test_wake_all_wakes_all(modes):
    """After a release nobody is asleep."""
    found = releases("wake-all", modes, lambda lock: lock.sleepers)
    assert ("BC", "") in found
    assert {after for _, after in found} == {""}


def sleepers_of_one_writer(lock):
    return (*lock.writers_asleep, *lock.readers_asleep)


def test_wake_one_writer_wakes_the_writer_that_slept_longest():
    """Of two writers asleep the one that came first is woken, the other sleeps on."""
    world, lock, _ = three(Lock("wake-one-writer", "wr"), "www")
    graph = search(world)
    asleep = {
        (look(graph, edge.at, lambda: lock.writers_asleep), edge.to)
        for edge in edges(graph)
        if edge.event == "lock.release"
    }
    pairs = [(before, to) for before, to in asleep if len(before) == 2]
    assert pairs
    for before, to in pairs:
        assert look(graph, to, lambda: lock.writers_asleep) == before[1:]


@fact(
    "The new rwlock wakes one writer first",
    "kern_rwlock.c 1.58 rw_exit",
)
def test_wake_one_writer_prefers_the_writer():
    """With a writer and a reader asleep the writer is woken, the reader is not."""
    found = releases("wake-one-writer", "wwr", sleepers_of_one_writer)
    assert {after for before, after in found if before == "BC"} == {"C"}


@fact(
    "The new rwlock wakes the readers if no writer waits",
    "kern_rwlock.c 1.58 rw_exit",
)
def test_wake_one_writer_wakes_all_readers_if_no_writer_waits():
    """Readers can share, so they are all woken."""
    found = releases("wake-one-writer", "wrr", sleepers_of_one_writer)
    assert {after for before, after in found if before == "BC"} == {""}


def test_hand_off_gives_the_lock_away():
    """After a release with somebody queued the first of them is in already."""
    world, lock, _ = three(Lock("hand-off", "wr"), "www")
    graph = search(world)
    for edge in edges(graph):
        if edge.event == "lock.release":
            queue = look(graph, edge.at, lambda: lock.queue)
            first = queue[0][0] if queue else None
            assert look(graph, edge.to, lambda: lock.writer) is first


def test_hand_off_lets_readers_in_up_to_the_next_writer():
    """Readers at the head of the queue get in together, and those behind a writer wait."""
    world, lock, _ = three(Lock("hand-off", "wr"), "wrr")
    world.task("D", use, lock, "w", world.objects[1])
    graph = search(world)
    given = {
        (
            "".join(mode for mode in look(graph, edge.at, lambda: queued(lock))),
            look(graph, edge.to, lambda: len(lock.readers)),
        )
        for edge in edges(graph)
        if edge.task == "A" and edge.event == "lock.release"
    }
    assert {("rrw", 2), ("rwr", 1), ("wrr", 0)} <= given


def queued(lock):
    return ["w" if write else "r" for _, write in lock.queue]


@fact(
    "A reader does not enter while a writer waits",
    "kern_rwlock.c 1.48, 1.58 rw_enter",
)
@pytest.mark.parametrize("policy", POLICIES)
def test_readers_are_held_off_by_a_waiting_writer(policy):
    """A reader does not join the reader inside while a writer already sleeps."""
    world, lock, _ = three(Lock(policy, "wr"), "rwr")
    graph = search(world)
    waiting = {
        WakeAll: lambda: lock.wrwant,
        WakeOneWriter: lambda: bool(lock.waiting),
        HandOff: lambda: bool(lock.queue),
    }[type(rwlock("", policy))]
    held_off = {
        edge.leaf.result
        for edge in edges(graph)
        if edge.task == "C"
        and edge.event == "lock.acquire"
        and look(graph, edge.at, lambda: waiting() and bool(lock.readers))
    }
    assert held_off == {False}


@fact(
    "In 1.58 a woken reader looks only whether the lock is write-locked",
    "kern_rwlock.c 1.58 rw_do_enter_read",
)
@pytest.mark.parametrize(("policy", "may"), [("wake-all", False), ("wake-one-writer", True)])
def test_a_woken_reader_passes_a_waiting_writer(policy, may):
    """In 1.58 a reader that was asleep looks only whether the lock is write-locked."""
    world, lock, inside = three(Lock(policy, "wr"), "wrr")
    world.task("D", use, lock, "w", inside)
    graph = search(world)

    def writer_waits():
        return lock.wrwant if isinstance(lock, WakeAll) else bool(lock.waiting)

    passed = [
        edge
        for edge in edges(graph)
        if (edge.task, edge.event, edge.leaf.result) == ("B", "lock.contended", True)
        and look(graph, edge.at, writer_waits)
    ]
    assert bool(passed) is may


@pytest.mark.parametrize("policy", POLICIES)
def test_a_reader_try_is_refused_while_a_writer_waits(policy):
    """A try follows the rules of a newcomer, so a waiting writer refuses it."""
    with World() as world:
        lock, got, inside = rwlock("it", policy), Cell(), (Inside(), Inside())

    async def attempt():
        got.value = await lock.enter_try(False)

    world.task("A", use, lock, "r", inside[0])
    world.task("B", use, lock, "w", inside[1])
    world.task("C", attempt)
    graph = search(world)
    refused_by_a_reader = {
        look(graph, edge.at, lambda: lock.writer is None and bool(lock.readers))
        for edge in edges(graph)
        if edge.event == "lock.try" and edge.leaf.result is False
    }
    assert True in refused_by_a_reader


# --- from reader to writer and back -----------------------------------------------------------

POLICY = pytest.mark.parametrize("policy", POLICIES)


@POLICY
def test_the_only_reader_may_become_the_writer(policy):
    """With another reader in it, it is refused and stays what it is; nobody sleeps for it."""
    world = World()
    with world:
        lock, got = rwlock("it", policy), [Cell() for _ in range(2)]

    async def climb(cell):
        await lock.enter(False)
        cell.value = await lock.upgrade_try()
        await lock.exit()

    for number, cell in enumerate(got):
        world.task(f"T{number}", climb, cell)
    graph = search(world)
    assert stuck(graph) == []
    ends = at_end(graph, lambda: (*(cell.value for cell in got), lock.writer, lock.readers))
    assert (True, True, None, ()) in ends
    assert (False, False, None, ()) in ends  # two that try while both are in
    assert everywhere(graph, lambda: lock.writer is not None and bool(lock.readers)) == {False}


@POLICY
def test_a_downgrade_lets_sleeping_readers_in(policy):
    """The writer stays in as a reader; a sleeping writer does not get in beside it."""
    world = World()
    with world:
        lock = rwlock("it", policy)

    async def climb_down():
        await lock.enter(True)
        await pause()
        await lock.downgrade()
        await pause()
        await lock.exit()

    async def read():
        await lock.enter(False)
        await lock.exit()

    async def write():
        await lock.enter(True)
        await lock.exit()

    world.task("D", climb_down)
    world.task("R", read)
    world.task("W", write)
    graph = search(world)
    assert stuck(graph) == []
    together = everywhere(graph, lambda: (len(lock.readers), lock.writer is not None))
    assert (2, False) in together
    assert not any(readers and writer for readers, writer in together)


@POLICY
def test_who_does_not_hold_a_lock_cannot_upgrade_it(policy):
    """It panics, as a release would."""
    world = World()
    with world:
        lock = rwlock("it", policy)
    world.task("A", lock.upgrade_try)
    (wrong,) = panics(search(world))
    assert wrong.message == "lock it is not held by A"


# --- mutexes ------------------------------------------------------------------------------


@fact(
    "Mutexes spin in no order; since 1.85 who waits gets one in the order in which they came",
    "kern_lock.c 1.85 mtx_enter",
)
@pytest.mark.parametrize(("make", "orders"), [(Mutex, {"BC", "CB"}), (ParkingMutex, {"BC"})])
def test_a_parking_mutex_is_first_come_first_served(make, orders):
    """A has the mutex while B comes, and then C."""
    with World() as world:
        mutex, went = make("it"), Cell("")

    async def hold():
        await mutex.enter()
        await pause()
        await mutex.leave()

    async def want(name):
        await mutex.enter()
        went.value += name
        await mutex.leave()

    world.task("A", hold)
    world.task("B", want, "B")
    world.task("C", want, "C")
    got = set()
    for order in ("BC", "CB"):
        with Steered(world) as steered:
            steered.until("A", "task.pause")
            steered.go("B", "C")
            steered.go("A", *order, *order)
        got.add(went.value)
        went.value = ""
    assert got == orders


def test_every_mutex_of_a_machine_can_be_a_parking_one():
    """Before the world is sealed; other locks stay what they are."""
    with World() as world:
        one, other = Mutex("one"), rwlock("other", "wake-all")
    park(world.objects)
    assert type(one) is ParkingMutex
    assert type(other) is WakeAll
    assert one.queue == ()
