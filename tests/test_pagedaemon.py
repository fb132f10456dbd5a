"""The page daemon: what a lap does, and the bell that it does not hear."""

import pytest
from worlds import Cell, Steered, at_end, boot, look, marks, search, stuck


def waiting(lap, times=1, **params):
    """A task that calls uvm_wait so often, beside the page daemon."""
    m = boot(lap=lap, **params)
    with m.world:
        turns = Cell(0)

    async def wait():
        for _ in range(times):
            await m.physmem.uvm_wait("test")
            turns.value += 1

    m.cpu("A", wait)
    m.finish()
    return m, turns


def lap_after_a_bell(lap, **params):
    """The daemon asleep, then one waiter, then the daemon: does the waiter go on?"""
    m, turns = waiting(lap, **params)
    with Steered(m.world) as steered:
        steered.go("pagedaemon", "A", "pagedaemon", "A")
        laps = [fields for _, event, fields in steered.events if event == "daemon.lap"]
    return turns.value == 1, laps


@pytest.mark.parametrize(("lap", "wakes"), [("wakes", True), ("silent", False)])
def test_a_lap_without_shortage_wakes_the_waiters_or_does_not(lap, wakes):
    """The revisions differ: 1.101 and 1.148 wake, 1.137 goes straight to sleep again."""
    assert lap_after_a_bell(lap) == (wakes, [{"shortage": 0}])


@pytest.mark.parametrize("lap", ["wakes", "silent"])
def test_a_lap_with_a_shortage_always_wakes(lap):
    """Short of memory both revisions end their lap with a wakeup."""
    woken, laps = lap_after_a_bell(lap, npages=10, reserve_kernel=5)
    assert woken
    assert laps[0]["shortage"] > 0


def test_a_silent_lap_says_so():
    """The place where a waiter is passed over can be asked for."""
    m, _ = waiting("silent")
    assert "a page-daemon lap without shortage woke nobody" in marks(search(m.world))
    m, _ = waiting("wakes")
    assert "a page-daemon lap without shortage woke nobody" not in marks(search(m.world))


def test_the_daemon_sleeps_until_it_is_asked():
    """With nobody ringing it makes no lap."""
    m, _ = waiting("wakes")
    with Steered(m.world) as steered:
        steered.go("pagedaemon")
        assert steered.about_to("pagedaemon") == "chan.woken"
        assert [event for _, event, _ in steered.events if event == "daemon.lap"] == []


def test_with_silent_laps_a_waiter_never_goes_on():
    """Nobody else wakes ``&uvmexp.free`` here: no order ends the wait."""
    m, turns = waiting("silent")
    graph = search(m.world)
    assert at_end(graph, lambda: turns.value) == set()
    assert stuck(graph) != []


def test_a_bell_between_the_end_of_a_lap_and_the_next_sleep_is_lost():
    """Found by search: the first wait ended with a lap, the second rings while the daemon
    is not yet asleep again, and then both sleep for ever."""
    m, turns = waiting("wakes", times=2)
    graph = search(m.world)
    assert at_end(graph, lambda: turns.value) == {2}  # it can go well
    asleep = {
        look(graph, number, lambda: (turns.value, len(m.physmem.pagedaemon.sleepers)))
        for number in stuck(graph)
    }
    assert (1, 1) in asleep
