"""The story of a run: sentences for each kind of end, on small worlds worked out by hand."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import pytest
import stories
from stories import judged
from worlds import search

from kmodel.case import Case
from kmodel.event import say
from kmodel.explain.decided import decided
from kmodel.explain.ran import Ran
from kmodel.explain.story import MOST, deciding, story
from kmodel.explore.cycle import Fairness
from kmodel.explore.decisive import Decisive, Search
from kmodel.explore.decisive import Event as Done
from kmodel.explore.execution import Execution, run
from kmodel.explore.lasso import Paths
from kmodel.explore.liveness import Liveness
from kmodel.explore.moment import Watch
from kmodel.explore.race import races
from kmodel.explore.schedule import Token, bare, parse
from kmodel.explore.strategy import Replay, RoundRobin
from kmodel.log.record import Header
from kmodel.log.recorder import Recorder, unable
from kmodel.log.stats import Stats
from kmodel.panic import Panic
from kmodel.point import Loop, curtask, operation, pause
from kmodel.shared import Atomic, shared
from kmodel.sync.channel import Channel
from kmodel.sync.mutex import Mutex
from kmodel.sync.rwlock import rwlock
from kmodel.world import World

Build = Callable[[], World]
WEAK, NONE = Fairness("weak", False), Fairness("none", False)


def told(build: Build, kind: str, stem: bytes, loop: bytes = b"", prop: str = "ends") -> list[str]:
    """What is told of that schedule."""
    world = build()
    names = tuple(map(str, world.tasks))
    token = Token("small", {}, "wait", names, bare(stem), bare(loop), "", kind, prop, "", "", "")
    recorder = Recorder.start(Header(scenario="small", tasks=names), keep=True)
    execution = Execution(world, recorder, checks=True)
    execution.at_bound = (kind, "")
    watch = Watch(execution, Replay(stem + loop))
    recorder.close(run(execution, watch, len(stem) + len(loop)))
    return story(Ran(token, execution, watch, recorder.records), build)


def of_hang(build: Build, kind: str, fairness: Fairness = WEAK) -> list[str]:
    """What is told of the hang of that kind."""
    (hang,) = [hang for hang in Liveness(search(build())).hangs(fairness) if hang.kind == kind]
    return told(build, kind, hang.stem, hang.loop)


def put(world: World, *bodies: Callable[[], Awaitable[Any]]) -> World:
    for name, body in zip("ABCD", bodies):
        world.task(name, body)
    return world


def crosswise() -> World:
    with World() as world:
        one, two = Mutex("one"), Mutex("two")

    async def take(first: Mutex, second: Mutex) -> None:
        await first.enter()
        await second.enter()
        await second.leave()
        await first.leave()

    return put(world, lambda: take(one, two), lambda: take(two, one))


@shared
class Counter:
    value: int

    def __init__(self) -> None:
        self.value = 0


# nobody can step


def test_a_deadlock_is_told_with_holders_and_the_cycle() -> None:
    """For each: what it waits for, who holds it since when; then the cycle."""
    assert of_hang(crosswise, "deadlock") == [
        "A spins for two since step 3; two is held by B (since step 3).",
        "B spins for one since step 3; one is held by A (since step 1).",
        "A waits for B, B waits for A: a cycle, and each keeps what the one before it needs.",
        "Nobody can step, so nobody will wake or release anything.",
    ]


def test_a_lock_order_finding_is_told_as_a_deadlock() -> None:
    """It is one."""
    (hang,) = Liveness(search(crosswise())).hangs(WEAK)
    assert told(crosswise, "lock-order", hang.stem)[2].endswith("needs.")


def lost() -> World:
    """A wakes before B sleeps, since B looks at the flag without the lock."""
    with World() as world:
        mutex, ready = Mutex("interlock"), Event("ready")
        chan = Channel("chan", condition=lambda: ready.up)

    async def wait() -> None:
        if not await ready.look():
            await mutex.enter()
            await chan.msleep(mutex)

    async def provide() -> None:
        await ready.put_up()
        await chan.wakeup()

    return put(world, wait, provide)


@shared
class Event:
    name: Final[str]
    up: Atomic[bool]

    def __init__(self, name: str) -> None:
        self.name, self.up = name, False

    @operation(event="flag.look")
    def look(self) -> bool:
        return self.up

    @operation(event="flag.raise")
    def put_up(self) -> None:
        self.up = True

    @operation(lambda self: self.up, event="flag.wait")
    def wait(self) -> None:
        pass


def test_a_lost_wakeup_is_told_with_the_last_wakeup() -> None:
    """Who woke the channel, at which step, and that it was too early."""
    first, last = of_hang(lost, "lost-wakeup")
    assert first.startswith("A is asleep on chan since step ")
    assert "; the last wakeup was B's at step " in first
    assert first.endswith(", before it slept; what it sleeps for is true, and nobody tells it.")
    assert last == "Nobody can step, so nobody will wake or release anything."


def test_a_sleeper_whom_nobody_has_woken_does_not_wait_for_its_interlock() -> None:
    """Whoever holds that is not in its way."""

    def build() -> World:
        with World() as world:
            mutex, chan, flag = Mutex("interlock"), Channel("chan"), Event("flag")

        async def wait() -> None:
            await mutex.enter()
            await chan.msleep(mutex)

        async def keep() -> None:
            await mutex.enter()
            await flag.wait()

        return put(world, wait, keep)

    first, second, *_ = told(build, "deadlock", bytes([0, 0, 0, 1, 1]))
    assert first == "A is asleep on chan since step 2; nobody ever woke it."
    assert second.startswith("B is stuck at flag.wait flag")


def test_what_is_no_lock_and_no_channel_is_told_by_who_touched_it_last() -> None:
    """Any guarded operation can be waited at."""

    def build() -> World:
        with World() as world:
            flag = Event("flag")

        async def wait() -> None:
            await flag.wait()

        async def look() -> None:
            await flag.look()

        return put(world, wait, look)

    assert of_hang(build, "deadlock") == [
        "A is stuck at flag.wait flag since step 0; last there was flag.look by B at step 2.",
        "Nobody can step, so nobody will wake or release anything.",
    ]


def test_a_holder_that_has_ended_is_told_to_have() -> None:
    """Nobody will ever give that lock back."""

    def build() -> World:
        with World() as world:
            lock = Mutex("lock")
        return put(world, lock.enter, lock.enter)

    (first, _) = told(build, "deadlock", bytes([0, 0, 1]))
    assert first == (
        "B spins for lock since step 2; lock is held by A (since step 1, and has ended)."
    )


def test_a_deadlock_of_some_tells_that_the_others_cannot_help() -> None:
    """A and B are stuck while C goes round."""

    def build() -> World:
        world = crosswise()

        async def spin() -> None:
            loop = Loop()
            while True:
                loop.head()
                await pause()

        world.task("C", spin, obliged=False)
        return world

    sentences = of_hang(build, "deadlock")
    assert [one for one in sentences if one.startswith("A is blocked all along: it spins for")]
    assert "C takes 1 of the steps." in sentences
    assert sentences[-2].startswith("A waits for B, B waits for A: a cycle")
    assert sentences[-1] == ("Whatever the others do from here on, A and B can never step again.")


def test_many_tasks_are_told_in_few_sentences() -> None:
    """Never more than a screen can show."""

    def build() -> World:
        with World() as world:
            lock = Mutex("lock")

        async def take() -> None:
            await lock.enter()
            await pause()

        for number in range(20):
            world.task(f"T{number}", take)
        return world

    sentences = told(build, "deadlock", bytes([*range(20), 0, 0]))
    assert len(sentences) == MOST
    assert sentences[-1].startswith("... and ")


# loops


def tries(policy: str = "wake-all") -> World:
    """A tries a lock until it has it, and says each failure; K takes it again and again."""
    with World() as world:
        lock = rwlock("map", policy)

    async def try_on() -> None:
        loop = Loop()
        while True:
            loop.head()
            if await lock.enter_try(True):
                return
            say("fault.restart", va="0x1000")

    async def take() -> None:
        loop = Loop()
        while True:
            loop.head()
            await lock.enter(True)
            await lock.exit()

    world.task("A", try_on)
    world.task("K", take, obliged=False)
    return world


def test_a_livelock_is_told_with_what_was_refused_and_who_held_it() -> None:
    """The holder is right although K's CPU has struck the lock off its list already."""
    sentences = of_hang(tries, "livelock")
    assert sentences[0].endswith("steps goes round for ever.")
    assert "A takes " in sentences[1]
    assert "lock.try map is refused at step " in sentences[1]
    assert "(held by K since step " in sentences[1]
    assert "fault.restart at step " in sentences[1]
    assert sentences[2].startswith("K takes ")
    assert "map at step" in sentences[2]
    assert sentences[-1] == "The loop survives strong fairness and lock-grant."


def test_a_loop_that_only_unfairness_allows_says_so() -> None:
    """B could step all along."""

    def build() -> World:
        with World() as world:
            flag = Event("flag")

        async def spin() -> None:
            loop = Loop()
            while not await flag.look():
                loop.head()

        async def put_up() -> None:
            await flag.put_up()

        return put(world, spin, put_up)

    sentences = of_hang(build, "livelock", NONE)
    assert (
        "B need not move from flag.raise flag only if nothing is fair: it could step all along."
        in (sentences)
    )
    assert sentences[-1] == "The loop survives no fairness and lock-grant."


def starving(grant: bool) -> World:
    """A waits for a lock without a queue that K takes again and again."""
    with World() as world:
        lock = Grabbed("lock")

    async def take() -> None:
        await (lock.sleep(curtask()) if grant else lock.spin(curtask()))

    async def churn() -> None:
        loop = Loop()
        while True:
            loop.head()
            await lock.spin(curtask())
            await lock.drop()

    world.task("A", take)
    world.task("K", churn, obliged=False)
    return world


@shared
class Grabbed:
    name: Final[str]
    owner: Atomic[Any]

    def __init__(self, name: str) -> None:
        self.name, self.owner = name, None

    @operation(
        lambda self, task: self.owner is None,
        event="lock.sleep",
        grant=lambda self, task: self.owner is None,
    )
    def sleep(self, task: Any) -> None:
        self.owner = task

    @operation(lambda self, task: self.owner is None, event="lock.spin")
    def spin(self, task: Any) -> None:
        self.owner = task

    @operation(event="lock.release")
    def drop(self) -> None:
        self.owner = None


@pytest.mark.parametrize("grant", [False, True])
def test_one_that_could_step_at_times_survives_weak_fairness(grant: bool) -> None:
    """With a state in which it cannot; a sleeper on a lock that comes free is denied it."""
    sentences = told_first(lambda: starving(grant))
    assert any("it could step at times, but not at step " in one for one in sentences)
    end = ", not lock-grant: the lock that A sleeps on comes free." if grant else " and lock-grant."
    assert sentences[-1] == f"The loop survives weak fairness{end}"


def told_first(build: Build) -> list[str]:
    hang = Liveness(search(build())).hangs(WEAK)[0]
    return told(build, hang.kind, hang.stem, hang.loop)


# one moment


def test_a_race_is_told_by_its_accesses_and_their_locks() -> None:
    """Each access with its step, and the locks held at it; not those of another moment."""

    def build() -> World:
        with World() as world:
            counter, lock = Counter(), rwlock("lock", "wake-all")

        async def careful() -> None:
            await lock.enter(True)
            counter.value += 1
            await lock.exit()

        async def careless() -> None:
            await pause()
            counter.value += 1

        return put(world, careful, careless)

    graph = search(build())
    (race,) = races(graph)
    sentences = told(build, "data-race", Paths(graph).to(race.state) + race.path)
    assert len(sentences) == 3
    assert {one.split(" in step")[0] for one in sentences[:2]} == {
        "A writes counter0.value",
        "B writes counter0.value",
    }
    held = {one[0]: one.split("holding ")[1] for one in sentences[:2]}
    assert held == {"A": "lock.", "B": "no lock."}
    assert sentences[2].startswith("Nothing orders the two (they hold no lock in common): ")


def test_a_panic_is_told_with_who_held_what() -> None:
    """At that moment, and since when."""

    def build() -> World:
        with World() as world:
            one, two = Mutex("one"), Mutex("two")

        async def fall() -> None:
            await one.enter()
            await pause()
            raise Panic("the end")

        async def keep() -> None:
            await two.enter()
            await pause()

        return put(world, fall, keep)

    assert told(build, "panic", bytes([0, 1, 0, 1, 0]), prop="no panic") == [
        "The last step, 4, is A's (task.pause).",
        "Then: the end.",
        "A holds one (since step 2).",
        "B holds two (since step 3).",
    ]


def test_a_failed_check_is_told_with_what_is_wrong() -> None:
    """Also one that is not judged; and that nobody holds a lock."""

    def build() -> World:
        with World() as world:
            counter = Counter()
        world.check("few", lambda: "too many" if counter.value else None, judged=False)

        async def count() -> None:
            await pause()
            counter.value += 1
            await pause()

        return put(world, count)

    assert told(build, "invariant", bytes([0, 0]), prop="few") == [
        "The last step, 1, is A's (task.pause).",
        "Then: too many.",
        "Nobody holds a lock.",
    ]


# the kernel


@pytest.mark.parametrize("fix", ["wait", "lock-retry", "populate"])
def test_every_finding_of_the_kernel_has_a_story(fix: str) -> None:
    """And a loop names the fairness that the search names, from the run alone."""
    judge = judged("contended_kernel_map", fix, cpus=1)
    verdict = judge.verdict()
    found = [verdict, *verdict.findings, *verdict.excluded]
    for finding in found:
        if finding.replay is None:
            continue
        token = parse(finding.replay)
        stem, loop = token.schedule()
        sentences = told(judge.case.build, token.kind, stem, loop, token.property)
        assert 2 <= len(sentences) <= MOST
        if finding.survives:
            assert any(f"survives {finding.survives}" in one for one in sentences)


def test_the_livelock_of_the_thread_names_the_holder_of_the_map() -> None:
    """The try that fails, K that holds kernel_map, and the restart."""
    finding = judged("contended_kernel_map", "lock-retry", cpus=1).found.repeating[0]
    assert finding.stem is not None
    stem, loop = finding.stem, finding.loop
    build = judged("contended_kernel_map", "lock-retry", cpus=1).case.build
    (line,) = [one for one in told(build, "livelock", stem, loop) if one.startswith("A takes")]
    assert "lock.try kernel_map is refused" in line
    assert "(held by K since step" in line
    assert "kva.fail" in line
    assert "fault.restart" in line


def test_a_turn_of_one_that_sleeps_and_is_woken_says_so() -> None:
    """The page daemon goes round beside the fault: woken, and asleep again."""
    finding = judged("contended_kernel_map", "wait", cpus=1).found.repeating[0]
    assert finding.stem is not None
    stem, loop = finding.stem, finding.loop
    build = judged("contended_kernel_map", "wait", cpus=1).case.build
    sentences = told(build, "livelock", stem, loop)
    (line,) = [one for one in sentences if one.startswith("pagedaemon takes")]
    assert "chan.woken &uvm.pagedaemon at step" in line


# the pair that decides


def told_of(search: Search, loop: bool = False) -> list[str]:
    return decided(search, ["A", "B"], loop)


def test_a_pair_is_told_with_both_steps() -> None:
    """What never came, and what is of the next lap, is said so."""
    early, late = Done(1, "lock.acquire", "map", 9), Done(0, "lock.try", "map", 12)
    assert told_of(Search(Decisive(early, late, True), 1, False)) == [
        "Had A's `lock.try map` (step 12) come before B's `lock.acquire map` (step 9), the same "
        "run would have ended well (this was run)."
    ]
    never = Done(0, "task.pause", "", None)
    assert told_of(Search(Decisive(early, never, False), 1, False))[0].startswith(
        "Had A's `task.pause` (which it never came to) come before"
    )
    stands = Done(0, "mutex.enter", "m", None, stands=True)
    (line,) = told_of(Search(Decisive(early, stands, False), 1, False))
    assert line.startswith("Had A's `mutex.enter m` (at which it stands in the end) come before")
    wrapped = Done(0, "lock.try", "map", 2, True)
    (line,) = told_of(Search(Decisive(early, wrapped, True, True), 1, False), loop=True)
    assert "`lock.try map` (step 2 of the next lap), in each lap, come before" in line
    assert line.endswith("the loop would have come to a good end (this was run).")


def test_where_no_pair_decides_that_is_said() -> None:
    """With how many were tried; and nothing if none was."""
    (line,) = told_of(Search(None, 1200, True))
    assert line.startswith("No one pair of events decides: none of 1,200 pairs")
    assert told_of(Search(None, 9, False))[0].endswith("made it end well, and there are more.")
    assert told_of(Search(None, 0, True)) == []


KERNEL: Final = {
    "wait": {
        "lost-wakeup": ("pagedaemon", "chan.sleep &uvm.pagedaemon", "A", "chan.wakeup"),
        "livelock": ("A", "lock.try kernel_map", "K", "lock.acquire kernel_map"),
        "invariant": ("A", "lock.try kernel_map", "K", "lock.acquire kernel_map"),
    },
    "lock-retry": {
        "livelock": ("A", "lock.try kernel_map", "K", "lock.acquire kernel_map"),
        "starvation": ("A", "lock.contended kernel_map", "K", "lock.acquire kernel_map"),
    },
    "populate": {"starvation": ("A", "lock.contended kernel_map", "K", "lock.acquire kernel_map")},
}
"""What decides: the page daemon asleep before it is woken; the try before the map is taken;
the waiter's look before the newcomer barges in."""


@pytest.mark.parametrize("fix", KERNEL)
def test_the_pairs_of_the_kernel(fix: str) -> None:
    """Of each counterexample of the thread's story."""
    judge = judged("contended_kernel_map", fix, cpus=1)
    verdict = judge.verdict()
    worst = [judge.worst] if judge.worst else []
    seen: dict[str, list[str]] = {}
    for finding in (*worst, *verdict.findings, *verdict.excluded):
        if finding.replay is not None:
            search = deciding(parse(finding.replay), judge.case.build)
            seen.setdefault(finding.kind, decided(search, judge.found.names, False))
    for kind, (late, does, early, did) in KERNEL[fix].items():
        (line,) = seen[kind]
        assert line.startswith(f"Had {late}'s `{does}` (step "), line
        assert f" come before {early}'s `{did}" in line, line


def barged() -> World:
    """A sleeps on a lock, is woken, and finds it taken again."""
    with World() as world:
        lock, flag = rwlock("lock", "wake-all"), Event("flag")

    async def wait() -> None:
        await lock.enter(True)

    async def keep(twice: bool) -> None:
        await lock.enter(True)
        if twice:
            await lock.exit()
            await lock.enter(True)
        await flag.wait()

    return put(world, wait, lambda: keep(True))


@pytest.mark.parametrize(("build", "schedule"), [(barged, b"\1\1\0\0\1\1\0"), (crosswise, b"")])
def test_a_story_and_the_numbers_say_the_same_since(build: Build, schedule: bytes) -> None:
    """A sleeper waits from its first refusal, though it was woken in vain; a CPU spins from
    where another took the mutex at which it stood."""
    if not schedule:
        (hang,) = Liveness(search(build())).hangs(WEAK)
        schedule = hang.stem
    first, *_ = told(build, "deadlock", schedule)
    world = build()
    names = tuple(map(str, world.tasks))
    recorder = Recorder.start(Header(scenario="small", tasks=names), keep=True)
    execution = Execution(world, recorder)
    recorder.close(run(execution, Replay(schedule), 1000), unable(execution))
    stats = Stats(names, {})
    for record in recorder.records:
        stats.add(record)
    stats.close(recorder.records[-1])
    (since,) = [kept.since for kept in stats.kept if kept.task == "A"]
    assert since == 3
    assert f" since step {since}; " in first


# what is dropped

DROPPED = '''"""A CPU faults and drops something; another faults and drops nothing."""
from kmodel import Machine, scenario


async def lose(m, space):
    await space.fault(0x40_0000, write=True)
    await DROP


@scenario
def dropped(m: Machine) -> None:
    space = m.process()
    m.cpu("A", space.fault(0x20_0000, write=True))
    m.cpu("B", lose, m, space)
'''
DROPS: Final = {
    "pted pool": "m.kernel.pmap_pools.pted_pool.get(True)",
    "anonpl pool": "m.kernel.anons.uvm_analloc()",
    "vp pool": "m.kernel.pmap_pools.vp_pool.get(True)",
    "physical memory": "m.physmem.getpages(1, waitok=True, usereserve=False)",
}


@pytest.mark.parametrize("pool", DROPS)
def test_a_leak_is_told_by_who_dropped_what(pool: str, tmp_path: Path) -> None:
    """Of all that is out only what nothing refers to: the rest is linked, and in use."""
    text = DROPPED.replace("DROP", DROPS[pool])
    case = Case.of(stories.write(tmp_path, text), {}, None)
    execution = Execution(case.build(), checks=True)
    outcome = run(execution, RoundRobin(1), 500)
    assert outcome.kind == "leak"
    said = told(case.build, "leak", bytes(execution.choices), prop="no leak")
    (one,) = [line for line in said if " took " in line]
    assert one.startswith("B took ")
    assert f" from {pool} at step " in one
    assert one.endswith(" and has ended; it was not given back, and nothing refers to it.")


def test_what_a_thread_that_goes_on_holds_is_not_called_dropped(tmp_path: Path) -> None:
    """A background thread is cut where the others have ended."""
    text = DROPPED.replace("DROP", DROPS["pted pool"] + "\n    while True:\n        await pause()")
    text = text.replace("await space.fault(0x40_0000, write=True)\n    ", "")
    text = text.replace('m.cpu("B"', 'm.background("B"').replace("import Ma", "import pause, Ma")
    case = Case.of(stories.write(tmp_path, text), {}, None)
    execution = Execution(case.build(), checks=True)
    run(execution, RoundRobin(1), 500)
    said = told(case.build, "leak", bytes(execution.choices), prop="no leak")
    (one,) = [line for line in said if " took " in line]
    assert one.endswith("nothing shared refers to it, so only B can hold it.")
