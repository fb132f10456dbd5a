"""Campaigns: what is found is kept, made smaller, told apart, and the same for a seed."""

from __future__ import annotations

import signal
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest

from kmodel.explore.linear import Linear
from kmodel.fuzz.campaign import Campaign
from kmodel.fuzz.reduce import cost
from kmodel.fuzz.stored import Stored
from kmodel.fuzz.target import Target, load, names, with_pinned
from kmodel.fuzz.workload import Workload
from kmodel.point import operation
from kmodel.shared import Atomic, shared
from kmodel.world import ScenarioError, World


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


def slow(world: World, workload: Workload) -> None:
    sum(range(1_000_000))
    quiet(world, workload)


def quiet(world: World, workload: Workload) -> None:
    with world:
        counter = Counter()
    for cpu in workload.cpus:
        world.task(f"cpu{cpu}", work, counter, workload.of_cpu(cpu))


def test_each_target_has_a_fair_share_of_the_time() -> None:
    targets = [attrs.evolve(TORN, name="quick", build=quiet, most=3)]
    targets += [attrs.evolve(TORN, name="slow", build=slow, most=3)]
    made = Campaign(targets, minutes=0.1)
    made.run()
    quick, other = made.tallies["quick"], made.tallies["slow"]
    assert 5.5 < made.seconds < 9
    assert quick.examples > 2 * other.examples > 10
    assert abs(quick.seconds - other.seconds) < 2.5


def test_what_a_target_cannot_use_goes_to_the_others() -> None:
    """One is wrong, and one has few workloads, all of which are soon drawn."""

    def wrong(world: World, workload: Workload) -> None:
        raise ScenarioError("no such thing")

    few = {"cpus": 2, "most": 1, "fails": (), "mishaps": (), "operations": {"look": ()}}
    targets = [attrs.evolve(TORN, name="wrong", build=wrong), attrs.evolve(TORN, name="few", **few)]
    made = Campaign([*targets, attrs.evolve(TORN, name="many", build=quiet)], minutes=0.1)
    made.run()
    assert [one.target for one in made.troubles] == ["wrong"]
    assert made.tallies["few"].examples <= 4
    assert made.tallies["many"].seconds > 2.5  # an equal share of the 6 s would be 2


def test_a_bug_of_the_first_workload_of_each_turn_hides_no_other() -> None:
    """Hypothesis begins each turn with the same."""
    first: list[Workload] = []

    def broken(world: World, workload: Workload) -> None:
        first.append(workload)
        build(world, workload)
        world.check("first", lambda: "wrong" if workload == first[0] else None)

    made = campaign(attrs.evolve(TORN, build=broken), examples=200)
    assert {one.signature.property for one in made.failures} == {"first", "sum", "few looks"}
    assert made.tallies["torn"].examples > 100


def test_stored_failures_come_first(tmp_path: Path) -> None:
    stored = Stored(str(tmp_path / "stored"))
    first = campaign(stored=stored)
    assert {one.best[0] for one in first.failures} == set(stored.of(TORN)), "only the smallest"
    again = campaign(stored=stored, again=True, examples=0, seed=99)
    assert {one.signature.property for one in again.failures} == {"sum", "few looks"}
    assert not campaign(stored=stored, examples=0, seed=99).failures


def test_what_is_stored_of_another_machine_than_is_pinned_is_left_alone(tmp_path: Path) -> None:
    stored = Stored(str(tmp_path))
    campaign(stored=stored)
    before = stored.of(TORN)
    (pinned,) = with_pinned([TORN], {"size": 2})
    assert {one.param("size") for one in before} == {1}, "the simplest"
    assert not campaign(pinned, stored=stored, again=True, examples=0).failures
    assert stored.of(TORN) == before


def test_what_breaks_nothing_any_more_is_forgotten(tmp_path: Path) -> None:
    stored = Stored(str(tmp_path))
    campaign(stored=stored)
    mended = attrs.evolve(TORN, build=quiet)
    assert len(campaign(mended, stored=stored, again=True, examples=0).gone) == 2
    assert stored.of(TORN) == []


def test_what_first_broke_stays_stored_until_something_smaller_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full by then takes nothing more."""
    stored, keep = Stored(str(tmp_path)), Stored.keep
    firsts: list[Workload] = []

    def first(self: Stored, workload: Workload) -> bool:
        smaller = any(one.so_far and one.best[0] == workload for one in made.failures)
        if not smaller:
            firsts.append(workload)
        return not smaller and keep(self, workload)

    monkeypatch.setattr(Stored, "keep", first)
    made = Campaign([TORN], examples=120, seed=3, stored=stored)
    made.run()
    assert firsts
    assert set(stored.of(TORN)) == set(firsts)


def test_two_stored_hangs_of_one_cause_are_both_there_still(tmp_path: Path) -> None:
    """Though a search goes on past a cause that is known, and then sees nothing."""
    pool, stored = load("pool"), Stored(str(tmp_path))
    for primed, operations in (
        (True, [(1, "get", True), (0, "get", False), (0, "put")]),
        (False, [(0, "get", False), (1, "get", True)]),
    ):
        params = {"primed": primed, "pages": 1, "items": 1 if primed else 2, "hardlimit": 0}
        stored.keep(Workload.of("pool", params, operations))
    made = campaign(pool, stored=stored, again=True, examples=0)
    assert made.gone == []
    assert len(stored.of(pool)) == 2


def test_one_cause_in_two_stored_workloads_is_one_bug(tmp_path: Path) -> None:
    pool, stored = load("pool"), Stored(str(tmp_path))
    params = {"primed": True, "pages": 1, "items": 1, "hardlimit": 0}
    stranded = [(1, "get", True), (0, "get", False), (0, "put")]
    for primed in (True, False):
        stored.keep(Workload.of("pool", params | {"primed": primed}, stranded))
    made = campaign(pool, stored=stored, again=True, examples=0)
    assert [one.seen for one in made.failures] == [2]
    assert len(made.roots) == 1


def test_ctrl_c_keeps_what_there_is(tmp_path: Path) -> None:
    """Also what had become smaller by then."""
    stored, ticks = Stored(str(tmp_path)), []

    def stop(running: Campaign) -> None:
        ticks.extend(one.so_far for one in running.failures if one.so_far)
        if len(ticks) == 5:
            raise KeyboardInterrupt

    made = campaign(tick=stop, stored=stored)
    assert made.interrupted
    (failure,) = [one for one in made.failures if one.so_far]
    assert failure.reduced is None
    assert cost(TORN, *failure.best) < cost(TORN, failure.workload, failure.shown)
    assert failure.best[0] in stored.of(TORN)
    assert len(stored.of(TORN)) == len(made.failures)


def test_a_ctrl_c_in_the_last_moment_of_a_search_ends_the_campaign() -> None:
    """Most searches are so short that they do not look."""
    press = iter([True])

    def pressing(world: World, workload: Workload) -> None:
        quiet(world, workload)

        def once() -> str | None:
            if next(press, False):
                signal.raise_signal(signal.SIGINT)
            return None

        world.check("press", once, when="end")

    made = campaign(attrs.evolve(TORN, build=pressing))
    assert made.interrupted
    assert made.tallies["torn"].examples <= 2


def test_two_symptoms_of_one_workload_are_one_cause() -> None:
    def twice(world: World, workload: Workload) -> None:
        build(world, workload)
        added = [one.args[0] for one in workload.operations if one.name == "add"]
        for name in ("least", "most"):
            world.check(name, partial(_less, world.objects[0], sum(added)), when="end")

    made = campaign(attrs.evolve(TORN, build=twice))
    assert len(made.failures) == 4
    roots = [
        [one.signature.property for one in (root.failure, *root.others)] for root in made.roots
    ]
    assert sorted(map(sorted, roots)) == [["few looks"], ["least", "most", "sum"]]


def test_what_breaks_only_beside_something_smaller_says_so() -> None:
    """A cause and what comes of it, or two things that are wrong: nobody can tell."""

    def more(world: World, workload: Workload) -> None:
        build(world, workload)
        looked = [one.name for one in workload.operations].count("look")
        world.check("fewer looks", lambda: "far too many looks" if looked > 3 else None)

    made = campaign(attrs.evolve(TORN, build=more))
    beside = {
        root.failure.signature.property: [one.signature.property for one in root.beside]
        for root in made.roots
    }
    assert beside == {"sum": [], "few looks": [], "fewer looks": ["few looks"]}


def _less(counter: Counter, total: int) -> str | None:
    return None if counter.value == total else "less than was added"


def only(**wrong: Any) -> Campaign:
    made = campaign(attrs.evolve(TORN, **wrong), examples=20)
    assert not made.failures
    assert len(made.troubles) == 1
    return made


def test_a_target_that_crashes_ends_no_night() -> None:
    """It is told with its traceback, and the others go on."""

    def crashing(world: World, workload: Workload) -> None:
        raise KeyError("mine")

    made = Campaign([attrs.evolve(TORN, name="wrong", build=crashing), TORN], examples=60, seed=3)
    made.run()
    (trouble,) = made.troubles
    assert (trouble.target, trouble.kind) == ("wrong", "crash")
    assert "KeyError: 'mine'" in trouble.message
    assert "in crashing" in trouble.message
    assert made.tallies["torn"].examples > 20
    assert made.failures


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


def test_what_breaks_now_and_then_is_no_bug_found(tmp_path: Path) -> None:
    turns, stored = iter(range(10_000)), Stored(str(tmp_path))

    def flaky(world: World, workload: Workload) -> None:
        quiet(world, workload)
        turn = next(turns)
        world.check("now and then", lambda: "wrong" if 40 < turn < 50 else None, when="end")

    made = campaign(attrs.evolve(TORN, build=flaky), stored=stored)
    assert not made.failures
    assert [one.kind for one in made.troubles] == ["nondeterminism"]
    assert stored.of(TORN) == []


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
