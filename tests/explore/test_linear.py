"""Linearizability: what an order explains passes, what none explains does not."""

from __future__ import annotations

import itertools
from random import Random
from typing import Any

import pytest

from kmodel.explore import search
from kmodel.explore.linear import ANY, KIND, Linear
from kmodel.point import operation, pause
from kmodel.shared import Atomic, shared
from kmodel.world import ScenarioError, World


@shared
class Register:
    """A register; ``torn``: an addition reads and writes in two steps."""

    value: Atomic[int]

    def __init__(self) -> None:
        self.value = 0

    @operation(event="register.read")
    def read(self) -> int:
        return self.value

    @operation(event="register.write")
    def write(self, value: int) -> None:
        self.value = value

    @operation(event="register.add")
    def add(self, change: int) -> int:
        self.value += change
        return self.value

    async def add_torn(self, change: int) -> int:
        value = await self.read()
        await self.write(value + change)
        return value + change


def of_register(state: int, what: str, args: tuple[int, ...]) -> tuple[int, Any]:
    if what == "read":
        return state, state
    if what == "write":
        return args[0], None
    return state + args[0], state + args[0]


Program = list[list[tuple[str, tuple[int, ...]]]]


def build(world: World, program: Program, torn: bool) -> None:
    register, linear = Register(), Linear("register", of_register, 0)

    async def go(ops: list[tuple[str, tuple[int, ...]]]) -> None:
        for what, args in ops:
            body = register.add_torn if torn and what == "add" else getattr(register, what)
            await linear.do(what, args, lambda body=body, args=args: body(*args))

    for number, ops in enumerate(program):
        world.task(f"T{number}", go, tuple(ops))
    final = lambda: None if register.value in linear.states() else "wrong end"  # noqa: E731
    world.check("final state", final, when="end")


def explorable(program: Program, torn: bool) -> Any:
    return search(lambda world: build(world, program, torn))


def test_atomic_operations_are_linearizable() -> None:
    program: Program = [[("add", (1,)), ("read", ())], [("write", (5,)), ("add", (2,))]]
    assert explorable(program, torn=False).verdict == "holds"


def test_a_torn_addition_is_not() -> None:
    result = explorable([[("add", (1,))], [("add", (1,))]], torn=True)
    assert result.kind == KIND
    assert "returned 1, and no order of the operations gives that (in any: 2)" in result.message
    assert result.found[0].preemptions == 1


def test_a_torn_addition_alone_is() -> None:
    assert explorable([[("add", (1,)), ("add", (1,)), ("read", ())]], torn=True).verdict == "holds"


def oracle(program: Program, results: list[list[Any]]) -> bool:
    """Is there an order of all operations, each task's own kept, that gives these results?
    (Sequential consistency: what linearizability also asks is that real time is kept.)"""
    tasks = [n for n, ops in enumerate(program) for _ in ops]
    for order in set(itertools.permutations(tasks)):
        state, at, fine = 0, [0] * len(program), True
        for task in order:
            what, args = program[task][at[task]]
            state, result = of_register(state, what, args)
            fine = fine and result == results[task][at[task]]
            at[task] += 1
        if fine:
            return True
    return False


@pytest.mark.parametrize("seed", range(60))
def test_whatever_no_order_at_all_explains_is_found(seed: int) -> None:
    """Random programs on the torn register: if the search says holds, then every random run
    of the program is explained by some order; runs that none explains are found."""
    chance = Random(seed)
    choices: list[tuple[str, tuple[int, ...]]] = [("add", (1,)), ("read", ()), ("write", (7,))]
    program = [[chance.choice(choices) for _ in range(2)] for _ in range(2)]
    result = explorable(program, torn=True)
    explained = {oracle(program, run_torn(program, chance)) for _ in range(40)}
    if result.verdict == "holds":
        assert explained == {True}
    if False in explained:
        assert result.kind in (KIND, "invariant")


def run_torn(program: Program, chance: Random) -> list[list[Any]]:
    """One random run in plain Python, an access a step."""
    value, results = 0, [[] for _ in program]
    todo = [_accesses(ops) for ops in program]
    kept = [0] * len(program)
    while any(todo):
        task = chance.choice([n for n, left in enumerate(todo) if left])
        what, arg = todo[task].pop(0)
        if what == "load":
            kept[task] = value
        elif what == "store":
            value = kept[task] + arg
            results[task].append(value)
        elif what == "write":
            value = arg
            results[task].append(None)
        else:
            results[task].append(value)
    return results


def _accesses(ops: list[tuple[str, tuple[int, ...]]]) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    for what, args in ops:
        if what == "add":
            found += [("load", 0), ("store", args[0])]
        else:
            found.append((what, args[0] if args else 0))
    return found


def test_real_time_counts() -> None:
    """A read that returns an old value after a write has returned is sequentially
    consistent, and not linearizable."""

    @shared
    class Stale:
        new: Atomic[int]

        def __init__(self) -> None:
            self.new = 0

        @operation(event="stale.write")
        def write(self) -> None:
            self.new = 1

    def build(world: World) -> None:
        stale, linear = Stale(), Linear("stale", of_register, 0)

        async def write() -> None:
            await linear.do("write", (1,), stale.write)

        async def read() -> None:
            await linear.do("read", (), nothing)

        async def nothing() -> int:
            await pause()
            return 0

        world.task("W", write)
        world.task("R", read)

    result = search(build)
    assert result.kind == KIND


def test_a_specification_that_raises_is_named() -> None:
    def build(world: World) -> None:
        linear = Linear("thing", lambda state, what, args: state["no"], 0)

        async def go() -> None:
            await linear.do("op", (), _one)

        world.task("A", go)

    result = search(build)
    assert result.kind == "scenario-error"
    assert "specification of thing raised TypeError on op() in state 0" in result.message


async def _one() -> int:
    await pause()
    return 1


def test_values_must_be_plain() -> None:
    with pytest.raises(ScenarioError, match="of type list"):
        Linear("thing", of_register, [1])


def test_true_is_not_one() -> None:
    def build(world: World) -> None:
        linear = Linear("thing", lambda state, what, args: (state, True), 0)

        async def go() -> None:
            await linear.do("op", (), _one)

        world.task("A", go)

    assert search(build).kind == KIND


@shared
class Item:
    """Of which there is one."""

    left: Atomic[int]

    def __init__(self) -> None:
        self.left = 1

    @operation(event="item.try")
    def attempt(self) -> bool:
        had, self.left = self.left > 0, 0
        return had

    @operation(lambda self: self.left > 0, event="item.wait")
    def wait(self) -> bool:
        self.left = 0
        return True


def shared_by_two(specify: Any, waits: bool) -> Any:
    """Both get it once, with ``wait`` or ``attempt``."""

    def build(world: World) -> None:
        item, linear = Item(), Linear("item", specify, 2)

        async def go() -> None:
            await linear.do("get", (), item.wait if waits else item.attempt)

        world.task("A", go)
        world.task("B", go)
        world.rests = linear.rests

    return search(build)


def test_a_specification_may_leave_free_which_of_several_things_happens() -> None:
    """It thinks that there are two: then only one that may fail explains the second get."""
    sure = shared_by_two(lambda left, what, args: (left - 1, True), waits=False)
    assert sure.kind == KIND
    free = shared_by_two(lambda left, what, args: [(left - 1, True), (left, False)], waits=False)
    assert free.verdict == "holds"


def test_a_specification_may_leave_free_whether_one_waits() -> None:
    sure = shared_by_two(lambda left, what, args: (left - 1, True), waits=True)
    assert sure.kind == "deadlock"
    free = shared_by_two(lambda left, what, args: [(left - 1, True), None], waits=True)
    assert free.verdict == "holds"


def test_parts_of_an_operation_take_effect_each_at_a_moment_of_its_own() -> None:
    """One that clears two cells is no single moment: between them somebody sees one."""

    def cleared(state: tuple[int, int], what: str, args: tuple[int, ...]) -> Any:
        if what == "look":
            return state, state
        return tuple(0 if cell in args else value for cell, value in enumerate(state)), None

    def build(world: World, parts: tuple[tuple[int, ...], ...]) -> None:
        first, second = Register(), Register()
        first.value = second.value = 1
        linear = Linear("cells", cleared, (1, 1))

        async def clear() -> None:
            await first.write(0)
            await second.write(0)

        async def both() -> tuple[int, int]:
            return await first.read(), await second.read()

        world.task("A", lambda: linear.do("clear", (0, 1), clear, parts))
        world.task("B", lambda: linear.do("look", (), both))

    def kinds(parts: tuple[tuple[int, ...], ...]) -> set[str]:
        def whole(world: World) -> None:
            with world:
                build(world, parts)

        return {one.kind for one in search(whole).found}

    assert kinds(()) == {KIND}
    assert kinds(((0,), (1,))) == set()


def test_a_part_may_say_nothing_of_what_the_whole_returns() -> None:
    def told(state: int, what: str, args: tuple[int, ...]) -> Any:
        return state + 1, args[0] if args[0] else ANY

    def kinds(parts: tuple[tuple[int, ...], ...]) -> set[str]:
        def whole(world: World) -> None:
            async def seven() -> int:
                return 7

            with world:
                linear = Linear("steps", told, 0)
                world.task("A", lambda: linear.do("go", (), seven, parts))
                world.check("both", lambda: None if linear.states() == (2,) else "no", when="end")

        return {one.kind for one in search(whole).found}

    assert kinds(((0,), (7,))) == set()
    assert kinds(((0,), (8,))) == {KIND}
