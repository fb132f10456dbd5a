"""Concurrent state machines: workloads by Hypothesis, schedules by search."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.errors import FlakyFailure
from hypothesis.stateful import (
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from kmodel.point import operation
from kmodel.shared import Atomic, shared
from kmodel.testing import Broken, ConcurrentStateMachine, Undecided, Wrong, concurrent
from kmodel.testing.chosen import CHOSEN
from kmodel.testing.smaller import smallest
from kmodel.testing.written import written

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
    assert "replay: pytest 'tests/testing/test_concurrent.py::test_a_torn_push" in told
    assert '--kmodel-replay \'[[0,"push",{"item":' in told


def test_a_machine_with_a_state_of_its_own_is_hypothesis_to_make_again() -> None:
    class Begun(Torn):
        @initialize(items=st.just((1,)))
        def begin(self, items: tuple[int, ...]) -> None:
            self.begun = items

        def make(self) -> Stack:
            made = Stack()
            made.items = self.begun
            return made

    with pytest.raises(Broken) as failure:
        run_state_machine_as_test(Begun, settings=FEW)
    told = str(failure.value)
    assert "again: pytest 'tests/testing/test_concurrent.py::test_a_machine_with" in told
    assert "--kmodel-replay" not in told
    assert "Begun.play" not in told


def test_an_invariant_of_hypothesis_is_refused_as_it_sees_no_state() -> None:
    def holds(self: Any) -> None:
        pass

    with pytest.raises(TypeError, match=r"Wrong\.holds is an @invariant of Hypothesis.*always"):
        type("Wrong", (Good,), {"holds": invariant()(holds)})


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


@pytest.mark.parametrize(
    "marked", [rule(), invariant(), initialize(), lambda go: precondition(bool)(invariant()(go))]
)
def test_what_hypothesis_would_never_await_is_refused_by_name(marked: Any) -> None:
    async def go(self: Any) -> None:
        pass

    with pytest.raises(TypeError, match=r"Wrong\.go is async and not @concurrent"):
        type("Wrong", (Good,), {"go": marked(go)})


@pytest.mark.parametrize(
    ("drawn", "said"),
    [
        ({"itme": st.integers()}, "it takes no 'itme'; nothing draws its 'item'"),
        ({"item": st.integers(), "cpu": st.integers()}, "'cpu' is drawn for every operation"),
        ({"item": 3}, "item is no strategy"),
    ],
)
def test_arguments_that_an_operation_does_not_take_are_refused(drawn: Any, said: str) -> None:
    async def push(stack: Stack, item: int) -> None:
        pass

    with pytest.raises(TypeError, match=f"@concurrent push: .*{said}"):
        concurrent(**drawn)(staticmethod(push))


def test_concurrent_is_written_with_parentheses() -> None:
    with pytest.raises(TypeError, match="with parentheses"):
        concurrent(staticmethod(Stack.pop))


def test_a_derived_machine_draws_its_own_cpus() -> None:
    seen = set()

    class Three(Good):
        cpus = 3

        def teardown(self) -> None:
            seen.update(cpu for cpu, _, _ in self.workload)

    run_state_machine_as_test(Three, settings=FEW)
    assert seen == {0, 1, 2}


def test_no_settings_bring_a_deadline_back() -> None:
    """An example is a search here, and takes what it takes."""

    class Slow(Good):
        def teardown(self) -> None:
            time.sleep(0.02)

    case: Any = Slow.TestCase
    case.settings = settings(max_examples=3, deadline=10, database=None)
    case("runTest").runTest()


def test_runs_are_sampled_when_the_command_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CHOSEN, "runs", 20)
    workload: Any = [(at, "push", {"item": 1}) for at in (0, 1)]
    found = Torn().searched(workload)
    assert (found.verdict, found.bound) == ("violated", "20 runs")
    found = Good().searched(workload)
    assert (found.verdict, found.within) == ("inconclusive", True)


SUITE = """
from hypothesis import strategies as st
import kmodel
from kmodel import Atomic, operation
from kmodel.shared import shared
from kmodel.testing import ConcurrentStateMachine, concurrent

@shared
class Counter:
    value: Atomic[int]
    def __init__(self):
        self.value = 0
    @operation(event="counter.read")
    def read(self):
        return self.value
    @operation(event="counter.write")
    def write(self, value):
        self.value = value

class Counters(ConcurrentStateMachine):
    initial = 0
    def make(self):
        return Counter()
    @staticmethod
    def specify(state, name, args):
        return state + args[0][0], None
    @staticmethod
    def state(counter):
        return counter.value
    @concurrent(by=st.tuples(st.integers(1, 3), st.sampled_from(["it's", "a b"])))
    @staticmethod
    async def add(counter, by):
        await counter.write(await counter.read() + by[0])

TestCounters = Counters.TestCase
"""


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The failure of ``SUITE``."""
    folder = tmp_path_factory.mktemp("suite")
    (folder / "test_it.py").write_text(SUITE)
    return pytest_on(folder)


def pytest_on(folder: Path, *options: str) -> str:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False).stdout


def test_the_replay_line_of_a_machine_runs_the_same_again(shown: str, tmp_path: Path) -> None:
    """With its workload, whatever is in it: no Hypothesis, and no database."""
    _, *lines = shown.split("replay: pytest")  # CI has it in pytest's summary too
    (replay,) = {line.splitlines()[0] for line in lines}
    (tmp_path / "test_it.py").write_text(SUITE)
    again = pytest_on(tmp_path, *shlex.split(replay))
    assert "Broken: invariant: the end is 1, and orders of the operations give 2" in again
    assert "Falsifying" not in again
    assert "Failing test case" not in again
    assert again.count("cpu1 counter.write value=1") == 1


def test_what_a_machine_gives_to_paste_is_a_test(shown: str, tmp_path: Path) -> None:
    text = re.sub(r"^E ? ? ?", "", shown, flags=re.MULTILINE)
    pasted = text.partition("as a test of its own:\n")[2].partition("Failing test case")[0]
    suite = SUITE.replace("import kmodel\n", "")
    (tmp_path / "test_it.py").write_text(f"{suite}\n{pasted}")
    again = pytest_on(tmp_path, "-k", "test_counters_again")
    assert "Broken: violated: invariant" in again
    assert "the end is 1, and orders of the operations give 2" in again
    assert "1 failed" in again


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0,1,0", "a state machine is replayed with its workload"),
        ('[[0,"pop",{}]] 0,1,0', "the schedule is not one of this test"),
        ('[[0,"steal",{}]] 0', r"Good has no operation steal\(\)"),
        ('[[0,"push",{}]] 0', r"Good has no operation push\(\)"),
        ("[[0]] 0", "this is no workload of a state machine"),
    ],
)
def test_what_cannot_be_replayed_is_said(
    monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    monkeypatch.setattr(CHOSEN, "replay", text)
    with pytest.raises((Undecided, Wrong), match=said):
        run_state_machine_as_test(Good, settings=FEW)


def test_a_replay_that_breaks_nothing_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CHOSEN, "replay", '[[0,"push",{"item":1}]] 0,0')
    run_state_machine_as_test(Good, settings=FEW)


def test_arguments_that_no_command_line_can_hold_are_found_again_by_hypothesis() -> None:
    assert written([(0, "push", {"item": (1, "a", (None, True))})]) is not None
    assert written([(0, "push", {"item": frozenset()})]) is None
    assert written([(0, "push", {"item": [1]})]) is None, "it would come back as a tuple"


@pytest.mark.parametrize("name", ["specify", "state"])
@pytest.mark.parametrize("how", [lambda function: function, classmethod])
def test_what_is_not_static_is_refused_by_name(name: str, how: Any) -> None:
    """Tasks run it, and would share the machine unseen."""
    with pytest.raises(TypeError, match=rf"Wrong\.{name} is not static: write @staticmethod"):
        type("Wrong", (Good,), {name: how(lambda *_: None)})


@pytest.mark.parametrize(
    ("name", "value"),
    [("cpus", 0), ("most", 0), ("preemptions", -1), ("states", 0), ("seconds", 0), ("cpus", "2")],
)
def test_bounds_that_are_none_are_refused(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"Wrong: {name} must be "):
        type("Wrong", (Good,), {name: value})


def test_a_machine_that_makes_nothing_is_said_to_be_wrong() -> None:
    class Nothing(ConcurrentStateMachine):
        push = concurrent(item=st.integers(0, 1))(staticmethod(Good._operations["push"]))

    with pytest.raises(Wrong, match=r"Nothing needs a method make\(\)"):
        run_state_machine_as_test(Nothing, settings=FEW)


def test_a_profile_says_how_long_to_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CHOSEN, "seconds", 1e-9)
    machine = Good()
    machine.workload = [(at, "push", {"item": at}) for at in (0, 1, 0, 1)]
    assert "1e-09 s" in machine.searched(machine.workload).bound


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


def test_no_bound_is_told_of_what_is_wrong_with_the_test_itself() -> None:
    class Fails(Good):
        @concurrent(item=st.integers(0, 2))
        @staticmethod
        async def push(stack: Stack, item: int) -> None:
            raise KeyError(item)

    with pytest.raises(Wrong, match="raised KeyError") as failure:
        run_state_machine_as_test(Fails, settings=FEW)
    assert "a bound of" not in str(failure.value)


def test_an_invariant_with_side_effects_is_no_bug_found() -> None:
    class Writes(Good):
        def always(self, thing: Stack) -> str | None:
            thing.items = (1,)
            return None

    with pytest.raises(Wrong, match=r"no bug found\n.*checks may only read"):
        run_state_machine_as_test(Writes, settings=FEW)


def test_an_invariant_may_assert() -> None:
    class Asserts(Good):
        def always(self, thing: Stack) -> None:
            assert len(thing.items) < 2, "two items"

    with pytest.raises(Broken, match=r"check 'always': assertion failed in always .*two items"):
        run_state_machine_as_test(Asserts, settings=FEW)


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


def test_an_invariant_that_remembers_is_no_bug_found() -> None:
    """In its class, or in the machine itself: it would break or not as states come."""

    class Counts(Good):
        calls = 0

        def always(self, thing: Stack) -> str | None:
            type(self).calls += 1
            return "odd" if type(self).calls % 37 == 0 else None

    class Last(Good):
        def make(self) -> Stack:
            self.last = 0
            return Stack()

        def always(self, thing: Stack) -> str | None:
            less, self.last = len(thing.items) < self.last, len(thing.items)
            return "went back" if less else None

    for machine, what in ((Counts, r"Counts\.calls"), (Last, r"Last\.last")):
        with pytest.raises(Wrong, match=f"check 'always' changes {what}"):
            run_state_machine_as_test(machine, settings=FEW)


class Large(Good):
    """More than 30 states have room for."""

    states = 30

    def teardown(self) -> None:
        searched.append(len(self.workload))
        super().teardown()


searched: list[int] = []


def test_too_large_a_workload_is_told_at_once_and_not_made_smaller() -> None:
    """Each smaller one would be searched as long again."""
    case: Any = Large.TestCase
    case.settings = settings(FEW, max_examples=50)
    searched.clear()
    with pytest.raises(Undecided, match=r"(?s)30 states.*cpu0: .*Give the machine less"):
        case("runTest").runTest()
    assert len(searched) < 20


class Raising(Good):
    def always(self, thing: Stack) -> str | None:
        return str(1 // 0)

    def teardown(self) -> None:
        if self.workload:
            searched.append(len(self.workload))
        super().teardown()


def test_what_is_wrong_with_the_test_itself_is_told_at_once_too() -> None:
    """Else a loop that never ends would be waited for again with each smaller example."""
    case: Any = Raising.TestCase
    searched.clear()
    with pytest.raises(Wrong, match=r"(?s)raised ZeroDivisionError.*\n\ncpu\d: ") as failure:
        case("runTest").runTest()
    assert isinstance(failure.value.__cause__, ZeroDivisionError)
    assert len(searched) == 1


def test_a_bug_in_too_large_a_workload_is_found_all_the_same() -> None:
    """By a few runs; what is then too large while it is made smaller is no end of that."""

    class Lost(Torn):
        states = 30

    case: Any = Lost.TestCase
    case.settings = settings(FEW, max_examples=50)
    with pytest.raises(Broken) as failure:
        case("runTest").runTest()
    assert str(failure.value).count(": push(item=") == 2
