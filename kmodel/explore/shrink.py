"""Makes a run smaller that shows a bug, so that it can be read: fewer tasks that step at
all, then fewer preemptions, then fewer steps.

Works on choices and fresh plain objects alone, so any run will do: of a sample, a fuzzer,
a log. A smaller run counts only if it ends in the same bug (``signature``).

Three ways, over and over until none gets any further. *Leave out*: a task; parts of the
schedule, cut in blocks (steps of one task in a row), from halves down to single steps
(delta debugging, Zeller and Hildebrandt 2002). *Switch earlier*: a block comes in the midst
of the one before it. What is tried runs leniently: a choice that cannot go is skipped, and
after the last the run is carried on with few switches. *Search*: every schedule of the
remaining tasks with no preemption, with one, and so on, below what is needed so far (as
Musuvathi and Qadeer 2007, without states).

Deterministic, as long as it is the number of runs that ends it and not the seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Container
from itertools import groupby
from typing import Final

import attrs

from kmodel.explore.execution import Execution
from kmodel.explore.lenient import Led
from kmodel.explore.signature import Signature, shown
from kmodel.recorder import SharedStateError
from kmodel.world import ScenarioError, World

Build = Callable[[], World]
Cost = tuple[int, int, int]
"""Tasks that step, preemptions, steps. (A daemon that only goes to sleep before all else
is no task that steps.)"""
Block = tuple[int, int]
"""A task, and how many steps it takes in a row."""
Prefix = tuple[bytes, int, bytes]
"""How a schedule begins: so many steps of another one, then these."""

RUNS: Final = 3000
SECONDS: Final = 10.0


@attrs.frozen
class Shrunk:
    """A run that shows the bug: ``choices`` replay strictly, and the last of them shows it.

    ``minimal``: no task, no block and no step can be left out and no block put earlier so
    that the (lenient) run still ends in the same bug and costs less. ``fewest``:
    no schedule of these tasks with fewer preemptions ends in the same bug, among those that
    are no longer than the original and than twice this one. Either is false where the
    budget ended first. ``runs`` were tried. ``message`` and ``culprits`` are of this run.
    """

    choices: bytes
    cost: Cost
    original: Cost
    minimal: bool
    fewest: bool
    runs: int
    message: str
    culprits: tuple[str, ...]


def shrink(
    build: Build,
    choices: bytes,
    wanted: Signature,
    runs: int = RUNS,
    seconds: float = SECONDS,
    enough: Callable[[], bool] = lambda: False,
) -> Shrunk:
    """``choices`` is a recorded run that shows ``wanted``; ``build`` makes its world afresh.
    ``enough`` is asked before each run whether to stop there.

    Raises ``ValueError`` if the run does not show it.
    """
    end = time.monotonic() + seconds
    return _Shrinker(
        build, choices, wanted, runs, lambda: enough() or time.monotonic() > end
    ).shrink()


class OutOfBudget(Exception):
    """No more runs, or no more time."""


@attrs.frozen
class Found:
    """A run that showed the bug; ``settled`` of its steps come first whatever is chosen."""

    choices: bytes
    settled: int
    cost: Cost
    message: str
    culprits: tuple[str, ...]

    @property
    def plan(self) -> bytes:
        """What was chosen."""
        return self.choices[self.settled :]


class _Shrinker:
    def __init__(
        self,
        build: Build,
        choices: bytes,
        wanted: Signature,
        runs: int,
        enough: Callable[[], bool],
    ) -> None:
        self.build, self.wanted = build, wanted
        self._runs, self._most, self._enough = 0, runs, enough
        self._failed: set[tuple[bytes, bytes]] = set()
        self._longest = len(choices)
        settled = self._settled()
        first = self._run(lambda led: led.follow(choices[settled:], self._longest))
        if first is None:
            raise ValueError(f"the run does not end in {wanted.kind} ({wanted.property})")
        self.best = self.original = first

    def shrink(self) -> Shrunk:
        minimal = fewest = False
        try:
            while True:
                while self._less():
                    pass
                minimal = True
                if not self._search():
                    break
                minimal = False
            fewest = True
        except OutOfBudget:
            pass
        best = self.best
        return Shrunk(
            best.choices,
            best.cost,
            self.original.cost,
            minimal,
            fewest,
            self._runs,
            best.message,
            best.culprits,
        )

    def _less(self) -> bool:
        """One round of leaving out and switching earlier. Did it help?"""
        before = self.best.cost
        for task in sorted(set(self.best.plan)):
            self._try([one for one in blocks(self.best.plan) if one[0] != task], without=task)
        self._leave_out(lambda: blocks(self.best.plan))
        self._leave_out(lambda: [(task, 1) for task in self.best.plan])
        self._switch_earlier()
        return self.best.cost < before

    def _leave_out(self, parts: Callable[[], list[Block]]) -> None:
        """Try without so many parts in a row, half of them at first, then fewer."""
        size = (len(parts()) + 1) // 2
        while size:
            at = 0
            while at < len(now := parts()):
                if not self._try(now[:at] + now[at + size :]):
                    at += size
            size //= 2

    def _switch_earlier(self) -> None:
        """Try each block earlier, in the midst of the one before it."""
        at = 0
        while at + 1 < len(now := blocks(self.best.plan)):
            (task, steps), other = now[at], now[at + 1]
            if not any(
                self._try([*now[:at], (task, k), other, (task, steps - k), *now[at + 2 :]])
                for k in range(steps)
            ):
                at += 1

    def _try(self, plan: list[Block], without: int | None = None) -> bool:
        """Is there a cheaper run that follows ``plan``? Then it is the best from now on.
        The tasks of the best run may step, but ``without``."""
        wanted = b"".join(bytes([task]) * steps for task, steps in plan)
        among = bytes(sorted(set(self.best.plan) - {without}))
        if (wanted, among) in self._failed:
            return False

        def lead(led: Led) -> None:
            if led.follow(wanted, self._longest):
                led.carry_on(self._longest, among)

        if self._take(self._run(lead)):
            return True
        self._failed.add((wanted, among))
        return False

    def _take(self, found: Found | None) -> bool:
        """Keep ``found`` if it costs less, and in nothing more than the original."""
        if found is None or found.cost >= self.best.cost:
            return False
        if any(now > then for now, then in zip(found.cost, self.original.cost)):
            return False
        self.best = found
        return True

    def _search(self) -> bool:
        """A schedule of the remaining tasks with fewer preemptions, if there is one."""
        among = frozenset(self.best.plan)
        longest = min(self._longest, 2 * len(self.best.choices))
        at: list[Prefix] = [(b"", 0, b"")]
        for _ in range(self.best.cost[1]):
            beyond: list[Prefix] = []
            while at:
                choices, steps, then = at.pop()
                walk = _Walk(choices[:steps] + then, among, longest)
                if self._take(self._run(walk)):
                    return True
                at += walk.branches(walk.free)
                beyond += walk.branches(walk.dear)
            at = beyond
        return False

    def _run(self, lead: Callable[[Led], object]) -> Found | None:
        """A fresh run, led by ``lead``; ``None`` if it does not show the bug."""
        if self._runs and (self._runs >= self._most or self._enough()):
            raise OutOfBudget
        self._runs += 1
        execution = Execution(self.build(), checks=True)
        try:
            led = Led(execution, self.wanted.property)
            lead(led)
            led.able()  # decides whether the run is over
            if shown(execution, self.wanted.property) != self.wanted:
                return None
            return _found(execution, led, self.wanted.property)
        except (ScenarioError, SharedStateError):
            return None  # a check or a step that nobody foresaw: another bug
        finally:
            execution.close()

    def _settled(self) -> int:
        execution = Execution(self.build())
        try:
            return Led(execution).settled
        finally:
            execution.close()


def _found(execution: Execution, led: Led, prop: str) -> Found:
    choices, outcome = bytes(execution.choices), execution.outcome
    plan = choices[led.settled :]
    return Found(
        choices,
        led.settled,
        (len(set(plan)), led.preemptions, len(choices)),
        execution.findings.get(prop) or (outcome.message if outcome else ""),
        outcome.culprits if outcome else (),
    )


class _Walk:
    """Leads a run by ``choices``, then without preemption; notes where it might have gone
    another way: for ``free``, or with one preemption more (``dear``)."""

    def __init__(self, choices: bytes, among: Container[int], until: int) -> None:
        self._choices, self._among, self._until = choices, among, until
        self._done = b""
        self.free: list[tuple[int, int]] = []
        self.dear: list[tuple[int, int]] = []

    def __call__(self, led: Led) -> None:
        led.follow(self._choices, self._until)
        done = bytearray(self._choices)
        last = done[-1] if done else -1
        while len(done) < self._until:
            able = [task for task in led.able() if task in self._among]
            if not able:
                break
            branches = self.dear if last in able else self.free
            last = last if last in able else able[0]
            branches += [(len(done), task) for task in able if task != last]
            led.step(last)
            done.append(last)
        self._done = bytes(done)

    def branches(self, found: list[tuple[int, int]]) -> list[Prefix]:
        return [(self._done, steps, bytes([task])) for steps, task in found]


def blocks(plan: bytes) -> list[Block]:
    """The schedule as who steps how often in a row."""
    return [(task, len(list(steps))) for task, steps in groupby(plan)]
