"""Concurrent state machines: workloads by Hypothesis, schedules by search."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.errors import FlakyFailure
from hypothesis.stateful import rule, run_state_machine_as_test

from kmodel.point import operation
from kmodel.shared import Atomic, shared
from kmodel.testing import Broken, ConcurrentStateMachine, Wrong, concurrent
from kmodel.testing.smaller import smallest

FEW = settings(
    max_examples=30,
    derandomize=True,
    deadline=None,
    database=None,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)


@shared
class Stack:
    """Of at most three numbers. ``torn``: a push looks and writes in two steps."""

    items: Atomic[tuple[int, ...]]

    def __init__(self) -> None:
        self.items = ()

    @operation(event="stack.look")
    def look(self) -> tuple[int, ...]:
        return self.items

    @operation(event="stack.set")
    def set(self, items: tuple[int, ...]) -> None:
        self.items = items

    @operation(event="stack.push")
    def push(self, item: int) -> None:
        self.items = (*self.items, item)

    @operation(lambda self: bool(self.items), event="stack.pop")
    def pop(self) -> int:
        *rest, last = self.items
        self.items = tuple(rest)
        return last


class Good(ConcurrentStateMachine):
    """A stack whose operations are atomic; a pop waits for an item."""

    initial = ()

    def make(self) -> Stack:
        return Stack()

    @staticmethod
    def specify(state: Any, name: str, args: tuple[Any, ...]) -> Any:
        if name == "push":
            return (*state, args[0]), None
        return (state[:-1], state[-1]) if state else None

    @staticmethod
    def state(thing: Stack) -> tuple[int, ...]:
        return thing.items

    @concurrent(item=st.integers(0, 2))
    @staticmethod
    async def push(stack: Stack, item: int) -> None:
        await stack.push(item)

    @concurrent()
    @staticmethod
    async def pop(stack: Stack) -> int:
        return await stack.pop()


class Torn(Good):
    @concurrent(item=st.integers(0, 2))
    @staticmethod
    async def push(stack: Stack, item: int) -> None:
        items = await stack.look()
        await stack.set((*items, item))


class Deaf(Good):
    """Pops that nobody lets go on although there is an item."""

    @concurrent()
    @staticmethod
    async def pop(stack: Stack) -> int:
        await stack.pop()
        return await stack.pop()


def test_a_correct_object_passes_also_where_operations_must_wait() -> None:
    """A pop of an empty stack waits for ever, as the specification says: no deadlock."""
    run_state_machine_as_test(Good, settings=FEW)


def test_a_torn_push_is_found_and_shrinks_to_two_pushes() -> None:
    with pytest.raises(Broken, match="violated: invariant") as failure:
        run_state_machine_as_test(Torn, settings=FEW)
    told = str(failure.value)
    assert " operations are enough:\ncpu0: push(item=" in told
    assert told.count(": push(item=") == 2, told
    assert "and orders of the operations give" in told
    assert "inv.violation" in told, "the run"
    assert "--kmodel-replay" not in told, "it replays stories, and this workload is Hypothesis'"


def test_what_hypothesis_left_too_large_is_made_smaller() -> None:
    machine = Torn()
    machine.workload = [(at, "push", {"item": 1}) for at in (1, 1, 1, 0, 1)]
    less = smallest(machine.workload, machine.searched(machine.workload), machine.searched)
    assert sorted(at for at, _, _ in less) == [0, 1]


def test_one_that_waits_where_it_could_go_on_is_a_deadlock() -> None:
    with pytest.raises(Broken, match="violated: deadlock"):
        run_state_machine_as_test(Deaf, settings=settings(FEW, max_examples=300))


def test_invariants_are_judged_in_every_state() -> None:
    class Small(Good):
        def always(self, thing: Stack) -> str | None:
            return "two items" if len(thing.items) > 1 else None

    with pytest.raises(Broken, match="two items"):
        run_state_machine_as_test(Small, settings=FEW)


def test_an_async_rule_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match=r"Wrong\.go is async and not @concurrent"):

        class Wrong(Good):
            @rule()
            async def go(self) -> None:
                pass


def test_concurrent_wants_async() -> None:
    with pytest.raises(TypeError, match="staticmethod async def"):
        concurrent()(lambda self, thing: None)


def test_a_specification_that_raises_is_no_bug_found() -> None:
    class Raises(Good):
        @staticmethod
        def specify(state: Any, name: str, args: tuple[Any, ...]) -> Any:
            return state.no_such_thing

    with pytest.raises(Wrong, match="the specification of Raises raised AttributeError"):
        run_state_machine_as_test(Raises, settings=FEW)


def test_an_invariant_with_side_effects_is_no_bug_found() -> None:
    class Writes(Good):
        def always(self, thing: Stack) -> str | None:
            thing.items = (1,)
            return None

    with pytest.raises(Wrong, match=r"no bug found\n.*checks may only read"):
        run_state_machine_as_test(Writes, settings=FEW)


def test_an_invariant_that_raises_is_no_bug_found() -> None:
    class Raises(Good):
        def always(self, thing: Stack) -> str | None:
            return str(1 // 0)

    with pytest.raises(Wrong, match="check 'always' raised ZeroDivisionError"):
        run_state_machine_as_test(Raises, settings=FEW)


def test_a_flaky_machine_is_no_bug_found() -> None:
    """It breaks the first time, and then never again."""
    turns = iter(range(100_000))

    class Flaky(Good):
        def make(self) -> Stack:
            made = Stack()
            made.items = (7,) if next(turns) == 0 else ()
            return made

        def always(self, thing: Stack) -> str | None:
            return "a seven" if 7 in thing.items else None

    with pytest.raises(FlakyFailure) as failure:
        run_state_machine_as_test(Flaky, settings=settings(FEW, phases=[Phase.generate]))
    assert failure.group_contains(Wrong, match="nondeterminism: the test does not do the same")
