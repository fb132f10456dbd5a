"""Hangs and livelocks on small worlds whose answer can be worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest
from enumeration import searched
from toys import Counter

from kmodel.event import say
from kmodel.explore.cycle import Fairness
from kmodel.explore.execution import Execution
from kmodel.explore.found import hang_message
from kmodel.explore.graph import Limits, Search
from kmodel.explore.judgement import Judgement
from kmodel.explore.liveness import Hang, Liveness
from kmodel.explore.measure import Measure
from kmodel.explore.snapshot import snapshot
from kmodel.point import Loop, Task, curtask, operation, pause
from kmodel.shared import Atomic, shared
from kmodel.sync.channel import Channel
from kmodel.sync.mutex import Mutex
from kmodel.sync.rwlock import rwlock
from kmodel.world import World

Build = Callable[[], World]

NONE, WEAK, STRONG = (Fairness(level, False) for level in ("none", "weak", "strong"))
GRANT = Fairness("weak", True)
STRONGEST = Fairness("strong", True)
ALL = [Fairness(level, grant) for level in ("none", "weak", "strong") for grant in (False, True)]


@shared
class Flag:
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


@shared
class Lock:
    """Free or not, and no queue: whoever comes while it is free has it."""

    name: Final[str]
    owner: Atomic[Task | None]

    def __init__(self, name: str) -> None:
        self.name, self.owner = name, None

    @operation(event="lock.try")
    def enter_try(self, task: Task) -> bool:
        if self.owner is None:
            self.owner = task
        return self.owner is task

    @operation(
        lambda self, task: self.owner is None,
        event="lock.sleep",
        grant=lambda self, task: self.owner is None,
    )
    def enter(self, task: Task) -> None:
        self.owner = task

    @operation(lambda self, task: self.owner is None, event="lock.spin")
    def spin(self, task: Task) -> None:
        self.owner = task

    @operation(event="lock.release")
    def exit(self) -> None:
        self.owner = None


@shared
class ReadersFirst:
    """A reader waits for a writer only; a writer for everybody."""

    name: Final[str]
    readers: Atomic[int]
    writer: Atomic[bool]

    def __init__(self) -> None:
        self.name, self.readers, self.writer = "rw", 0, False

    @operation(lambda self: not self.writer, event="rw.read", grant=lambda self: not self.writer)
    def read(self) -> None:
        self.readers += 1

    @operation(event="rw.read_end")
    def read_end(self) -> None:
        self.readers -= 1

    @operation(
        lambda self: not self.writer and not self.readers,
        event="rw.write",
        grant=lambda self: not self.writer and not self.readers,
    )
    def write(self) -> None:
        self.writer = True

    @operation(event="rw.write_end")
    def write_end(self) -> None:
        self.writer = False


# the worlds


async def look_until_up(flag: Flag) -> None:
    loop = Loop()
    while True:
        loop.head()
        if await flag.look():
            return


async def put_up(flag: Flag) -> None:
    await flag.put_up()


async def for_ever() -> None:
    loop = Loop()
    while True:
        loop.head()
        await pause()


def spinner(set_by_another: bool) -> World:
    with World() as world:
        flag = Flag("flag")
    world.task("spin", look_until_up, flag)
    if set_by_another:
        world.task("set", put_up, flag)
    return world


async def back_off(first: Lock, second: Lock) -> None:
    """Both locks, by trying; one alone is given back."""
    loop = Loop()
    while True:
        loop.head()
        if not await first.enter_try(curtask()):
            continue
        if await second.enter_try(curtask()):
            break
        await first.exit()
    await second.exit()
    await first.exit()


async def take_for_ever(lock: Lock) -> None:
    loop = Loop()
    while True:
        loop.head()
        await lock.enter(curtask())
        await lock.exit()


def back_offs(opposite: bool) -> World:
    with World() as world:
        locks = Lock("one"), Lock("two")
    world.task("A", back_off, *locks)
    world.task("B", back_off, *(locks[::-1] if opposite else locks))
    return world


def tries_against_a_taker() -> World:
    with World() as world:
        one, two = Lock("one"), Lock("two")
    world.task("A", back_off, one, two)
    world.task("K", take_for_ever, one, obliged=False)
    return world


def queueless(sleeps: bool) -> World:
    with World() as world:
        lock = Lock("lock")

    async def once() -> None:
        await (lock.enter(curtask()) if sleeps else lock.spin(curtask()))
        await lock.exit()

    world.task("A", once)
    world.task("K", take_for_ever, lock, obliged=False)
    return world


def kernel_lock(policy: str) -> World:
    with World() as world:
        lock = rwlock("lock", policy)

    async def once() -> None:
        await lock.enter(True)
        await lock.exit()

    async def again_and_again() -> None:
        loop = Loop()
        while True:
            loop.head()
            await lock.enter(True)
            await lock.exit()

    world.task("A", once)
    world.task("K", again_and_again, obliged=False)
    return world


def readers_first(readers: int) -> World:
    with World() as world:
        lock = ReadersFirst()

    async def write() -> None:
        await lock.write()
        await lock.write_end()

    async def read_for_ever() -> None:
        loop = Loop()
        while True:
            loop.head()
            await lock.read()
            await lock.read_end()

    world.task("W", write)
    for number in range(readers):
        world.task(f"R{number}", read_for_ever, obliged=False)
    return world


def crossed(beside: bool) -> World:
    """Two locks taken crosswise; ``beside``: a third task goes on and on."""
    with World() as world:
        m, n = Mutex("m"), Mutex("n")

    async def take(one: Mutex, other: Mutex) -> None:
        await one.enter()
        await other.enter()
        await other.leave()
        await one.leave()

    world.task("A", take, m, n)
    world.task("B", take, n, m)
    if beside:
        world.task("K", for_ever, obliged=False)
    return world


def sleeper(
    *,
    under_the_mutex: bool,
    said: bool = True,
    told: bool = True,
    awaited: bool = False,
    beside: bool = False,
) -> World:
    """A waits for a flag that B raises, if it is ``told`` to: A looks, lets the mutex go
    (unless it sleeps ``under_the_mutex`` that it looked under), takes it again, sleeps.
    ``said``: the channel knows what for. ``awaited``: C waits for A's end."""
    with World() as world:
        flag, over, mutex = Flag("flag"), Flag("over"), Mutex("mtx")
        channel = Channel("chan", (lambda: flag.up) if said else None)

    async def wait() -> None:
        await mutex.enter()
        if not await flag.look():
            if not under_the_mutex:
                await mutex.leave()
                await mutex.enter()
            await channel.msleep(mutex)
        await mutex.leave()
        await over.put_up()

    async def wake() -> None:
        await mutex.enter()
        if told:
            await flag.put_up()
        await mutex.leave()
        if told:
            await channel.wakeup()

    async def wait_for_a() -> None:
        await over.wait()

    world.task("A", wait)
    world.task("B", wake)
    if awaited:
        world.task("C", wait_for_a)
    if beside:
        world.task("K", for_ever, obliged=False)
    return world


def asked_again(fault: bool, background: bool = False) -> World:
    """A goes round until a flag is up that nobody raises, and says so if it is a ``fault``."""
    with World() as world:
        flag = Flag("flag")

    async def ask() -> None:
        loop = Loop()
        while True:
            loop.head()
            if await flag.look():
                return
            if fault:
                say("fault.restart", va="0x1000")

    async def wait() -> None:
        await flag.wait()

    world.task("A", wait if background else ask)
    if background:
        world.task("K", ask, obliged=False)
    return world


# what is asked of them


def live(world: World) -> Liveness:
    graph = searched(world)
    assert graph.complete
    return Liveness(graph, "fault.restart")


def kinds(build: Build, fairness: Fairness) -> list[tuple[str, str | None]]:
    """Kind and strongest fairness of each hang, the worst first."""
    return [(h.kind, h.survives and str(h.survives)) for h in live(build()).hangs(fairness)]


def only_hang(build: Build, fairness: Fairness) -> Hang:
    (hang,) = live(build()).hangs(fairness)
    return hang


# a spinner


@pytest.mark.parametrize("grant", [False, True])
def test_a_spinner_on_a_flag_that_will_be_set_hangs_only_without_fairness(grant: bool) -> None:
    """Who sets the flag can always step, so the slightest fairness lets it."""
    (hang,) = live(spinner(True)).hangs(Fairness("none", grant))
    assert (hang.kind, hang.tasks, hang.can_end) == ("livelock", (0,), (0,))
    assert hang.survives == Fairness("none", grant)
    for level in ("weak", "strong"):
        assert live(spinner(True)).hangs(Fairness(level, grant)) == []


@pytest.mark.parametrize("fairness", ALL, ids=str)
def test_a_spinner_on_a_flag_that_nobody_sets_survives_all(fairness: Fairness) -> None:
    """It goes round whatever is assumed, and the strongest assumption is named."""
    hang = only_hang(lambda: spinner(False), fairness)
    assert (hang.kind, hang.tasks, hang.can_end) == ("livelock", (0,), ())
    assert hang.survives == Fairness("strong", fairness.grant)
    assert hang.waits == ("flag.look flag",)
    assert (hang.stem, hang.loop) == (bytes([0]), bytes([0]))


# back-off


@pytest.mark.parametrize("fairness", ALL, ids=str)
def test_trying_two_locks_in_opposite_orders_can_go_on_for_ever(fairness: Fairness) -> None:
    """Each takes one, fails to get the other and backs off, in step: all move, nobody ends."""
    hang = only_hang(lambda: back_offs(True), fairness)
    assert (hang.kind, hang.tasks, hang.can_end) == ("livelock", (0, 1), (0, 1))
    assert hang.survives == Fairness("strong", fairness.grant)


def test_trying_two_locks_in_one_order_ends_under_weak_fairness() -> None:
    """Who has the first lock gets the second and leaves; only if it may be left aside for
    ever can the other go on trying."""
    assert kinds(lambda: back_offs(False), NONE) == [("livelock", "no fairness")]
    for fairness in (WEAK, STRONG, GRANT, STRONGEST):
        assert kinds(lambda: back_offs(False), fairness) == []


@pytest.mark.parametrize("fairness", ALL, ids=str)
def test_a_try_can_fail_for_ever_against_a_lock_that_comes_free(fairness: Fairness) -> None:
    """A trylock is not asleep on the lock: neither fairness makes it come at the right time."""
    hang = only_hang(tries_against_a_taker, fairness)
    assert (hang.kind, hang.tasks, hang.can_end) == ("livelock", (0,), (0,))
    assert hang.survives == Fairness("strong", fairness.grant)


# locks


def test_a_sleeping_lock_without_a_queue_starves_under_weak_fairness_alone() -> None:
    """Its sleeper could go again and again, but never without a break."""
    hang = only_hang(lambda: queueless(sleeps=True), WEAK)
    assert (hang.kind, hang.tasks, hang.can_end) == ("starvation", (0,), (0,))
    assert hang.survives == WEAK
    assert hang.waits == ("lock.sleep lock",)
    assert kinds(lambda: queueless(sleeps=True), STRONG) == []


def test_lock_grant_excludes_the_starvation_of_a_sleeper() -> None:
    """A thread asleep on a lock that comes free again and again gets it."""
    assert kinds(lambda: queueless(sleeps=True), GRANT) == []


def test_lock_grant_says_nothing_of_a_spinner() -> None:
    """The same lock spun on: lock-grant is about sleeping locks only."""
    assert kinds(lambda: queueless(sleeps=False), GRANT) == [
        ("starvation", "weak fairness and lock-grant")
    ]
    assert kinds(lambda: queueless(sleeps=False), STRONGEST) == []


@pytest.mark.parametrize("policy", ["wake-all", "wake-one-writer"])
def test_a_lock_that_wakes_its_sleepers_starves_them_under_strong_fairness(policy: str) -> None:
    """The woken one runs, finds the lock taken again and sleeps; lock-grant alone helps."""
    hang = only_hang(lambda: kernel_lock(policy), WEAK)
    assert (hang.kind, hang.tasks, hang.survives) == ("starvation", (0,), STRONG)
    assert hang.waits == ("lock.contended lock",)
    assert kinds(lambda: kernel_lock(policy), GRANT) == []


def test_a_lock_that_is_handed_over_starves_nobody() -> None:
    """First come, first served: it is enough that who can step without a break does."""
    assert kinds(lambda: kernel_lock("hand-off"), NONE) == [("starvation", "no fairness")]
    assert kinds(lambda: kernel_lock("hand-off"), WEAK) == []


def test_readers_that_overlap_starve_a_writer_under_all_fairness() -> None:
    """With two of them the lock is never free, so there is nothing to be fair about."""
    hang = only_hang(lambda: readers_first(2), GRANT)
    assert (hang.kind, hang.tasks, hang.can_end) == ("starvation", (0,), (0,))
    assert hang.survives == STRONGEST


def test_one_reader_starves_a_writer_under_weak_fairness_only() -> None:
    """Alone it leaves the lock free between two turns."""
    assert kinds(lambda: readers_first(1), WEAK) == [("starvation", "weak fairness")]
    assert kinds(lambda: readers_first(1), STRONG) == []
    assert kinds(lambda: readers_first(1), GRANT) == []


# nobody can step


@pytest.mark.parametrize("fairness", ALL, ids=str)
def test_two_locks_taken_crosswise_are_a_deadlock(fairness: Fairness) -> None:
    """Nobody can step; no fairness is about that, and no loop follows."""
    hang = only_hang(lambda: crossed(beside=False), fairness)
    assert (hang.kind, hang.tasks, hang.survives, hang.loop) == ("deadlock", (0, 1), None, b"")
    assert hang.waits == ("mutex.enter n", "mutex.enter m")
    assert len(hang.stem) == 4
    assert hang.can_end == ()


@pytest.mark.parametrize("fairness", ALL, ids=str)
def test_a_deadlock_of_two_while_a_third_runs_on(fairness: Fairness) -> None:
    """Two can never step again: still a deadlock, with the third one's steps as its loop."""
    hang = live(crossed(beside=True)).hangs(fairness)[0]
    assert (hang.kind, hang.tasks, hang.can_end) == ("deadlock", (0, 1), ())
    assert hang.waits == ("mutex.enter n", "mutex.enter m")
    assert hang.survives == Fairness("strong", fairness.grant)
    assert set(hang.loop) == {2}


@pytest.mark.parametrize("beside", [False, True])
def test_a_wakeup_that_comes_before_the_sleep_is_lost(beside: bool) -> None:
    """A sleeps for ever, and what it sleeps for is true."""
    hang = only_hang(lambda: sleeper(under_the_mutex=False, beside=beside), WEAK)
    assert (hang.kind, hang.tasks, hang.can_end) == ("lost-wakeup", (0,), ())
    assert hang.waits == ("chan.woken chan",)
    assert bool(hang.loop) is beside


@pytest.mark.parametrize("beside", [False, True])
def test_one_lost_wakeup_is_what_a_hang_of_several_is_called(beside: bool) -> None:
    """Another one waits for the sleeper: both are stuck, and the wakeup is the cause."""

    hang = only_hang(lambda: sleeper(under_the_mutex=False, beside=beside, awaited=True), WEAK)
    assert (hang.kind, hang.tasks) == ("lost-wakeup", (0, 2))


def test_no_wakeup_is_lost_if_the_mutex_is_kept_until_asleep() -> None:
    """Looking and falling asleep under one mutex is what msleep is for."""
    assert kinds(lambda: sleeper(under_the_mutex=True), WEAK) == []


@pytest.mark.parametrize("beside", [False, True])
def test_a_sleeper_whose_condition_is_false_is_in_a_deadlock(beside: bool) -> None:
    """Nobody lost a wakeup: there was none to send."""
    hang = only_hang(lambda: sleeper(under_the_mutex=True, told=False, beside=beside), WEAK)
    assert (hang.kind, hang.tasks) == ("deadlock", (0,))


def test_a_channel_that_does_not_say_what_for_loses_no_wakeup() -> None:
    """Without a condition the same hang can only be called a deadlock."""
    assert kinds(lambda: sleeper(under_the_mutex=False, said=False), WEAK) == [("deadlock", None)]


# what is shown is real

HANGING: dict[str, tuple[Build, Fairness]] = {
    "spinner, no fairness": (lambda: spinner(True), NONE),
    "spinner": (lambda: spinner(False), WEAK),
    "back-off": (lambda: back_offs(True), STRONGEST),
    "try against a taker": (tries_against_a_taker, STRONGEST),
    "sleeps, weak": (lambda: queueless(True), WEAK),
    "spins, weak": (lambda: queueless(False), GRANT),
    "wake-all": (lambda: kernel_lock("wake-all"), STRONG),
    "wake-one-writer": (lambda: kernel_lock("wake-one-writer"), STRONG),
    "two readers": (lambda: readers_first(2), STRONGEST),
    "three readers": (lambda: readers_first(3), STRONGEST),
    "one reader": (lambda: readers_first(1), WEAK),
    "crossed": (lambda: crossed(False), STRONGEST),
    "crossed beside": (lambda: crossed(True), STRONGEST),
    "lost wakeup": (lambda: sleeper(under_the_mutex=False), STRONGEST),
    "lost wakeup beside": (lambda: sleeper(under_the_mutex=False, beside=True), STRONGEST),
    "asked again": (lambda: asked_again(True), STRONGEST),
}


def steps(execution: Execution, choices: bytes) -> list[tuple[int, list[int], list[int]]]:
    """Take them; before each: who steps, who could, and who sleeps on a lock that is free."""
    seen = []
    for choice in choices:
        grantable = [
            task
            for task, op in enumerate(execution.pending)
            if op and op[0].grant and op[0].grant(op[1], *op[2])
        ]
        assert choice in execution.enabled()
        seen.append((choice, execution.enabled(), grantable))
        execution.step(choice)
        assert not execution.over()
    return seen


@pytest.mark.parametrize("name", HANGING)
def test_the_loop_of_a_hang_comes_back_and_is_as_fair_as_it_says(name: str) -> None:
    """On fresh objects: stem, then the loop back to an equal state; and who does not move
    in it could not, as far as the fairness named asks."""
    build, fairness = HANGING[name]
    for hang in live(build()).hangs(fairness):
        execution = Execution(build())
        steps(execution, hang.stem)
        before = snapshot(execution)
        waits = execution.waiting()
        assert hang.waits == tuple(waits[execution.world.tasks[t].name] for t in hang.tasks)
        asleep = [bool(op and op[0].grant) for op in execution.pending]
        seen = steps(execution, hang.loop)
        assert snapshot(execution) == before
        if hang.survives is None:
            assert (execution.enabled(), hang.loop) == ([], b"")
        else:
            assert_fair(hang.survives, seen, asleep)
        execution.close()


def assert_fair(
    fairness: Fairness, seen: list[tuple[int, list[int], list[int]]], asleep: list[bool]
) -> None:
    """The loop must be fair by the definitions, read off a run."""
    for task, sleeps in enumerate(asleep):
        moves = any(choice == task for choice, _, _ in seen)
        could = [task in enabled for _, enabled, _ in seen]
        if fairness.level == "weak":
            assert moves or not all(could)
        if fairness.level == "strong":
            assert moves or not any(could)
        if fairness.grant and sleeps and not moves:
            assert not any(task in grantable for _, _, grantable in seen)


def test_the_loop_of_a_livelock_has_a_step_of_every_task_that_moves() -> None:
    """Both that back off are in it, and of three readers all three."""
    assert set(only_hang(lambda: back_offs(True), WEAK).loop) == {0, 1}
    assert set(only_hang(lambda: readers_first(3), WEAK).loop) == {1, 2, 3}


def test_the_shortest_story_counts_the_loop() -> None:
    """The loop of two begins sooner; but that of one, once the other has ended, has so much
    less to tell that stem and loop together are fewer steps."""

    async def slowly(lock: Lock) -> None:
        loop = Loop()
        loop.head()
        while not await lock.enter_try(curtask()):
            for left in range(9):
                loop.head(left)
                await pause()
            loop.head()

    def build() -> World:
        with World() as world:
            lock = Lock("lock")
        world.task("A", slowly, lock)
        world.task("B", slowly, lock)
        world.task("K", give_for_ever, lock, obliged=False)
        return world

    async def give_for_ever(lock: Lock) -> None:
        loop = Loop()
        while True:
            loop.head()
            await lock.exit()
            await lock.enter_try(curtask())

    (hang,) = live(build()).hangs(WEAK)
    assert len(hang.tasks) == 1
    assert len(hang.stem) > 3


# said again and again


@pytest.mark.parametrize("fairness", ALL, ids=str)
def test_an_event_said_for_ever_by_an_obliged_task_repeats(fairness: Fairness) -> None:
    """A fault that is restarted for ever is found, with the loop that says so."""
    hang = live(asked_again(fault=True)).repeats(fairness)
    assert hang is not None
    assert (hang.kind, hang.tasks, hang.loop) == ("livelock", (0,), bytes([0]))
    assert hang.survives == Fairness("strong", fairness.grant)


def test_a_loop_that_does_not_say_it_does_not_repeat() -> None:
    """It is a hang, but no restart."""
    quiet = live(asked_again(fault=False))
    assert quiet.repeats(NONE) is None
    assert [hang.kind for hang in quiet.hangs(STRONGEST)] == ["livelock"]


def test_what_a_background_task_says_for_ever_does_not_repeat() -> None:
    """Only obliged tasks can be in a livelock."""
    assert live(asked_again(fault=True, background=True)).repeats(NONE) is None


def restarts(against: bool) -> World:
    """A tries a lock until it has it, and says each failure; ``against``: K takes it again
    and again, else once."""
    with World() as world:
        lock = Lock("lock")

    async def try_on() -> None:
        loop = Loop()
        while True:
            loop.head()
            if await lock.enter_try(curtask()):
                return
            say("fault.restart", va="0x1000")

    async def take_once() -> None:
        await lock.enter(curtask())
        await lock.exit()

    world.task("A", try_on)
    if against:
        world.task("K", take_for_ever, lock, obliged=False)
    else:
        world.task("K", take_once)
    return world


def test_restarts_against_a_taker_repeat_under_all_fairness() -> None:
    """Every try can fall in the time the lock is held."""
    hang = live(restarts(against=True)).repeats(GRANT)
    assert hang is not None
    assert (hang.survives, hang.can_end) == (STRONGEST, (0,))


def test_restarts_against_one_that_leaves_repeat_only_without_fairness() -> None:
    """The holder can always step, and then the next try has the lock."""
    found = live(restarts(against=False))
    assert found.repeats(WEAK) is None
    hang = found.repeats(NONE)
    assert hang is not None
    assert hang.survives == NONE


# the most of any run


def of(name: str, task: int | None = None) -> Measure:
    return Measure(lambda event, fields: event == name, task)


def told(before: int, each_turn: int) -> World:
    """``before`` pool.gets, then an endless loop with ``each_turn`` of them."""
    with World() as world:
        flag = Flag("flag")

    async def get() -> None:
        await pause()
        for _ in range(before):
            say("pool.get", item="0x1")
        loop = Loop()
        while not await flag.look():
            for _ in range(each_turn):
                say("pool.get", item="0x1")
            loop.head()

    world.task("A", get)
    world.task("B", put_up, flag)
    return world


@pytest.mark.parametrize(
    ("before", "each_turn", "most"), [(0, 0, 0), (3, 0, 3), (3, 1, None), (0, 2, None)]
)
def test_the_most_of_any_run_is_unbounded_where_a_loop_adds(
    before: int, each_turn: int, most: int | None
) -> None:
    """A loop that adds nothing does not matter; one that adds has no most."""
    assert live(told(before, each_turn)).longest([of("pool.get")]) == [most]


def branches() -> World:
    """A says three things if it is first, else one; B two, and then one if A was first."""
    with World() as world:
        flag = Flag("flag")

    async def first() -> None:
        for _ in range(1 if await flag.look() else 3):
            say("pool.get", item="0x1")

    async def second() -> None:
        await flag.put_up()
        say("pool.get", item="0x2")
        await pause()
        say("pool.get", item="0x2")
        say("pool.put", item="0x2")

    world.task("A", first)
    world.task("B", second)
    return world


def test_the_most_of_any_run_without_a_loop() -> None:
    """Counted along one run, not summed over all of them; by task and of all."""
    measures = [of("pool.get"), of("pool.get", 0), of("pool.get", 1), of("pool.put"), of("no")]
    assert live(branches()).longest(measures) == [5, 3, 2, 1, 0]


def test_only_the_loop_that_adds_is_unbounded() -> None:
    """Each measure is of its own: one may have no most where the other has."""

    def build() -> Any:
        with World() as world:
            flag = Flag("flag")

        async def get() -> None:
            say("pool.get", item="0x1")
            loop = Loop()
            while not await flag.look():
                say("pool.fail", why="no physical pages")
                loop.head()

        world.task("A", get)
        world.task("B", put_up, flag)
        return world

    assert live(build()).longest([of("pool.get"), of("pool.fail")]) == [1, None]


def test_a_stopped_search_calls_nothing_a_deadlock() -> None:
    """What lies beyond the last expanded state might let a task go on."""
    with World() as world:
        mtx, chan, gate = Mutex("m"), Channel("c"), rwlock("gate", "wake-all")

        async def sleeper() -> None:
            await mtx.enter()
            await chan.msleep(mtx, relock=False)

        async def late() -> None:
            loop = Loop()
            while True:
                loop.head()
                for _ in range(300):
                    await pause()
                await chan.wakeup()

        async def churn() -> None:
            loop = Loop()
            while True:
                loop.head()
                await gate.enter(True)
                await pause()
                await gate.exit()

    world.task("O", late, obliged=False)
    world.task("W", sleeper)
    world.task("K", churn, obliged=False)
    search = Search(world, Limits(states=600), "bfs")
    while search.advance(100):
        pass
    assert not search.graph.complete
    kinds = {hang.kind for hang in Liveness(search.graph).hangs(Fairness("weak", True))}
    assert not kinds & {"deadlock", "lost-wakeup"}


def test_each_kind_of_dead_end_is_reported() -> None:
    """A deadlock that is nearer does not hide a lost wakeup."""
    with World() as world:
        mtx, never = Mutex("m"), Channel("never", condition=lambda: False)
        lost = Channel("lost", condition=lambda: True)

        async def one() -> None:
            await mtx.enter()
            await never.msleep(mtx, relock=False)

        async def other() -> None:
            await mtx.enter()
            await lost.msleep(mtx, relock=False)

        async def ringer() -> None:
            await lost.wakeup()
            await never.wakeup()

    for name, start in (("A", one), ("B", other), ("R", ringer)):
        world.task(name, start)
    search = Search(world, Limits())
    while search.advance(100):
        pass
    kinds = [hang.kind for hang in Liveness(search.graph).hangs(Fairness("weak", True))]
    assert kinds == ["deadlock", "lost-wakeup"]


def test_no_wakeup_is_lost_on_who_sleeps_for_the_wrong_thing() -> None:
    """What is slept for is true and the wakeup came too early; but woken, it would only sleep
    again. If there is a schedule on which it ends, a wakeup was lost."""

    def hang(*, comes: bool) -> Hang:
        with World() as world:
            mtx, chan, need = Mutex("m"), Channel("c", condition=lambda: True), Counter()

        async def sleeper() -> None:
            loop = Loop()
            while not await need.reached(1):
                loop.head()
                await mtx.enter()
                await chan.msleep(mtx, relock=False)

        async def ringer() -> None:
            await chan.wakeup()
            if comes:
                await need.up()

        world.task("W", sleeper)
        world.task("R", ringer)
        search = Search(world, Limits())
        while search.advance(100):
            pass
        (found,) = Liveness(search.graph).stuck()
        return found

    lost, vain = hang(comes=True), hang(comes=False)
    assert (lost.kind, lost.vain) == ("lost-wakeup", False)
    assert (vain.kind, vain.vain) == ("deadlock", True)
    told = hang_message(vain, ["W"], ["W", "R"])
    assert "that is not what is missing, no run ends" in told


def through(world: World) -> Search:
    search = Search(world, Limits())
    while search.advance(1000):
        pass
    return search


def forsaken(left_out: str, beside: bool) -> World:
    """One that sleeps on a channel that nobody wakes; ``beside`` another goes on for ever."""
    with World() as world:
        channel, mutex = Channel("chan", left_out=left_out), Mutex("m")

        async def sleep() -> None:
            await mutex.enter()
            await channel.msleep(mutex)

        world.task("A", sleep)
        if beside:
            world.task("K", turn_for_ever, Flag("f"), obliged=False)
    return world


async def turn_for_ever(flag: Flag) -> None:
    loop = Loop()
    while True:
        loop.head()
        await flag.look()


@pytest.mark.parametrize("beside", [False, True])
def test_a_hang_for_want_of_who_is_not_in_the_model_is_no_verdict(beside: bool) -> None:
    """The same hang is a deadlock where the channel names nobody."""
    found = Judgement(through(forsaken("the thread that fills it", beside)))
    found.judge(None)
    (one,) = found.hanging
    assert one.kind == "left-out"
    assert found.conclude([one], "holds")[:2] == ("inconclusive", "left-out")
    assert "the thread that fills it" in one.message
    found = Judgement(through(forsaken("", beside)))
    found.judge(None)
    assert [one.kind for one in found.hanging] == ["deadlock"]


def test_a_deadlock_beside_a_hang_without_a_verdict_is_told() -> None:
    """Of the two ways to hang the one that is real decides."""
    with World() as world:
        channel, mutex, flag = Channel("chan", left_out="who"), Mutex("m"), Flag("f")

        async def either() -> None:
            if await flag.look():
                await flag.put_up()
                await mutex.enter()
                await channel.msleep(mutex)
            await never.wait()

        async def raise_it() -> None:
            await flag.put_up()

        never = Flag("never")
        world.task("A", either)
        world.task("B", raise_it)
    found = Judgement(through(world))
    found.judge(None)
    assert sorted(one.kind for one in found.hanging) == ["deadlock", "left-out"]
    assert found.conclude(found.everything(), "holds")[:2] == ("violated", "deadlock")
