"""Sleep channels: who is asleep, who is woken, and the wakeup that nobody hears."""

from itertools import groupby

import pytest
from facts import fact
from worlds import Cell, Steered, at_end, look, panics, search, stuck

from kmodel.sync.channel import Channel
from kmodel.sync.mutex import Mutex
from kmodel.world import World, curcpu


def sleepers(count, *, relock=True):
    """A world in which ``count`` tasks sleep on one channel; and who was woken when."""
    with World() as world:
        mutex, chan, order = Mutex("interlock"), Channel("chan"), Cell("")

    async def sleep(name):
        await mutex.enter()
        await chan.msleep(mutex, relock=relock)
        order.value += name
        if relock:
            await mutex.leave()

    for name in "ABC"[:count]:
        world.task(name, sleep, name)
    return world, mutex, chan, order


@fact(
    "msleep lets go of its mutex and sleeps in one step",
    "kern_synch.c msleep",
)
def test_msleep_releases_the_mutex_while_asleep():
    """A sleeper is on the queue and the mutex is free, in one step: never is it neither in the
    mutex nor asleep once it has been in."""
    world, mutex, chan, _ = sleepers(1)
    graph = search(world)
    seen = [
        look(graph, number, lambda: (len(chan.sleepers), mutex.owner is not None))
        for number in range(len(graph))
    ]
    assert [state for state, _ in groupby(seen)] == [(0, False), (0, True), (1, False)]


@fact(
    "msleep takes its mutex again, unless PNORELOCK",
    "kern_synch.c msleep",
)
@pytest.mark.parametrize("relock", [True, False])
def test_msleep_takes_the_mutex_again_unless_told_not_to(relock):
    """After the sleep the mutex is held; with PNORELOCK it is not, and need not be free."""
    with World() as world:
        mutex, chan, held = Mutex("interlock"), Channel("chan"), Cell()

    async def sleep():
        await mutex.enter()
        await chan.msleep(mutex, relock=relock)
        held.value = mutex in curcpu().held

    async def wake():
        await mutex.enter()
        await chan.wakeup()
        await mutex.leave()

    world.task("A", sleep)
    world.task("B", wake)
    graph = search(world)
    assert at_end(graph, lambda: held.value) == {relock}
    assert at_end(graph, lambda: mutex.owner is not None) == {relock}


def test_a_sleeper_waits_for_the_mutex_after_its_wakeup():
    """Woken while somebody holds the interlock, it goes on only when it is free."""
    world, mutex, chan, _ = sleepers(1)

    async def wake():
        await mutex.enter()
        await chan.wakeup()
        await mutex.leave()

    world.task("B", wake)
    with Steered(world) as run:
        run.go("A")
        run.until("B", "chan.wakeup")
        assert not run.can("A")
        run.step("B")
        run.go("A")
        assert run.outcome is not None
        assert run.outcome.kind == "done"


def test_wakeup_wakes_every_sleeper():
    """All who sleep at that moment go on."""
    world, _, chan, order = sleepers(3)
    world.task("W", chan_call, chan, "wakeup")
    with Steered(world) as run:
        run.go("A", "B", "C", "W")
        assert chan.sleepers == ()
        run.go("C", "A", "B")
        assert order.value == "CAB"


def test_wakeup_one_wakes_the_one_that_slept_longest():
    """Sleepers are woken in the order in which they fell asleep."""
    world, _, chan, order = sleepers(3)
    world.task("W", chan_call, chan, "wakeup_one", 3)
    with Steered(world) as run:
        run.go("B", "C", "A")
        run.step("W")  # begins
        for _ in range(3):
            run.step("W")
            run.go("A", "B", "C")
        assert order.value == "BCA"


@fact(
    "A wakeup with nobody asleep is not kept",
    "kern_synch.c wakeup",
)
def test_a_wakeup_with_nobody_asleep_is_lost():
    """It is not kept for the next sleeper: one who comes later sleeps for ever."""
    world, _, chan, _ = sleepers(1)
    world.task("W", chan_call, chan, "wakeup")
    graph = search(world)
    assert stuck(graph) != []
    assert any(graph.final(number) for number in range(len(graph)))


def test_a_condition_tested_under_the_mutex_loses_no_wakeup():
    """Test and sleep under one mutex, change and wake under it too: nobody sleeps on."""
    with World() as world:
        mutex, chan, ready = Mutex("interlock"), Channel("chan"), Cell(False)

    async def wait():
        await mutex.enter()
        while not ready.value:
            await chan.msleep(mutex)
        await mutex.leave()

    async def provide():
        await mutex.enter()
        ready.value = True
        await chan.wakeup()
        await mutex.leave()

    world.task("A", wait)
    world.task("B", wait)
    world.task("P", provide)
    assert stuck(search(world)) == []


@fact(
    "Nobody sleeps with a mutex held but the one that msleep releases",
    "kern_synch.c",
)
def test_sleeping_with_a_second_mutex_held_panics():
    """Only the interlock may be held, and it is let go."""
    world, mutex, chan, _ = sleepers(0)
    with world:
        other = Mutex("other")

    async def sleep():
        await other.enter()
        await mutex.enter()
        await chan.msleep(mutex)

    world.task("A", sleep)
    (wrong,) = panics(search(world))
    assert wrong.message == "msleep(chan): A would sleep holding mutex other"


def test_sleeping_without_the_interlock_panics():
    """The mutex that a sleep releases must be held."""
    world, mutex, chan, _ = sleepers(0)

    async def sleep():
        await chan.msleep(mutex)

    world.task("A", sleep)
    (wrong,) = panics(search(world))
    assert wrong.message == "mutex interlock is not held by A"


async def chan_call(chan, name, times=1):
    for _ in range(times):
        await getattr(chan, name)()
