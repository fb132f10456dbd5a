"""A workload becomes as small as it gets, and shows the same bug."""

from __future__ import annotations

from typing import Any

import attrs

from kmodel.fuzz.bench import staff
from kmodel.fuzz.judged import judge
from kmodel.fuzz.reduce import Reduced, reduce
from kmodel.fuzz.target import Target
from kmodel.fuzz.workload import Workload
from kmodel.panic import Panic
from kmodel.point import operation
from kmodel.shared import Atomic, shared
from kmodel.world import World


@shared
class Tape:
    """What was done, by whomever."""

    done: Atomic[str]

    def __init__(self) -> None:
        self.done = ""

    @operation(event="cell.write")
    def write(self, what: str) -> str:
        self.done += what
        return self.done


async def perform(tape: Tape, cpu: int, held: list[Any], name: str, args: Any) -> None:
    written = await tape.write("on" * args[0] if name == "write" else name)
    if written.endswith("bad"):
        raise Panic("it says bad")
    if written.startswith("onon"):
        raise Panic("it says onon")


def build(world: World, workload: Workload) -> None:
    with world:
        tape = Tape()
    staff(world, workload, perform, tape)


TAPE = Target(
    name="tape",
    summary="",
    build=build,
    params={},
    operations={"b": (), "a": (), "d": (), "ad": (), "write": ((1, 2),)},
)


def reduced(*operations: tuple[Any, ...], target: Target = TAPE) -> Reduced:
    workload = Workload.of("tape", {}, operations)
    return reduce(target, workload, judge(target, workload).shown[0])


def done(less: Reduced) -> list[str]:
    assert less.minimal
    assert len(less.workload.cpus) == 1
    return [str(one).partition(": ")[2] for one in less.workload.operations]


def test_two_cpus_become_one_whatever_the_order_in_which_their_operations_are_queued() -> None:
    letters = attrs.evolve(TAPE, operations={"b": (), "a": (), "d": ()})
    less = reduced((1, "d"), (0, "b"), (0, "a"), target=letters)
    assert done(less) == ["b()", "a()", "d()"]


def test_one_operation_of_another_name_takes_the_place_of_two() -> None:
    assert done(reduced((0, "b"), (0, "a"), (0, "d"))) == ["b()", "ad()"]


def test_one_with_another_argument_takes_the_place_of_two() -> None:
    """Though it is no simpler one."""
    assert done(reduced((0, "write", 1), (1, "write", 1))) == ["write(2)"]


def test_it_never_ends_with_another_bug() -> None:
    assert reduced((0, "write", 1), (0, "write", 1)).shown.message == "it says onon"
    assert reduced((0, "b"), (0, "a"), (0, "d")).shown.message == "it says bad"


@shared
class Door:
    """Opened ``times``; who goes through a closed one sleeps for ever."""

    open: Atomic[int]

    def __init__(self, times: int) -> None:
        self.open = times

    @operation(lambda self: self.open > 0, event="chan.woken")
    def go(self) -> None:
        self.open -= 1

    @operation(lambda self: False, event="chan.woken")
    def stay(self) -> None:
        pass


async def moved(doors: tuple[Door, Door], cpu: int, held: list[Any], name: str, args: Any) -> None:
    await (doors[0].go() if name == "go" else doors[1].stay())


def doors(world: World, workload: Workload) -> None:
    with world:
        two = Door(workload.param("times")), Door(0)
        two[0].name, two[1].name = "door", "elsewhere"  # type: ignore[attr-defined]
    staff(world, workload, moved, two)


DOOR = Target(
    name="door",
    summary="",
    build=doors,
    params={"times": (1, 0)},
    operations={"go": (), "stay": ()},
)


def test_another_machine_takes_the_place_of_an_operation() -> None:
    """Though it is no simpler one: with no turn to begin with, one is enough."""
    workload = Workload.of("door", {"times": 1}, [(0, "go"), (1, "go")])
    less = reduce(DOOR, workload, judge(DOOR, workload).shown[0])
    assert done(less) == ["go()"]
    assert less.workload.param("times") == 0


def test_who_waits_beside_a_hang_is_left_out_of_it() -> None:
    """And what is left is no other part of it by the next step."""
    workload = Workload.of("door", {"times": 0}, [(0, "go"), (1, "stay")])
    (shown,) = judge(DOOR, workload).shown
    assert len(shown.signature.places) == 2
    less = reduce(DOOR, workload, shown)
    assert len(less.workload.operations) == 1
    assert {*less.shown.signature.places} < {*shown.signature.places}


async def in_between(tape: Tape, cpu: int, held: list[Any], name: str, args: Any) -> None:
    for letter in name:
        if await tape.write(letter) in ("acb", "cc"):
            raise Panic("it says so")


def test_another_operation_takes_the_place_of_one_if_fewer_preemptions_do_then() -> None:
    def build(world: World, workload: Workload) -> None:
        with world:
            tape = Tape()
        staff(world, workload, in_between, tape)

    target = attrs.evolve(TAPE, build=build, operations={"ab": (), "c": ()})
    less = reduced((0, "ab"), (1, "c"), target=target)
    assert done(less) == ["c()", "c()"]
    assert not less.shown.preemptions
