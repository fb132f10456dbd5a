"""What befalls a CPU is data: it happens where the workload says, changes what can be seen, and
shrinks with the rest."""

from __future__ import annotations

from functools import partial
from typing import Any

import attrs
import pytest

from kmodel.explore.drive import drive
from kmodel.explore.graph import Limits, Search
from kmodel.explore.history import Histories
from kmodel.explore.result import Result, search
from kmodel.fuzz.bench import staff
from kmodel.fuzz.judged import judge
from kmodel.fuzz.paste import pasted, story
from kmodel.fuzz.reduce import reduce
from kmodel.fuzz.target import Target, load
from kmodel.fuzz.workload import MISHAPS, Injected, Workload
from kmodel.panic import Panic
from kmodel.point import Loop
from kmodel.settings import UsageError
from kmodel.shared import shared
from kmodel.sync.mutex import IPL_NONE, IPL_VM, Mutex
from kmodel.sync.rwlock import RwLock, rwlock
from kmodel.world import World


@shared
class Bench:
    lock: RwLock
    mutex: Mutex

    def __init__(self, ipl: int) -> None:
        self.lock, self.mutex = rwlock("lock", "wake-all"), Mutex("mutex", ipl)


async def perform(bench: Bench, cpu: int, held: list[Any], name: str, args: Any) -> None:
    if name == "try":
        if not await bench.lock.enter_try(True):
            raise Panic("refused", "invariant")
        await bench.lock.exit()
    elif name == "poll":
        loop = Loop()
        while not await bench.lock.enter_try(True):
            loop.head()
        await bench.lock.exit()
    elif name == "lock":
        await bench.lock.enter(True)
        held.append("lock")
        await bench.lock.exit()
    else:
        await bench.mutex.enter()
        await bench.mutex.leave()


async def handler(bench: Bench, cpu: int) -> None:
    await bench.mutex.enter()
    await bench.mutex.leave()


async def sleeps(bench: Bench, cpu: int) -> None:
    await bench.lock.enter(True)


async def dies(bench: Bench, cpu: int, held: list[Any]) -> None:
    raise Panic(f"cpu{cpu} dies and gives back {held}", "invariant")


def build(
    world: World, workload: Workload, ipl: int = IPL_VM, interrupt: Any = handler, **how: Any
) -> None:
    with world:
        bench = Bench(ipl)
    staff(world, workload, perform, bench, interrupt=interrupt, **how)


OPERATIONS = {"lock": (), "try": (), "poll": (), "mutex": ()}
PLAIN = Target(name="plain", summary="", build=build, params={"size": (1,)}, operations=OPERATIONS)


def workload(operations: list[tuple[int, str]], *injected: tuple[str, str, int, bool]) -> Workload:
    return Workload.of("plain", {"size": 1}, operations, injected)


def found(it: Workload, preemptions: int | None = 0, **how: Any) -> Result:
    return search(lambda world: build(world, it, **how), preemptions=preemptions)


BOTH = [(0, "lock"), (1, "try")]


def test_a_slow_holder_is_met_without_a_preemption() -> None:
    assert found(workload(BOTH)).verdict != "violated"
    assert "refused" in found(workload(BOTH, ("cpu0", "slow", 1, False))).message
    assert found(workload(BOTH, ("cpu0", "slow", 2, False))).verdict != "violated"


def test_from_then_on_is_each_later_one_too() -> None:
    twice = [(0, "mutex"), (0, "lock"), (1, "try")]
    assert found(workload(twice, ("cpu0", "slow", 1, False))).verdict != "violated"
    assert "refused" in found(workload(twice, ("cpu0", "slow", 1, True))).message


@pytest.mark.parametrize("nth", range(1, 5))
def test_an_interrupt_meets_its_own_cpu_where_nothing_masks_it(nth: int) -> None:
    """A mutex that masks is never taken against itself; one that does not can be."""
    one = workload([(0, "mutex")], ("cpu0", "interrupt", nth, False))
    assert found(one, None).verdict == "holds"
    twice = workload([(0, "mutex"), (0, "lock")], ("cpu0", "interrupt", 1, True))
    assert found(twice, None).verdict == "holds"


@pytest.mark.parametrize("nth", range(1, 7))
def test_no_interrupt_comes_between_a_mutex_and_the_sleep_that_lets_it_go(nth: int) -> None:
    """Its handler, which takes the mutex too, would spin for ever."""
    many = [(0, "give", True), (1, "take")]
    injected = [("cpu1", "interrupt", nth, False)]
    assert not judge(load("locks"), Workload.of("locks", {"lock": "mutex"}, many, injected)).shown


def test_an_interrupt_in_a_section_that_does_not_mask_it_is_a_panic() -> None:
    async def section(bench: Bench, cpu: int, held: list[Any], name: str, args: Any) -> None:
        await bench.mutex.enter()
        await bench.lock.enter_try(True)
        await bench.mutex.leave()

    def broken(world: World, ipl: int) -> None:
        it = workload([(0, "mutex")], ("cpu0", "interrupt", 2, False))
        with world:
            bench = Bench(ipl)
        staff(world, it, section, bench, interrupt=handler)

    assert "locks mutex against itself" in search(partial(broken, ipl=IPL_NONE)).message
    assert search(partial(broken, ipl=IPL_VM)).verdict == "holds"


def test_nothing_sleeps_in_an_interrupt() -> None:
    one = workload([(0, "mutex")], ("cpu0", "interrupt", 1, False))
    assert "would sleep holding mutex interrupt level" in found(one, interrupt=sleeps).message


def test_a_thread_that_is_killed_asleep_ends_its_operation_and_gives_back() -> None:
    both = [(0, "lock"), (1, "lock")]
    kill = ("cpu1", "killed", 1, False)
    assert found(workload(both), None).verdict == "holds"
    assert found(workload(both, kill), None, give_back=dies).message.endswith(
        "cpu1 dies and gives back ['lock']"
    )
    assert found(workload([(1, "lock")], kill), None, give_back=dies).verdict == "holds"


@pytest.mark.parametrize("what", MISHAPS)
@pytest.mark.parametrize("on", [False, True])
@pytest.mark.parametrize("nth", [1, 3])
def test_what_is_counted_is_part_of_the_state(what: str, on: bool, nth: int) -> None:
    """Nothing that still matters is forgotten, though locks and loops forget their way."""
    it = workload([(0, "poll"), (0, "lock"), (1, "lock"), (2, "mutex")], ("cpu0", what, nth, on))
    with World() as world:
        build(world, it)
    drive(Search(world, Limits(states=5_000), "bfs", Histories(world, forgetful=False)))
    assert found(it, None).complete


async def panics(bench: Bench, cpu: int, *_: Any) -> None:
    raise Panic("met", "invariant")


@pytest.mark.parametrize(
    ("what", "how", "least"),
    [
        ("slow", {}, [(0, "lock"), (1, "try")]),
        ("interrupt", {"interrupt": panics}, [(0, "lock")]),
        ("killed", {"give_back": panics}, [(0, "lock"), (1, "lock")]),
    ],
)
def test_a_mishap_shrinks_with_its_workload(
    what: str, how: dict[str, Any], least: list[tuple[int, str]]
) -> None:
    def needing(world: World, it: Workload) -> None:
        build(world, it, **how)

    target = attrs.evolve(PLAIN, build=needing, preemptions=0 if what == "slow" else 1)
    large = workload(
        [(2, "lock"), (0, "mutex"), (1, least[-1][1]), (2, "lock"), (1, "mutex")],
        ("cpu2", what, 1, True),
        ("cpu1", "slow", 1, True),
    )
    less = reduce(target, large, judge(target, large).shown[0]).workload
    assert sorted(one.name for one in less.operations) == sorted(name for _, name in least)
    assert len(less.cpus) == len({cpu for cpu, _ in least})
    assert [(one.cause, one.nth, one.on) for one in less.injected] == [(what, 1, False)]


def test_it_is_told_and_pasted() -> None:
    it = Workload.of(
        "pool",
        {"primed": True, "pages": 1, "items": 1, "hardlimit": 0},
        [(1, "get", True), (0, "get", False), (0, "put")],
        [("cpu0", "interrupt", 2, False), ("cpu1", "slow", 1, True), ("cpu1", "killed", 1, False)],
    )
    assert [line for line in it.lines() if line.startswith("injected")] == [
        "injected: cpu0 is interrupted at its open point no. 2",
        "injected: cpu1 is held up with lock no. 1 that it takes and all later ones",
        "injected: cpu1's thread is killed in its sleep no. 1",
    ]
    (shown, *_) = judge(load("pool"), it).shown
    text = pasted(it, shown)
    assert '("cpu0", "interrupt", 2, False)' in text
    told = "\n".join(story(it, shown.schedule))
    assert "intr.begin" in told
    assert "delay.begin" in told


@pytest.mark.parametrize(
    "wrong",
    [
        Injected("cpu0", "slower", 1, False),
        Injected("disk", "slow", 1, False),
        Injected("cpu0", "slow", 0, False),
        Injected("test", "RANGE", 1, False),
    ],
)
def test_what_cannot_be_injected_is_refused(wrong: Injected) -> None:
    params = {"primed": True, "pages": 1, "items": 1, "hardlimit": 0}
    it = Workload.of("pool", params, [(0, "put")], [attrs.astuple(wrong)])
    with pytest.raises(UsageError, match="cannot be injected"):
        load("pool").fits(it)
