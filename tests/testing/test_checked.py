"""``kmodel.check``: stories as tests, in suites of their own."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import Cell

from kmodel.explore.result import search
from kmodel.point import pause
from kmodel.testing.checked import _judge, check
from kmodel.testing.failed import Broken
from kmodel.world import World

HEAD = """
import pytest
import kmodel
from kmodel import World, Atomic, operation, pause
from kmodel.shared import shared
from kmodel.sync.mutex import Mutex

async def both(first, second):
    await first.enter()
    await second.enter()
    await second.leave()
    await first.leave()

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

async def add(counter):
    value = await counter.read()
    await counter.write(value + 1)
"""


def suite(pytester: pytest.Pytester, text: str, *options: str) -> pytest.RunResult:
    pytester.makepyfile(test_it=HEAD + text)
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", *options)


def test_a_story_that_holds_passes(pytester: pytest.Pytester) -> None:
    text = """
@kmodel.check
def test_one_order(world: World):
    one, two = Mutex("one"), Mutex("two")
    world.task("A", both, one, two)
    world.task("B", both, one, two)
"""
    suite(pytester, text).assert_outcomes(passed=1)


def test_a_failure_ends_with_the_line_that_replays_it(pytester: pytest.Pytester) -> None:
    text = """
@kmodel.check
def test_crosswise(world: World):
    one, two = Mutex("one"), Mutex("two")
    world.task("A", both, one, two)
    world.task("B", both, two, one)
"""
    ran = suite(pytester, text)
    ran.assert_outcomes(failed=1)
    shown = ran.stdout.str()
    assert "Broken: violated: deadlock" in shown
    assert "checked.py" not in shown, "no frame of kmodel in the failure"
    (line,) = set(re.findall(r"replay: pytest '(\S+)' --kmodel-replay '(\S+)'", shown))
    again = pytester.runpytest_subprocess(line[0], "--kmodel-replay", line[1])
    again.assert_outcomes(failed=1)
    assert "deadlock: nobody can step: A at mutex.enter two" in again.stdout.str()


def test_coroutines_one_a_cpu_and_fixtures(pytester: pytest.Pytester) -> None:
    text = """
@pytest.fixture
def times():
    return 2

@pytest.mark.parametrize("tasks", [1, 2])
@kmodel.check
def test_lost_update(times, tasks):
    counter = Counter()
    yield_ = {f"T{n}": add(counter) for n in range(tasks)}
    assert times == 2
    return yield_

@kmodel.check
def test_counted(world: World, times):
    counter = Counter()
    for n in range(times):
        world.task(f"T{n}", add, counter)
    world.check("all", lambda: None if counter.value == times else "lost", when="end")
"""
    ran = suite(pytester, text)
    ran.assert_outcomes(passed=2, failed=1)
    assert "violated: invariant" in ran.stdout.str()


def test_runs_sample_and_options_override(pytester: pytest.Pytester) -> None:
    text = """
@kmodel.check(runs=3)
def test_few(world: World):
    one, two = Mutex("one"), Mutex("two")
    world.task("A", both, one, two)
    world.task("B", both, two, one)
"""
    options = ("--kmodel-runs", "200", "--kmodel-seed", "5")
    ran = suite(pytester, text, *options)
    ran.assert_outcomes(failed=1)
    assert "deadlock: nobody can step" in ran.stdout.str()


def test_a_limit_is_no_pass_and_a_bound_is(pytester: pytest.Pytester) -> None:
    text = """
async def wait(n):
    for _ in range(n):
        await pause()

def many(world):
    for name in "ABCDE":
        world.task(name, wait, 20)

@kmodel.check(states=1000)
def test_too_large(world: World):
    many(world)

@kmodel.check(preemptions=0)
def test_within(world: World):
    many(world)
"""
    ran = suite(pytester, text)
    ran.assert_outcomes(passed=1, failed=1)
    assert "Undecided: inconclusive" in ran.stdout.str()
    assert "preemptions=2" in ran.stdout.str()


def test_a_machine_is_booted_with_its_fix(pytester: pytest.Pytester) -> None:
    text = """
from kmodel import Machine

def faults(m):
    space = m.process()
    m.cpu("A", space.fault(0x20_0000))
    m.background("K", m.kernel_map.churn())

@kmodel.check(fix="populate")
def test_populate(m: Machine):
    faults(m)

@kmodel.check(fix="lock-retry", params={"lap": "silent"})
def test_lock_retry(m: Machine):
    faults(m)
"""
    ran = suite(pytester, text)
    ran.assert_outcomes(passed=1, failed=1)
    assert "violated: livelock" in ran.stdout.str()


def test_beside_pytest_trio_and_xdist(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\ntrio_mode = true\n")
    text = """
import trio

@pytest.fixture
async def started():
    await trio.lowlevel.checkpoint()
    return "A"

@kmodel.check
async def test_in_trio(world: World, started):
    world.task(started, both, Mutex("one"), Mutex("two"))

@kmodel.check
async def test_waits(world: World):
    await trio.sleep(0)

def test_plain():
    pass
"""
    for options in ((), ("-n", "2")):
        ran = suite(pytester, text, *options)
        ran.assert_outcomes(passed=2, failed=1)
        assert "test_waits waits while it builds its story" in ran.stdout.str()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("def test_x():\n    return 3", "returned 3: return coroutines"),
        ("def test_x():\n    return [both]", "which is no coroutine"),
        ("def test_x(world):\n    pass", "no obliged task"),
        (
            "def test_x(w):\n    return [both(1, 2)]",
            "takes a World or a Machine and returned list",
        ),
        ("def test_x(m):\n    return 3", "takes a World or a Machine and returned int"),
    ],
)
def test_what_is_no_story_is_said(pytester: pytest.Pytester, body: str, said: str) -> None:
    ran = suite(pytester, f"\n@kmodel.check\n{body}\n")
    ran.assert_outcomes(failed=1)
    assert said in ran.stdout.str()


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--kmodel-runs=0", "'0' is no number of runs"),
        ("--kmodel-runs=many", "'many' is no number of runs"),
        ("--kmodel-seed=-1", "'-1' is no seed"),
        ("--kmodel-profile=slow", "invalid choice"),
        ("--kmodel-replay=0,x", "'0,x' is no schedule: it looks like 0,0,1"),
        ("--kmodel-replay=0,1(", "is no schedule"),
    ],
)
def test_options_are_checked(pytester: pytest.Pytester, option: str, said: str) -> None:
    ran = suite(pytester, "", option)
    assert ran.ret == pytest.ExitCode.USAGE_ERROR
    assert "error: argument" in ran.stderr.str()
    assert said in ran.stderr.str()


@pytest.mark.parametrize(
    ("body", "kind", "said"),
    [
        ('world.check("o", lambda: 1 / 0)', "scenario-error", "check 'o' raised ZeroDivision"),
        (
            'world.check("o", lambda: setattr(counter, "value", 3))',
            "scenario-error",
            "checks may only read",
        ),
        ("counter.value = next(TURNS)", "nondeterminism", "not deterministic"),
        ('world.task("B", raises)', "scenario-error", "task B raised KeyError: 'mine'"),
        ('world.task("B", draws)', "scenario-error", "random.random()"),
    ],
)
@pytest.mark.parametrize("options", [(), ("--kmodel-runs", "20")])
def test_a_story_that_is_wrong_is_no_bug_found(
    pytester: pytest.Pytester, body: str, kind: str, said: str, options: tuple[str, ...]
) -> None:
    text = f"""
import itertools, random
TURNS = itertools.count()

async def raises():
    raise KeyError("mine")

async def draws():
    if random.random() > 2:
        await pause()

async def branches(counter):
    for _ in range(await counter.read() % 3):
        await counter.read()

@kmodel.check
def test_it(world: World):
    counter = Counter()
    world.task("A", branches, counter)
    {body}
"""
    if options and kind == "nondeterminism":
        return  # some runs cannot tell
    shown = suite(pytester, text, *options).stdout.str()
    assert f"Wrong: {kind}: the test " in shown
    assert "which is no bug found" in shown
    assert said in shown
    assert "Give it more" not in shown
    assert "search(" not in shown, "nothing of kmodel's own"


def test_what_breaks_once_and_never_again_is_no_bug_found(pytester: pytest.Pytester) -> None:
    text = """
import itertools
TURNS = itertools.count()

@kmodel.check
def test_it(world: World):
    counter, turn = Counter(), next(TURNS)
    world.task("A", add, counter)
    world.check("ok", lambda: "wrong" if turn == 0 and counter.value else None, when="end")
"""
    shown = suite(pytester, text).stdout.str()
    assert "Wrong: nondeterminism: the test does not do the same each time" in shown


def test_a_schedule_of_another_test_is_no_bug_found(pytester: pytest.Pytester) -> None:
    text = """
@kmodel.check
def test_it(world: World):
    world.task("A", both, Mutex("one"), Mutex("two"))
"""
    shown = suite(pytester, text, "--kmodel-replay", "1,1,0").stdout.str()
    assert "Undecided: the schedule is not one of this test as it is now" in shown


def test_methods_are_tests_too(pytester: pytest.Pytester) -> None:
    text = """
@pytest.fixture
def times():
    return 2

class TestCounter:
    start = 0

    @kmodel.check
    def test_lost(self, world: World, times):
        counter = Counter()
        for n in range(times):
            world.task(f"T{n}", add, counter)
        expected = self.start + times
        world.check("all", lambda: None if counter.value == expected else "lost", when="end")

    @kmodel.check
    def test_alone(self):
        return [add(Counter())]
"""
    ran = suite(pytester, text)
    ran.assert_outcomes(passed=1, failed=1)
    assert "test_it.py::TestCounter::test_lost' --kmodel-replay" in ran.stdout.str()


def test_the_replay_line_works_from_where_pytest_was_called(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]")
    text = """
@pytest.mark.parametrize("how", ["it's"])
@kmodel.check
def test_it(world: World, how):
    one, two = Mutex("one"), Mutex("two")
    world.task("A", both, one, two)
    world.task("B", both, two, one)
"""
    below = pytester.mkdir("below")
    (below / "test_it.py").write_text(HEAD + text)
    os.chdir(below)
    shown = pytester.runpytest_subprocess("-p", "no:cacheprovider").stdout.str()
    (line,) = set(re.findall(r"replay: (pytest .*)", shown))
    again = pytester.runpytest_subprocess(*shlex.split(line)[1:])
    again.assert_outcomes(failed=1)
    assert "deadlock: nobody can step" in again.stdout.str()


def test_runs_that_never_end_are_no_pass(pytester: pytest.Pytester) -> None:
    text = """
async def spin():
    while True:
        await pause()

@kmodel.check(runs=2)
def test_it(world: World):
    world.task("A", spin)
"""
    shown = suite(pytester, text).stdout.str()
    assert "Undecided: none of 2 runs came to an end" in shown


def test_the_plugin_loads_nothing_unless_asked(pytester: pytest.Pytester) -> None:
    text = "import sys\ndef test_x():\n    assert 'kmodel.testing.checked' not in sys.modules"
    pytester.makepyfile(test_clean=text)
    pytester.runpytest_subprocess("test_clean.py").assert_outcomes(passed=1)


RACING = """
@shared
class Plain:
    value: int
    def __init__(self):
        self.value = 0

async def sets(plain):
    await pause()
    plain.value = 1
    await pause()

@kmodel.check
def test_it(world: World):
    plain = Plain()
    world.task("A", sets, plain)
    world.task("B", sets, plain)
"""
RACE = r"[AB] and [AB] touch plain0.value with nothing to order them"


def test_the_replay_of_a_data_race_fails_as_the_search_did(pytester: pytest.Pytester) -> None:
    shown = suite(pytester, RACING).stdout.str()
    assert "Broken: violated: data-race" in shown
    (schedule,) = set(re.findall(r"--kmodel-replay '(\S+)'", shown))
    again = pytester.runpytest_subprocess("--kmodel-replay", schedule)
    again.assert_outcomes(failed=1)
    assert re.search(f"Broken: data-race: {RACE}", again.stdout.str())


def test_a_data_race_is_found_in_samples_too(pytester: pytest.Pytester) -> None:
    ran = suite(pytester, RACING, "--kmodel-runs", "5")
    ran.assert_outcomes(failed=1)
    assert re.search(f"Broken: data-race: {RACE}", ran.stdout.str())


def test_the_replay_fails_also_where_one_run_shows_nothing(pytester: pytest.Pytester) -> None:
    """Two who are no obliged tasks wait for each other, so that the run is over all the same."""
    text = """
@kmodel.check
def test_it(world: World):
    one, two = Mutex("one"), Mutex("two")
    world.task("A", both, Mutex("own"), Mutex("other"))
    world.task("B", both, one, two, obliged=False)
    world.task("C", both, two, one, obliged=False)
"""
    shown = suite(pytester, text).stdout.str()
    assert "Broken: violated: lock-order" in shown
    (schedule,) = set(re.findall(r"--kmodel-replay '(\S+)'", shown))
    again = pytester.runpytest_subprocess("--kmodel-replay", schedule)
    again.assert_outcomes(failed=1)
    assert "Broken: lock-order: B holds one" in again.stdout.str()


def test_settings_of_the_machine_that_cannot_be_are_said(pytester: pytest.Pytester) -> None:
    text = """
from kmodel import Machine

@kmodel.check(fix="populat")
def test_fix(m: Machine):
    pass

@kmodel.check(params={"cpu": 1})
def test_params(m: Machine):
    pass

@kmodel.check(params={"cpus": 1})
def test_bare(w: World):
    pass
"""
    ran = suite(pytester, text)
    ran.assert_outcomes(failed=3)
    shown = ran.stdout.str()
    assert shown.count("Wrong: scenario-error") >= 3
    assert "no fix 'populat'. Did you mean 'populate'" in shown
    assert "cpu: no such parameter" in shown
    assert "params= is for a function that takes a Machine, and test_bare takes none" in shown


def test_a_search_that_is_too_large_still_tells_of_a_race() -> None:
    """It had no time left to judge races; some runs are looked through."""

    async def add(cell: Cell) -> None:
        await pause()
        cell.value += 1

    def build(world: World) -> None:
        with world:
            cell = Cell(0)
        world.task("A", add, cell)
        world.task("B", add, cell)

    early = attrs.evolve(search(build), verdict="inconclusive", kind=None, found=(), within=False)
    with pytest.raises(Broken, match=r"data-race: [AB] and [AB] touch cell0\.value"):
        _judge(build, early)


@pytest.mark.parametrize("options", [(), ("--kmodel-runs", "20")])
def test_a_check_may_assert(pytester: pytest.Pytester, options: tuple[str, ...]) -> None:
    """As tests do: what is not so is a bug, and no mistake of the test's."""
    text = """
@kmodel.check
def test_it(world: World):
    counter = Counter()
    world.task("A", add, counter)
    world.task("B", add, counter)

    def both_count():
        assert counter.value == 2

    world.check("sum", both_count, when="end")
"""
    shown = suite(pytester, text, *options).stdout.str()
    assert "Broken: " in shown
    assert "assertion failed in both_count (test_it.py, line" in shown
    assert "assert 1 == 2" in shown
    assert "where 1 = <test_it.Counter object>.value" in shown
    assert "which is no bug found" not in shown


def test_of_a_long_run_the_end_is_shown_where_it_breaks(pytester: pytest.Pytester) -> None:
    text = """
async def adds(counter):
    for _ in range(30):
        await add(counter)

@kmodel.check
def test_it(world: World):
    counter = Counter()
    world.task("A", adds, counter)
    world.check("few", lambda: "too many" if counter.value == 30 else None)
"""
    shown = suite(pytester, text).stdout.str()
    assert "A task.start" in shown
    assert re.search(r"\.\.\. \d+ more", shown)
    assert "A inv.violation property=few text=too many" in shown


def test_a_lost_update_is_told_with_its_values_and_the_name_of_its_check(
    pytester: pytest.Pytester,
) -> None:
    text = """
@shared
class Account:
    lock: Mutex
    balance: int
    def __init__(self):
        self.lock, self.balance = Mutex("account"), 0
    async def get(self):
        await self.lock.enter()
        balance = self.balance
        await self.lock.leave()
        return balance
    async def put(self, balance):
        await self.lock.enter()
        self.balance = balance
        await self.lock.leave()

async def deposit(account, amount):
    await account.put(await account.get() + amount)

@kmodel.check
def test_it(world: World):
    account = Account()
    world.task("A", deposit, account, 5)
    world.task("B", deposit, account, 7)
    wrong = lambda: None if account.balance == 12 else f"balance is {account.balance}"
    world.check("money", wrong, when="end")
"""
    shown = suite(pytester, text).stdout.str()
    assert re.search(r"check 'money': balance is [57]\n", shown)
    for who in "AB":
        assert re.search(rf"{who} reads account0.balance=0\n", shown)
    assert re.search(r"A writes account0.balance=5\n", shown)
    assert re.search(r"B writes account0.balance=7\n", shown)
    at = [shown.index(word) for word in ("mutex.enter", "reads account0", "mutex.leave")]
    assert at == sorted(at), "an access is told where it is made"


def test_methods_of_every_kind_are_tests(pytester: pytest.Pytester) -> None:
    text = """
class TestKinds:
    @kmodel.check
    @staticmethod
    def test_static(world: World):
        world.task("A", both, Mutex("one"), Mutex("two"))

    @staticmethod
    @kmodel.check
    def test_static_too(world: World):
        world.task("A", both, Mutex("one"), Mutex("two"))

    @kmodel.check
    @classmethod
    def test_class(cls, world: World):
        world.task("A", both, Mutex("one"), Mutex("two"))

    @classmethod
    @kmodel.check
    def test_class_too(cls, world: World, tmp_path):
        world.task("A", both, Mutex("one"), Mutex("two"))
"""
    suite(pytester, text).assert_outcomes(passed=4)


def test_what_hypothesis_draws_is_a_story_each(pytester: pytest.Pytester) -> None:
    text = """
from hypothesis import given, settings, strategies as st

@settings(deadline=None, max_examples=20, derandomize=True)
@given(first=st.booleans(), second=st.booleans())
@kmodel.check
def test_it(world: World, first, second):
    one, two = Mutex("one"), Mutex("two")
    for name, turned in (("A", first), ("B", second)):
        world.task(name, both, *((two, one) if turned else (one, two)))
"""
    ran = suite(pytester, text)
    ran.assert_outcomes(failed=1)
    shown = ran.stdout.str()
    assert "Broken: violated: deadlock" in shown
    assert re.search(r"first=(True|False),\n.*second=(True|False),\n", shown)


def test_types_may_be_there_for_type_checkers_only(pytester: pytest.Pytester) -> None:
    text = """from __future__ import annotations
from typing import TYPE_CHECKING
import kmodel
from kmodel.sync.mutex import Mutex
if TYPE_CHECKING:
    from pathlib import Path
    from kmodel import World

@kmodel.check
def test_named(world: World, tmp_path: Path) -> None:
    world.task("A", Mutex("one").enter)

@kmodel.check
def test_dotted(made: kmodel.World, tmp_path: Path) -> None:
    made.task("A", Mutex("one").enter)
"""
    pytester.makepyfile(test_typed=text)
    pytester.runpytest_subprocess("test_typed.py").assert_outcomes(passed=2)


def a_story(world: World) -> None:
    pass


def yields(world: World) -> Iterator[None]:
    yield


def late(tmp_path: Path, world: World) -> None:
    pass


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (yields, "yields yields: a story is built at one go"),
        (late, "late: its first parameter must be 'world: "),
        (given(world=st.none())(a_story), "a_story: write @given above @kmodel.check"),
        (3, "kmodel.check makes tests of functions, and 3 is none"),
    ],
)
def test_what_can_be_no_test_is_refused_where_it_is_written(function: Any, said: str) -> None:
    with pytest.raises(TypeError, match=re.escape(said)):
        check(function)


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"preemptions": -1}, "preemptions must be a whole number from 0 on: -1"),
        ({"preemptions": "2"}, "preemptions must be a whole number from 0 on: '2'"),
        ({"delays": 0.5}, "delays must be a whole number from 0 on: 0.5"),
        ({"preemptions": 1, "delays": 1}, "give preemptions or delays, not both"),
        ({"runs": 0}, "runs must be a whole number from 1 on: 0"),
        ({"states": 0}, "states must be a whole number from 1 on: 0"),
        ({"seconds": 0}, "seconds must be above 0: 0"),
        ({"seconds": float("nan")}, "seconds must be above 0: nan"),
        ({"runs": 3, "strategy": "rnadom"}, "strategy must be one of random, pct"),
    ],
)
def test_limits_that_are_none_are_refused_where_they_are_written(
    limits: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(f"kmodel.check: {said}")):
        check(**limits)


CTRL_C = """
import signal
from pathlib import Path
from kmodel.testing import ConcurrentStateMachine, concurrent

def ctrl_c(counter):
    if counter.value > 1 and not Path("pressed").exists():
        Path("pressed").touch()
        signal.raise_signal(signal.SIGINT)

async def adds(counter):
    for _ in range(30):
        await add(counter)
"""


@pytest.mark.parametrize(
    "text",
    [
        """
@kmodel.check
def test_it(world: World):
    counter = Counter()
    for name in "ABC":
        world.task(name, adds, counter)
    world.check("pressed", lambda: ctrl_c(counter))
""",
        """
class It(ConcurrentStateMachine):
    def make(self):
        return Counter()
    def always(self, counter):
        ctrl_c(counter)
    @concurrent()
    @staticmethod
    async def more(counter):
        await adds(counter)
TestIt = It.TestCase
""",
    ],
)
def test_a_ctrl_c_in_a_search_ends_all_tests(pytester: pytest.Pytester, text: str) -> None:
    """It is no limit of the one test that was searched."""
    ran = suite(pytester, f"{CTRL_C}{text}\ndef test_next():\n    pass\n")
    assert ran.ret == pytest.ExitCode.INTERRUPTED
    assert "KeyboardInterrupt" in ran.stdout.str()
    assert "passed" not in ran.stdout.str()
    assert "failed" not in ran.stdout.str()


def test_more_tasks_than_a_schedule_can_name_are_refused(pytester: pytest.Pytester) -> None:
    """And the coroutines that nobody ran say nothing of it."""
    text = """
@kmodel.check
def test_many():
    return [both(Mutex("one"), Mutex("two")) for _ in range(300)]

@kmodel.check
def test_twice():
    once = both(Mutex("one"), Mutex("two"))
    return [once, once]
"""
    pytester.makeini("[pytest]\nfilterwarnings = error\n")
    ran = suite(pytester, text)
    ran.assert_outcomes(failed=2)
    shown = ran.stdout.str()
    assert "more than 256 tasks" in shown
    assert "has already begun, or is another task's too" in shown
    assert "never awaited" not in shown + ran.stderr.str()


def test_objects_are_called_by_name_and_not_by_address(pytester: pytest.Pytester) -> None:
    text = """
@shared
class Link:
    next: Atomic["Link | None"]
    seen: object
    def __init__(self):
        self.next, self.seen = None, None
    @operation(event="link.set")
    def set(self, others):
        self.next = others[0]

async def links(one, other):
    await one.set((other, None))
    one.seen = other

@kmodel.check
def test_it(world: World):
    one, other = Link(), Link()
    world.task("A", links, one, other)
    world.check("none", lambda: "linked" if one.next is other else None, when="end")
"""
    shown = suite(pytester, text).stdout.str()
    assert re.search(r"A link.set others=\(link1, None\)\n", shown)
    assert "A writes link0.seen=link1\n" in shown
    assert " at 0x" not in shown
