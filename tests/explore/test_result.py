"""The explorer as a library: worlds from functions, without a kernel."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from kmodel.explore import Schedule, replay, sample, search
from kmodel.explore.tree import Divergence
from kmodel.point import Loop, pause
from kmodel.shared import shared
from kmodel.sync.mutex import Mutex
from kmodel.world import ScenarioError, World, curcpu


@shared
class Counter:
    value: int

    def __init__(self) -> None:
        self.value, self.mtx = 0, Mutex("counter")


async def count(counter: Counter, lock: bool) -> None:
    if lock:
        await counter.mtx.enter()
    else:
        await pause()
    counter.value += 1
    if lock:
        await counter.mtx.leave()


def counting(*locks: bool) -> Any:
    def build(world: World) -> None:
        counter = Counter()
        for number, lock in enumerate(locks):
            world.task(f"T{number}", count, counter, lock)
        world.check(
            "all counted", lambda: None if counter.value == len(locks) else "lost", when="end"
        )

    return build


async def opposite(first: Mutex, second: Mutex) -> None:
    await first.enter()
    await second.enter()
    await second.leave()
    await first.leave()


def embrace(world: World) -> None:
    one, two = Mutex("one"), Mutex("two")
    world.task("A", opposite, one, two)
    world.task("B", opposite, two, one)


def spinning(world: World) -> None:
    lock = Mutex("lock")

    async def spin() -> None:
        loop = Loop()
        while not await lock.try_enter():
            loop.head()
        await lock.leave()

    async def keep() -> None:
        await lock.enter()
        await lock.enter()

    world.task("spinner", spin)
    world.task("keeper", keep)


def test_what_holds_says_how_much_was_covered() -> None:
    result = search(counting(True, True))
    assert (result.verdict, result.kind, result.schedule) == ("holds", None, None)
    assert result.complete
    assert result.states > 5
    assert "complete; " in str(result)


def test_a_race_is_found_with_a_run_that_shows_it() -> None:
    result = search(counting(True, False))
    assert (result.verdict, result.kind) == ("violated", "data-race")
    assert {"T0", "T1"} < set(result.found[0].culprits)
    assert result.schedule is not None
    assert replay(counting(True, False), result.schedule).kind == "done"


def test_a_deadlock_is_replayed_event_by_event() -> None:
    result = search(embrace)
    heard: list[tuple[int, str]] = []

    def hear(step: int, task: int, cause: int | None, event: str, fields: dict[str, Any]) -> int:
        heard.append((task, event))
        return len(heard)

    assert result.kind == "deadlock"
    assert result.schedule is not None
    replay(embrace, str(result.schedule), hear)
    assert [task for task, event in heard if event == "mutex.enter"] in ([0, 1], [1, 0])


def test_bounds_on_preemptions_and_delays_say_so() -> None:
    assert "none within 0 preemptions" in search(embrace, preemptions=0).message
    assert search(embrace, preemptions=1).kind == "deadlock"
    assert search(embrace, delays=2).kind == "deadlock"


def test_limits_end_a_search_honestly() -> None:
    result = search(counting(*[True] * 8), states=100)
    assert (result.verdict, result.complete, result.bound) == ("inconclusive", False, "100 states")


def test_samples_are_counted_by_how_they_ended() -> None:
    taken = sample(embrace, strategy="pct", runs=100)
    outcome, schedule = taken.broken["deadlock"]
    assert taken.ended["deadlock"] + taken.ended["done"] == taken.runs == 100
    assert replay(embrace, schedule).kind == outcome.kind == "deadlock"
    assert 1 < taken.traces < 20
    assert 0 <= taken.next_new < 0.5


def test_a_schedule_survives_being_written_down() -> None:
    for text in ("", "0,1,1", "0,1(1,0)", "12(3)"):
        assert str(Schedule.parse(text)) == text
    for text in ("0,1(", "0)1", "0,x", "0,,1", "300"):
        with pytest.raises(ValueError, match=r".+"):
            Schedule.parse(text)


def test_a_schedule_that_cannot_be_is_a_divergence() -> None:
    with pytest.raises(Divergence):
        replay(embrace, "0,0,1,1,1")
    with pytest.raises(Divergence, match="does not come back"):
        replay(embrace, "0(0)")


def test_a_world_that_is_wrong_says_what() -> None:
    with pytest.raises(ScenarioError, match="no obliged task"):
        search(lambda world: None)


def test_the_face_loads_no_kernel_and_no_other_library_than_attrs() -> None:
    """Neither Trio nor structlog is needed to explore."""
    code = (
        "import sys, kmodel.explore; kmodel.explore.search; "
        "print([m for m in sys.modules if m.split('.')[0] in ('trio', 'structlog', 'rich', 'click')"
        " or m.startswith(('kmodel.vm', 'kmodel.pmap', 'kmodel.machine', 'kmodel.fault'))])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ran.stdout.strip() == "[]", ran.stdout + ran.stderr


def test_who_runs_is_known_without_a_kernel() -> None:
    seen: list[str] = []

    async def look() -> None:
        seen.append(curcpu().name)

    assert replay(lambda world: world.task("A", look) and None, "0").kind == "done"
    assert seen == ["cpu A"]
