"""Strategies: what each promises, and that a seed is a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import trio
from programs import build, program
from toys import chain, deep, spinner, tries

from kmodel.explore.execution import Execution, Strategy, run
from kmodel.explore.fair import Fair
from kmodel.explore.host import TrioHost
from kmodel.explore.pct import Pct
from kmodel.explore.pos import Pos
from kmodel.explore.recipe import NAMES, Deepening, recipe
from kmodel.explore.strategy import STRATEGIES, Random, RoundRobin
from kmodel.point import pause
from kmodel.world import World

STEPS = 300
RUNS = 600


def made(name: str, seed: int) -> Strategy:
    return recipe(name, length=20 if name == "pct" else None).strategy(seed)


def schedule(world: World, strategy: Strategy, on_trio: bool = False) -> tuple[bytes, Any]:
    execution = Execution(world)
    if on_trio:
        outcome = trio.run(TrioHost(execution, strategy, STEPS).run)
    else:
        outcome = run(execution, strategy, STEPS)
    return bytes(execution.choices), outcome


def kind(world: World, strategy: Strategy, steps: int = STEPS) -> str:
    execution = Execution(world, checks=True)
    return run(execution, strategy, steps).kind


def share(build: Callable[[], World], strategy: Callable[[int], Strategy]) -> float:
    """How many runs of many show the bug."""
    return sum(kind(build(), strategy(seed)) == "invariant" for seed in range(RUNS)) / RUNS


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_is_a_run_on_both_hosts(name: str, fuzz_seed: int) -> None:
    """Random programs: the inner loop twice and the Trio host take the same steps."""
    for number in range(fuzz_seed, fuzz_seed + 60):
        inner = schedule(build(program(number)), made(name, number))
        assert inner == schedule(build(program(number)), made(name, number)), number
        assert inner == schedule(build(program(number)), made(name, number), True), number


@pytest.mark.parametrize("name", NAMES)
def test_seeds_differ(name: str) -> None:
    """Other seeds give other runs, and each is explained by ``kmodel list``."""
    taken = {schedule(chain(3, 6), made(name, seed))[0] for seed in range(40)}
    assert len(taken) > (4 if name == "round-robin" else 10)
    assert STRATEGIES[name]


# random priorities


def switches(choices: bytes) -> int:
    return sum(one != other for one, other in pairwise(choices))


def test_depth_one_is_priorities_alone() -> None:
    """Nobody is interrupted, and each order of three tasks comes as often as any other."""
    orders: Counter[tuple[int, ...]] = Counter()
    for seed in range(RUNS):
        choices, _ = schedule(chain(3, 5), Pct(seed, 18, 1))
        assert switches(choices) == 2
        orders[tuple(dict.fromkeys(choices))] += 1
    assert len(orders) == 6
    assert min(orders.values()) > RUNS / 6 * 0.7


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_changes_are_at_most_one_less_than_the_depth(depth: int) -> None:
    """Each interrupts one task at most, and each place among the first k comes up."""
    places: Counter[int] = Counter()
    for seed in range(RUNS):
        strategy = Pct(seed, 18, depth)
        places.update(strategy._changes)
        choices, _ = schedule(chain(3, 5), strategy)
        assert switches(choices) <= 2 + depth - 1
    assert set(places) == set(range(1, 19))
    assert min(places.values()) > RUNS * (depth - 1) / 18 * 0.5


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_bug_is_found_as_often_as_promised(depth: int) -> None:
    """A bug that needs ``depth`` ordering constraints: in 1/(n k^(d-1)) of the runs or more,
    k the contended steps of a run."""
    longest = Deepening()
    for seed in range(20):
        strategy: Any = longest.strategy(seed)
        schedule(deep(depth), strategy)
        longest.learn(strategy)
    tasks, length = 2, longest.length
    found = share(lambda: deep(depth), lambda seed: Pct(seed, length, depth))
    promised = 1 / (tasks * length ** (depth - 1))
    chance = 3 * (promised * (1 - promised) / RUNS) ** 0.5  # three standard deviations
    assert found >= promised - chance, (found, length)


def test_too_shallow_a_depth_misses() -> None:
    """The bug of depth 3 needs two interruptions: no priority run shows it."""
    assert share(lambda: deep(3), lambda seed: Pct(seed, 12, 1)) == 0


def test_pct_learns_the_longest_run() -> None:
    """The first run has depth 1, for want of k; then k is the contended steps."""
    learning = Deepening()
    first = learning.strategy(0)
    assert isinstance(first, Pct)
    assert first.depth == 1
    schedule(chain(2, 10), first)
    learning.learn(first)
    assert learning.length == 11  # the second task runs alone
    drawn = Counter(learning.strategy(seed).depth for seed in range(90))  # type: ignore[attr-defined]
    assert set(drawn) == {1, 2, 3}
    assert min(drawn.values()) > 15


def test_busy_waiting_ends_under_pct() -> None:
    """A spinner falls, whether it polls or pauses; a run of two that wait for each other
    by turns is made fair."""
    for build_ in (lambda: spinner(3), lambda: tries(crossed=True)):
        for seed in range(30):
            assert kind(build_(), Pct(seed, 10), 5000) == "done", seed
    assert any(_lowered(seed) for seed in range(10))


def _lowered(seed: int) -> int:
    strategy = Pct(seed, 10)
    kind(spinner(3), strategy)
    return strategy.lowered


# partial orders


def reorder(prefix: int) -> World:
    """The first task works long on its own, and must then come before the second's one
    step for the bug to show."""
    world = World()
    done: list[str] = []

    async def long() -> None:
        for _ in range(prefix):
            await pause()
        done.append("long")

    async def short() -> None:
        await pause()
        done.append("short")

    world.task("long", long)
    world.task("short", short)
    world.check("order", lambda: "long first" if done == ["long"] else None)
    return world


def test_pos_is_not_worn_out_by_a_long_prefix() -> None:
    """A random choice must hold the other back at every step, a priority only once."""
    assert share(lambda: reorder(12), Random) < 0.01
    assert share(lambda: reorder(12), Pos) > 0.03


def test_pos_redraws_what_conflicts() -> None:
    """And leaves the priorities of all else alone."""
    execution = Execution(tries(crossed=False))
    strategy = Pos(3)
    strategy.begin(execution)
    execution.step(strategy.choose([0], None))
    execution.step(strategy.choose([1], 0))
    before = list(strategy._priority)
    chosen = strategy.choose([0], 1)
    assert chosen == 0
    assert strategy._priority[0] == before[0]  # a start conflicts with nothing
    assert strategy._priority[1] != before[1]  # its next operation
    before = list(strategy._priority)
    execution.step(0)
    strategy.choose([0], 0)
    assert strategy._priority[1] != before[1]  # both are about the first lock
    execution.close()


# fairness


class Script:
    """Follows choices among those allowed, then takes the first; notes how many there were."""

    def __init__(self, choices: list[int]) -> None:
        self.choices, self.widths = choices, list[int]()

    def choose(self, enabled: list[int], current: int | None) -> int:
        number = len(self.widths)
        self.widths.append(len(enabled))
        return enabled[self.choices[number] if number < len(self.choices) else 0]


class Started:
    """All tasks start in order; from then on ``inner`` chooses."""

    def __init__(self, inner: Strategy, tasks: int) -> None:
        self.inner, self.tasks, self.step = inner, tasks, 0

    def choose(self, enabled: list[int], current: int | None) -> int:
        self.step += 1
        return self.step - 1 if self.step <= self.tasks else self.inner.choose(enabled, current)


def fair_schedules(build: Callable[[], World], most_steps: int) -> tuple[int, int, Counter[str]]:
    """How many fair schedules there are after the starts, the longest, and how they end."""
    choices: list[int] | None = []
    count = longest = 0
    ends: Counter[str] = Counter()
    while choices is not None:
        script = Script(choices)
        execution = Execution(build())
        started = Started(script, len(execution.pending))
        outcome = run(execution, Fair(started), most_steps)
        ends[outcome.kind] += 1
        count, longest = count + 1, max(longest, len(script.widths))
        if outcome.kind == "limit":
            break
        choices = _following(choices, script.widths)
    return count, longest, ends


def _following(choices: list[int], widths: list[int]) -> list[int] | None:
    """The next choices in order."""
    taken = choices + [0] * (len(widths) - len(choices))
    while taken and taken[-1] == widths[len(taken) - 1] - 1:
        taken.pop()
    return [*taken[:-1], taken[-1] + 1] if taken else None


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_fair_schedules_of_a_spinner(steps: int) -> None:
    """Before each of the setter's k steps it may poll in vain up to twice: 3^k schedules,
    the longest of k + 2k + 1 steps."""
    count, longest, ends = fair_schedules(lambda: spinner(steps), 100)
    assert (count, longest) == (3**steps, 3 * steps + 1)
    assert set(ends) == {"done"}


@pytest.mark.parametrize("most", [20, 50, 100])
def test_crossed_back_off_can_go_on_for_ever(most: int) -> None:
    """Each takes its own lock, fails at the other's and gives up: fair, and never over."""
    assert fair_schedules(lambda: tries(crossed=True), most)[2]["limit"] == 1


def test_fair_schedules_of_back_off_in_one_order() -> None:
    """Whoever is first gets both locks; the other waits for the first lock."""
    count, _, ends = fair_schedules(lambda: tries(crossed=False), 100)
    assert (count, set(ends)) == (2, {"done"})


def test_somebody_may_always_go(fuzz_seed: int) -> None:
    """Random programs end under the fair scheduler as they may without it: it never makes
    a deadlock of its own."""
    for number in range(fuzz_seed, fuzz_seed + 200):
        choices, outcome = schedule(build(program(number)), Fair(Random(number)))
        execution = Execution(build(program(number)))
        for choice in choices:
            assert choice in execution.enabled()
            execution.step(choice)
        if outcome.kind == "deadlock":
            assert not execution.enabled()
        execution.close()


# the baseline


def test_round_robin_goes_round() -> None:
    """Slices of one length, in order; only a task's end cuts one short."""
    for seed in range(20):
        strategy = RoundRobin(seed)
        choices, _ = schedule(chain(3, 30), strategy)
        first, width = choices[0], strategy._slice
        for number, task in enumerate(choices[: 3 * (31 // width) * width]):
            assert task == (first + number // width) % 3
