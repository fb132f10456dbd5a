"""Campaigns: what is found is kept, made smaller, told apart, and the same for a seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest

from kmodel.explore.linear import Linear
from kmodel.fuzz.campaign import Campaign
from kmodel.fuzz.target import Target, load, names
from kmodel.fuzz.workload import Workload
from kmodel.point import operation
from kmodel.shared import Atomic, shared
from kmodel.world import World


@shared
class Counter:
    """A torn add loses updates; two resets in a row are refused."""

    value: Atomic[int]

    def __init__(self) -> None:
        self.value = 0

    @operation(event="cell.read")
    def read(self) -> int:
        return self.value

    @operation(event="cell.write")
    def write(self, value: int) -> None:
        self.value = value


async def work(counter: Counter, mine: tuple[Any, ...]) -> None:
    for one in mine:
        if one.name == "add":
            await counter.write(await counter.read() + one.args[0])
        else:
            await counter.read()


def build(world: World, workload: Workload) -> None:
    with world:
        counter = Counter()
    for cpu in workload.cpus:
        world.task(f"cpu{cpu}", work, counter, workload.of_cpu(cpu))
    total = sum(one.args[0] for one in workload.operations if one.name == "add")
    lost = "an update is lost"
    world.check("sum", lambda: None if counter.value == total else lost, when="end")
    many = sum(one.name == "look" for one in workload.operations) > 2
    world.check("few looks", lambda: "too many looks" if many else None)


TORN = Target(
    name="torn",
    summary="a counter",
    build=build,
    params={"size": (1, 2)},
    operations={"look": (), "add": ((1, 2, 3),)},
)


def campaign(target: Target = TORN, **how: Any) -> Campaign:
    made = Campaign([target], **{"examples": 120, "seed": 3, **how})
    made.run()
    return made


def test_two_bugs_are_told_apart_and_each_made_as_small_as_it_gets() -> None:
    """Fewest CPUs first: the looks need one, the lost update two and one preemption."""
    found = {one.signature.property: one for one in campaign().failures}
    assert set(found) == {"sum", "few looks"}
    workload, shown = found["sum"].best
    assert [(one.name, one.args) for one in workload.operations] == [("add", (1,))] * 2
    assert (len(workload.cpus), shown.preemptions, workload.param("size")) == (2, 1, 1)
    looks, _ = found["few looks"].best
    assert (len(looks.cpus), [one.name for one in looks.operations]) == (1, ["look"] * 3)


def test_a_seed_gives_the_same_again() -> None:
    first, second = campaign(), campaign()
    assert [one.best for one in first.failures] == [one.best for one in second.failures]
    assert first.tallies["torn"].steps == second.tallies["torn"].steps


def test_the_budget_is_shared_and_kept() -> None:
    made = Campaign([TORN, attrs.evolve(TORN, name="other")], examples=31)
    made.run()
    done = [tally.examples + tally.repeated for tally in made.tallies.values()]
    assert sum(done) in range(31, 36)  # Hypothesis runs what fails once more
    assert min(done) >= 15


def test_minutes_end_it() -> None:
    made = campaign(examples=None, minutes=0.01)
    assert 0.5 < made.seconds < 5


def test_stored_failures_come_first(tmp_path: Path) -> None:
    folder = str(tmp_path / "stored")
    assert campaign(database=folder).failures
    again = campaign(database=folder, stored=True, examples=1, seed=99)
    assert {one.signature.property for one in again.failures} == {"sum", "few looks"}
    assert not campaign(database=folder, examples=1, seed=99).failures


def test_ctrl_c_keeps_what_there_is() -> None:
    def stop(running: Campaign) -> None:
        if running.failures:
            raise KeyboardInterrupt

    made = campaign(tick=stop)
    assert made.interrupted
    assert made.failures


def only(**wrong: Any) -> Campaign:
    made = campaign(attrs.evolve(TORN, **wrong), examples=20)
    assert not made.failures
    assert len(made.troubles) == 1
    return made


def test_an_oracle_that_raises_is_no_bug_found() -> None:
    def raising(world: World, workload: Workload) -> None:
        build(world, workload)
        world.check("oracle", lambda: str(1 // 0))

    (trouble,) = only(build=raising).troubles
    assert trouble.kind == "scenario-error"
    assert "check 'oracle' raised ZeroDivisionError" in trouble.message


def test_a_specification_that_raises_is_no_bug_found() -> None:
    def specified(world: World, workload: Workload) -> None:
        with world:
            linear = Linear("it", lambda state, name, args: state.nothing, 0)
        world.task("A", _do_nothing, linear)

    (trouble,) = only(build=specified).troubles
    assert trouble.kind == "scenario-error"
    assert "the specification of it raised AttributeError" in trouble.message


async def _do_nothing(linear: Linear) -> None:
    await linear.do("nothing", (), _nothing)


async def _nothing() -> None:
    pass


def test_an_invariant_with_side_effects_is_no_bug_found() -> None:
    def writing(world: World, workload: Workload) -> None:
        with world:
            counter = Counter()
        world.task("A", work, counter, workload.operations)
        world.check("writes", lambda: setattr(counter, "value", 7))

    (trouble,) = only(build=writing).troubles
    assert trouble.kind == "scenario-error"
    assert "checks may only read" in trouble.message


def test_a_target_that_differs_each_time_is_no_bug_found() -> None:
    turns = iter(range(10_000))

    def flaky(world: World, workload: Workload) -> None:
        with world:
            counter = Counter()
            counter.value = next(turns)
        world.task("A", branching, counter)

    (trouble,) = only(build=flaky).troubles
    assert trouble.kind == "nondeterminism"


async def branching(counter: Counter) -> None:
    for _ in range(await counter.read() % 3):
        await counter.read()


def test_a_task_that_is_not_async_is_no_bug_found() -> None:
    def plain(world: World, workload: Workload) -> None:
        world.task("A", lambda: 3)

    (trouble,) = only(build=plain).troubles
    assert trouble.kind == "scenario-error"
    assert "is not an async function" in trouble.message


@pytest.mark.parametrize("name", names())
def test_each_target_can_be_fuzzed(name: str) -> None:
    """No target is wrong; what it finds can be judged again."""
    made = campaign(load(name), examples=40)
    assert made.troubles == []
    assert made.tallies[name].examples > 20
