"""What a workload shows: told by its cause, once, and nothing hides behind it."""

from __future__ import annotations

import attrs
import pytest

from kmodel.explore.result import search
from kmodel.fuzz.daemon import ASKED_IN_VAIN, SILENT_LAP
from kmodel.fuzz.judged import Example, judge
from kmodel.fuzz.target import Target, load
from kmodel.fuzz.targets.pool import COLLECTED, PAGE_ARRIVED, SERVED_MEANWHILE
from kmodel.fuzz.targets.vm import VA
from kmodel.fuzz.workload import Workload
from kmodel.point import operation
from kmodel.shared import Atomic, shared
from kmodel.world import World

ONE_ITEM = {"primed": True, "pages": 1, "items": 1, "hardlimit": 0}
STRANDED = Workload.of("pool", ONE_ITEM, [(1, "get", True), (0, "get", False), (0, "put")])
"""A put looks for requests just when another CPU has them off the queue to serve them."""
TWO_ITEMS = {"primed": False, "pages": 1, "items": 2, "hardlimit": 0}
SPARE = Workload.of("pool", TWO_ITEMS, [(1, "get", False), (0, "get", True)])
"""A page comes with an item more than its maker wants, and somebody is queued."""


def test_two_hangs_in_one_place_are_told_apart_by_their_cause() -> None:
    shown = [judge(load("pool"), workload).shown[0] for workload in (STRANDED, SPARE)]
    assert [one.cause for one in shown] == [SERVED_MEANWHILE, PAGE_ARRIVED]
    assert shown[0].signature != shown[1].signature


def test_a_search_goes_on_past_a_cause_that_is_known_and_past_no_other() -> None:
    judged = judge(load("pool"), STRANDED, frozenset({SERVED_MEANWHILE}))
    assert not judged.shown
    assert judged.whole
    assert judge(load("pool"), STRANDED, frozenset({PAGE_ARRIVED})).shown


def test_so_are_a_lap_that_wakes_nobody_and_a_daemon_that_was_asked_while_it_ran() -> None:
    machine = {"fix": "wait", "memory": "short", "exit": False, "lap": "silent", "tables": 0}
    machine |= {"rwlock": "wake-all"}
    refused = [("vp", "LOCK", 1, False)]
    workload = Workload.of("vm", machine, [(0, "fault", 0, VA, True)], refused)
    assert {one.cause for one in judge(load("vm"), workload).shown} == {SILENT_LAP, ASKED_IN_VAIN}
    assert not judge(load("vm"), workload, frozenset({SILENT_LAP, ASKED_IN_VAIN})).shown


def test_a_known_flaw_is_one_bug_whether_or_not_what_is_slept_for_is_there() -> None:
    """Alone it never ends; beside an munmap it could, were it woken."""
    machine = {"fix": "wait", "memory": "plenty", "exit": False, "lap": "silent", "tables": 0}
    machine |= {"rwlock": "wake-all"}
    alone = [(0, "fault", 0, VA, True)]
    kinds, signatures = set(), set()
    for many in (alone, [*alone, (1, "munmap", 0)]):
        workload = Workload.of("vm", machine, many, [("vp", "LOCK", 1, False)])
        example = Example(load("vm"), workload, frozenset())
        kinds |= {one.kind for one in search(example.build, preemptions=1).found}
        signatures |= {one.signature for one in judge(load("vm"), workload).shown}
    assert kinds >= {"deadlock", "lost-wakeup"}
    assert {one.message for one in signatures} == {SILENT_LAP}
    assert len(signatures) == 1


@pytest.mark.parametrize("nth", [1, 3, 5, 7])
def test_an_interrupt_is_somebody_else_than_the_runner_that_it_stops(nth: int) -> None:
    """Its put finds no request either, as the runner under it has them all."""
    machine = {"primed": True, "pages": 1, "items": 1, "hardlimit": 0, "cached": 0, "recycle": True}
    injected = [("cpu0", "interrupt", nth, False)]
    workload = Workload.of("pool", machine, [(0, "get", True)], injected)
    shown = judge(load("pool"), workload, frozenset({COLLECTED})).shown
    assert all(one.cause for one in shown)


@shared
class Unlocked:
    """A door that nobody opens; nothing protects the count of those before it."""

    before: int
    room: Atomic[int]

    def __init__(self) -> None:
        self.before, self.room = 0, 0

    @operation(event="cell.write")
    def knock(self) -> None:
        pass

    @operation(lambda self: self.room > 0, event="cell.read")
    def enter(self) -> None:
        self.room -= 1


async def visitor(unlocked: Unlocked) -> None:
    await unlocked.knock()
    unlocked.before += 1
    await unlocked.enter()


def unlocked(world: World, _: object = None) -> None:
    with world:
        door = Unlocked()
    world.task("A", visitor, door)
    world.task("B", visitor, door)


def test_a_race_on_the_way_to_a_hang_is_what_is_told_of() -> None:
    """A bounded search looks for no races of its own."""
    target = Target(name="unlocked", summary="", build=unlocked, params={}, operations={"go": ()})
    shown = judge(attrs.evolve(target, preemptions=0), Workload.of("unlocked", {}, [(0, "go")]))
    (one,) = shown.shown
    assert one.signature.kind == "data-race"
    assert one.signature.things == ("unlocked0.before",)


@shared
class Door:
    """Ajar it is wrong; shut it is a hang."""

    shut: Atomic[int]

    def __init__(self) -> None:
        self.shut = 0

    @operation(event="cell.write")
    def move(self) -> None:
        self.shut += 1

    @operation(lambda self: self.shut < 2, event="cell.read")
    def go(self) -> None:
        pass


async def mover(door: Door) -> None:
    await door.move()
    await door.move()
    await door.go()


def build(world: World, _: object = None) -> None:
    with world:
        door = Door()
    world.task("A", mover, door)
    world.check("not ajar", lambda: "ajar" if door.shut == 1 else None)


DOOR = Target(name="door", summary="", build=build, params={}, operations={"go": ()})


def test_what_lies_behind_something_broken_is_found_by_a_search() -> None:
    """Its run leads past a check that fails, which is no reason to call it impossible."""
    assert {one.kind for one in search(build).found} == {"invariant", "deadlock"}


def test_and_is_no_bug_of_its_own() -> None:
    target = attrs.evolve(DOOR, preemptions=0)
    (shown,) = judge(target, Workload.of("door", {}, [(0, "go")])).shown
    assert shown.signature.kind == "invariant"
