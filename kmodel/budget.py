"""How one amount of time is shared over the units of a matrix.

Each unit is searched in *rounds*: with few states, then with many, then with all that it may
have. The thread's question comes first, through all its rounds. Of the rest every unit has
its first round before any has its second. So the cheap ones, which are most, are over
soon, and of the others is known what few states show; what is left of the time goes to
these, to the variants of undecided cells first, and to those like cheap ones before others.

What a round finds depends on its number of states, and on no clock. The clock says only how
many rounds a unit gets. A unit whose search ended is judged the same on every machine, and
so is one with as many rounds.

A unit takes over what was found of another that it cannot differ from (``kmodel.asked``).
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing import resource_tracker
from multiprocessing.pool import Pool
from queue import Empty, SimpleQueue
from time import monotonic as clock
from typing import Final

import attrs

from kmodel import fixes, situations
from kmodel.compare import Judged, Unit, adopt, judge, not_begun
from kmodel.explore.graph import Limits

ROUNDS: Final = (1_000, 750_000)
"""States of the rounds before the last. Of the matrix as it is all units have less than the
second, and the first is a small part of them, so that little is searched twice."""
GRACE: Final = 10.0
"""Seconds after the end in which processes may still hand over what they have."""


def rounds(states: int) -> list[int]:
    """The numbers of states of the rounds; the last is ``states``."""
    return [*(bound for bound in ROUNDS if bound < states), states]


@attrs.frozen
class Job:
    """A round of the unit of that number, or what it can take over instead."""

    number: int
    unit: Unit
    limits: Limits
    known: Judged | None

    def do(self) -> Judged:
        return judge(self.unit, self.limits) if self.known is None else adopt(self.unit, self.known)


Ended = tuple[Job, Judged | BaseException]


class Budget:
    """Who is next, and what is known so far. ``limits`` are those of each unit's last round,
    but for the seconds, which are for all together."""

    def __init__(self, work: list[Unit], limits: Limits) -> None:
        self.work, self.limits = work, limits
        self.bounds = rounds(limits.states)
        self.known: list[Judged | None] = [None] * len(work)
        self._cases = [unit.case() for unit in work]
        self._cells = [[n for n, u in enumerate(work) if u.of(unit)] for unit in work]
        self._round = [0] * len(work)
        self._busy: set[int] = set()
        self._answered: set[int] = set()
        self.end = clock() + limits.seconds

    def next(self) -> Job | None:
        """What to do next; ``None`` if there is nothing now, or no time."""
        left = self.end - clock()
        ready = [n for n in range(len(self.work)) if n not in self._busy and not self.over(n)]
        if left <= 0 or not ready:
            return None
        # another variant of the same cell is likely to spare the work: wait for it, if one can
        calm = [n for n in ready if self._busy.isdisjoint(self._cells[n])]
        number = min(calm or ready, key=self._rank)
        self._busy.add(number)
        bound = self.bounds[self._round[number]]
        limits = attrs.evolve(self.limits, states=bound, seconds=left)
        return Job(number, self.work[number], limits, self._equal(number))

    def done(self, job: Job, judged: Judged) -> None:
        """Take note of what came of a job."""
        self._busy.remove(job.number)
        if judged.better(self.known[job.number]):
            self.known[job.number] = judged
        if judged.complete:
            done = attrs.evolve(self._cases[job.number], asked=judged.asked)
            same = (n for n, c in enumerate(self._cases) if c.situation == done.situation)
            self._answered.update(n for n in same if self._cases[n].like(done))
        if not judged.repeatable and self.end > clock():
            self._round[job.number] = len(self.bounds)  # memory: more would not help
        else:
            self._round[job.number] = sum(bound <= judged.states for bound in self.bounds)

    def over(self, number: int) -> bool:
        """Is there nothing more to do for a unit?"""
        known = self.known[number]
        return self._round[number] == len(self.bounds) or (known is not None and known.complete)

    def results(self) -> list[Judged]:
        """What is known of each unit, in their order."""
        return [known or not_begun(unit) for known, unit in zip(self.known, self.work)]

    def _rank(self, number: int) -> tuple[bool, bool, int, bool, int, int, int]:
        """The thread's question is first; then what need only be taken over. One that breaks
        decides its cell, so the other variants of that can wait. A first variant of each cell
        says more than all of one, and what the others cost is seen by it."""
        unit, cell = self.work[number], self._cells[number]
        asked = unit.fix in fixes.THREAD and unit.situation in situations.THREAD
        known = [one for one in (self.known[n] for n in cell) if one is not None]
        broken = any(one.verdict.verdict == "violated" for one in known)
        costs = (one.verdict.evidence.states if one.complete else one.states for one in known)
        cost = max(costs, default=0)
        search = number not in self._answered
        return not asked, search, self._round[number], broken, cost, cell.index(number), number

    def _equal(self, number: int) -> Judged | None:
        """What was found of another unit and holds of this one too, if that says more."""
        case, bound = self._cases[number], self.bounds[self._round[number]]
        for other, known in zip(self._cases, self.known):
            if known is None or not known.repeatable or other.situation != case.situation:
                continue
            enough = known.complete or known.states >= bound
            if enough and case.like(attrs.evolve(other, asked=known.asked)):
                return known
        return None


def judge_all(budget: Budget, jobs: int) -> Iterator[int]:
    """Do all there is to do, in as many processes; yields the numbers of units of which more
    is known."""
    if jobs < 2 or len(budget.work) < 2:
        while job := budget.next():
            budget.done(job, job.do())
            yield job.number
        return
    jobs = min(jobs, len(budget.work))
    # leaving the pool ends its processes at once: after Ctrl-C nobody waits for the rest
    with processes(jobs) as pool:
        yield from _in_processes(budget, pool, jobs)


@contextmanager
def processes(jobs: int) -> Iterator[Pool]:
    """So many processes that no Ctrl-C reaches: it goes to all that a terminal runs, and is for
    the one that shows results. They have it blocked from their first moment on, not only
    once they are set up."""
    # forkserver: a fork of a process with threads (a progress bar's) may hang
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["kmodel.budget"])
    resource_tracker.ensure_running()  # it would unblock the signal if it were started later
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        pool = context.Pool(jobs)
    except BaseException:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        raise
    with pool:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        yield pool


def _in_processes(budget: Budget, pool: Pool, jobs: int) -> Iterator[int]:
    ended: SimpleQueue[Ended] = SimpleQueue()
    running = 0
    while True:
        while running < jobs and (job := budget.next()):
            hear = partial(_hear, ended, job)
            pool.apply_async(job.do, callback=hear, error_callback=hear)
            running += 1
        if not running:
            return
        try:
            job, came = ended.get(timeout=max(budget.end + GRACE - clock(), 0.01))
        except Empty:
            return  # a process was killed, or does not come to an end
        running -= 1
        if isinstance(came, BaseException):
            raise came
        budget.done(job, came)
        yield job.number


def _hear(ended: SimpleQueue[Ended], job: Job, came: Judged | BaseException) -> None:
    ended.put((job, came))


def default_jobs() -> int:
    return os.cpu_count() or 1
