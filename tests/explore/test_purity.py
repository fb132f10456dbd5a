"""No real time, no real chance, no endless step: refused in a run, and nowhere else."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kmodel import story
from kmodel.explore.execution import Execution, Outcome, run
from kmodel.explore.graph import Limits, Search
from kmodel.explore.purity import building, pure
from kmodel.explore.strategy import Random
from kmodel.point import pause
from kmodel.world import ScenarioError, World

SHORT = 0.05

REFUSED: dict[str, Callable[[], Any]] = {
    "time.sleep": lambda: time.sleep(0),
    "time.time": lambda: time.time(),
    "time.time_ns": lambda: time.time_ns(),
    "time.monotonic": lambda: time.monotonic(),
    "time.perf_counter": lambda: time.perf_counter(),
    "random.random": lambda: random.random(),
    "random.randint": lambda: random.randint(1, 6),
    "random.choice": lambda: random.choice("ab"),
    "random.shuffle": lambda: random.shuffle([1, 2]),
    "random.seed": lambda: random.seed(1),
}


def world_of(touch: Callable[[], Any]) -> World:
    """One task that calls ``touch`` after a point."""

    async def body() -> None:
        await pause()
        touch()
        await pause()

    world = World()
    world.task("A", body)
    return world


def outcome_of(touch: Callable[[], Any]) -> Outcome:
    return run(Execution(world_of(touch)), Random(0), 100)


@pytest.mark.parametrize("name", REFUSED)
def test_a_task_may_not_use_time_or_chance(name: str) -> None:
    """The run ends as an error of the scenario, which names the task and the call."""
    with pure():
        outcome = outcome_of(REFUSED[name])
    assert outcome.kind == "scenario-error"
    assert f"task A calls {name}()" in outcome.message
    assert ("pause()" in outcome.message) == (name == "time.sleep")


@pytest.mark.parametrize("name", REFUSED)
def test_a_scenario_may_not_use_time_or_chance_while_it_is_built(name: str) -> None:
    """What is built must be a function of the parameters."""
    with pure(), building(), pytest.raises(ScenarioError, match=f"the scenario calls {name}"):
        REFUSED[name]()


@pytest.mark.parametrize("name", REFUSED)
def test_outside_tasks_all_is_as_usual(name: str) -> None:
    """The engine itself, progress bars and tests may look at the clock and draw lots."""
    with pure():
        REFUSED[name]()
        with building():
            pass
        REFUSED[name]()
    assert outcome_of(REFUSED[name]).kind == "done"


def test_a_search_refuses_them_too() -> None:
    """A step in a search is a step: it becomes a panic of the graph."""
    with pure():
        search = Search(world_of(REFUSED["time.time"]), Limits())
        while search.advance(10):
            pass
    (wrong,) = search.graph.violations
    assert wrong.kind == "scenario-error"
    assert "task A calls time.time()" in wrong.message


def test_a_generator_of_ones_own_with_a_seed_is_allowed() -> None:
    """It says the same in every run."""
    with pure():
        assert outcome_of(lambda: random.Random(7).random()).kind == "done"


STORY = '''"""A scenario that draws lots."""
{imported}
from kmodel import pause, scenario


async def draw():
    await pause()
    {call}


@scenario
def drawing(m):
    m.cpu("A", draw)
'''


@pytest.mark.parametrize(
    ("imported", "call", "name"),
    [
        ("from random import randint", "randint(1, 6)", "random.randint"),
        ("from random import random as chance", "chance()", "random.random"),
        ("from time import sleep", "sleep(0)", "time.sleep"),
        ("import time as clock", "clock.time()", "time.time"),
    ],
)
def test_names_imported_from_the_modules_are_refused_too(
    tmp_path: Path, imported: str, call: str, name: str
) -> None:
    """A scenario file is loaded inside, so it gets the refusing functions by any name."""
    from kmodel import fixes
    from kmodel.param import KernelParams

    path = tmp_path / "drawing.py"
    path.write_text(STORY.format(imported=imported, call=call))
    with pure():
        with building():
            loaded = story.load(str(path))
            world = loaded.build({}, KernelParams(), fixes.load("wait"))
        outcome = run(Execution(world), Random(0), 1000)
    assert outcome.kind == "scenario-error"
    assert f"calls {name}()" in outcome.message


# put back


@pytest.fixture
def untouched() -> Iterator[None]:
    """What the modules hold, and the signal's handler, must be the same after the test."""

    def held() -> list[Any]:
        of_random = [getattr(random, name) for name in random.__all__]
        of_time = [time.sleep, time.time, time.monotonic, time.perf_counter]
        return [*of_random, *of_time, signal.getsignal(signal.SIGALRM)]

    before = held()
    yield
    assert held() == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


@pytest.mark.usefixtures("untouched")
def test_all_is_put_back_afterwards() -> None:
    """Functions, handler and timer."""
    with pure():
        assert time.time.__wrapped__ is not None  # type: ignore[attr-defined]
        outcome_of(REFUSED["time.time"])


@pytest.mark.usefixtures("untouched")
def test_all_is_put_back_after_an_error() -> None:
    """The same when what ran inside raised."""
    with pytest.raises(ZeroDivisionError), pure():
        raise ZeroDivisionError


@pytest.mark.usefixtures("untouched")
def test_one_inside_the_other_is_put_back_too() -> None:
    """The inner one gives way to the outer, and that to the real ones."""
    with pure():
        with pure():
            pass
        assert outcome_of(REFUSED["time.sleep"]).kind == "scenario-error"
    assert outcome_of(REFUSED["time.sleep"]).kind == "done"


# steps that never end


def spin() -> None:
    while True:
        pass


def test_a_step_that_never_ends_is_ended() -> None:
    """The message says how long it was watched and what may be missing."""
    with pure(SHORT):
        outcome = outcome_of(spin)
    assert outcome.kind == "scenario-error"
    assert "task A ran for more than 0.05 s without reaching a point" in outcome.message
    assert "await" in outcome.message


def test_a_step_that_never_ends_in_a_search_is_ended() -> None:
    """The search goes on and keeps it as a violation."""
    with pure(SHORT):
        search = Search(world_of(spin), Limits())
        while search.advance(10):
            pass
    assert [wrong.kind for wrong in search.graph.violations] == ["scenario-error"]


def test_a_build_that_never_ends_is_ended() -> None:
    """A scenario that loops while it is built is told so."""
    with pure(SHORT), building(), pytest.raises(ScenarioError, match="the scenario ran for more"):
        spin()


def test_many_short_steps_may_take_long() -> None:
    """It is single steps that are watched, not the run."""

    async def body() -> None:
        for _ in range(2000):
            await pause()
            sum(range(2000))

    world = World()
    world.task("A", body)
    with pure(SHORT):
        began = time.perf_counter()
        while time.perf_counter() - began < 4 * SHORT:
            assert run(Execution(world), Random(0), 5000).kind == "done"


def test_what_is_no_step_may_take_long() -> None:
    """Between the runs the caller may do what it likes."""
    with pure(SHORT):
        began = time.perf_counter()
        while time.perf_counter() - began < 4 * SHORT:
            pass


def test_off_the_main_thread_steps_are_not_watched_but_calls_are_refused() -> None:
    """Signals reach the main thread only; the rest works anywhere."""
    found: list[Outcome] = []

    def work() -> None:
        with pure(SHORT):
            found.append(outcome_of(REFUSED["time.time"]))

    before = signal.getsignal(signal.SIGALRM)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found[0].kind == "scenario-error"
    assert signal.getsignal(signal.SIGALRM) is before
