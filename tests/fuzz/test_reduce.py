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
