"""Sampled runs of a case on Trio tasks, logged, and what they add up to.

A sample never shows that something cannot happen. Its traces tell how much was new."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import attrs

from kmodel.case import Case
from kmodel.counting import Counting, both, of_kernel, pool_failures
from kmodel.explore.execution import Execution, Outcome, run
from kmodel.explore.host import TrioHost, on_trio
from kmodel.explore.interrupt import interruptible
from kmodel.explore.judgement import NO_VERDICT, Judgement
from kmodel.explore.recipe import Recipe, recipe
from kmodel.explore.shrink import Shrunk, shrink
from kmodel.explore.signature import shown
from kmodel.explore.strategy import Random, Replay
from kmodel.explore.traces import Traced, Traces, next_new
from kmodel.explore.tree import Divergence
from kmodel.explore.walking import Walks
from kmodel.log.recorder import Recorder, unable
from kmodel.log.runs import CutShort, LogError
from kmodel.shown import make_token
from kmodel.untracked import refuse_untracked
from kmodel.verdict import Evidence, Finding, Verdict

MAX_STEPS: Final = 20_000
"""Steps after which a single run is given up."""
SAMPLE_STEPS: Final = 2_000
"""The same for the matrix's samples, of which a great many are taken."""
KEPT_FAILURES: Final = 10
"""Broken runs of which the log is kept; of the others only the count."""


@attrs.frozen
class Run:
    """One sampled run. ``log`` is where its events are, if they were kept; runs of one
    sample with equal ``trace`` differ in nothing that matters."""

    seed: int
    outcome: Outcome
    digest: str
    schedule: bytes
    counts: Counter[str]
    waiting: dict[str, str]
    trace: int
    log: Path | None


class Sampler:
    """Takes runs of ``case``, drawn by ``drawn``, and remembers what they showed.
    The log of the first run and of the first broken ones is kept under ``logs``;
    ``cut_short`` says why no more could be written there."""

    def __init__(
        self,
        case: Case,
        seed: int,
        logs: Path,
        max_steps: int = MAX_STEPS,
        drawn: Recipe | None = None,
    ) -> None:
        self.case, self.seed, self.max_steps = case, seed, max_steps
        self.logs: Path | None = logs
        self.cut_short: str | None = None
        self.recipe, self._traces = drawn or recipe("random"), Traces()
        self.runs: list[Run] = []
        self.broken: list[Run] = []
        self.hung: list[Run] = []
        self.findings: dict[str, tuple[str, bytes]] = {}
        self.reached: set[str] = set()
        self.interrupted = False
        self._began = time.monotonic()
        world = case.build()
        world.seal()
        self._unseen = refuse_untracked(world)

    def take(self, runs: int, tick: Callable[[Run], None]) -> None:
        """So many runs, each with the next seed; Ctrl-C ends it early and keeps them."""
        with interruptible() as asked_to_stop:
            for number in range(runs):
                run = self._run(self.seed + number, logged=not number)
                if not number:
                    assert_same(run, on_trio(self._one, run.seed, None))
                if run.outcome.kind != "done":
                    kept = self.broken if run.outcome.kind != "limit" else self.hung
                    if run.log is None and len(kept) < KEPT_FAILURES:
                        # the same seed gives the same run: once more, written down
                        run = self._run(run.seed, logged=True)
                    kept.append(run)
                self.runs.append(run)
                self._unseen.refuse_changed()
                self.recipe.learn(self._strategy)
                tick(run)
                if asked_to_stop():
                    self.interrupted = True
                    return

    def _run(self, seed: int, logged: bool) -> Run:
        """One run. A disk that fills up ends the writing of logs, not the sampling: what was
        found must not be lost with it."""
        try:
            return on_trio(self._one, seed, self.logs if logged else None)
        except LogError as error:
            if not self.runs and not isinstance(error, CutShort):
                raise
            self.cut_short, self.logs = str(error), None
            return on_trio(self._one, seed, None)

    async def _one(self, seed: int, logs: Path | None) -> Run:
        world = self.case.build()
        header = self.case.header(world, self.recipe.name, seed, None)
        counting = Counting()
        self._strategy = self.recipe.strategy(seed)
        traced = Traced(self._strategy, self._traces)
        with Recorder.start(header, logs) as recorder:
            execution = Execution(world, both(counting, recorder), checks=True)
            outcome = await TrioHost(execution, traced, self.max_steps).run()
            digest = recorder.close(outcome, unable(execution))
        self.reached |= counting.reached
        judged = {check.name for check in world.checks if check.judged}
        for name, text in execution.findings.items():
            if name not in judged:
                steps = bytes(execution.choices[: execution.found_at[name]])
                self.findings.setdefault(name, (text, steps))
        waiting = execution.waiting() if outcome.kind != "done" else {}
        return Run(
            seed=seed,
            outcome=outcome,
            digest=digest,
            schedule=bytes(execution.choices),
            counts=counting.total,
            waiting=waiting,
            trace=traced.trace.number(),
            log=recorder.path,
        )

    def verdict(self) -> Verdict:
        """``violated`` if a run broke something; else ``inconclusive``: it was a sample."""
        worst = self.broken[0] if self.broken else None
        limited = self.hung
        finding = self._finding(worst) if worst else None
        logged = worst or next(iter([*self.hung, *self.runs]), None)
        broken = finding is not None and finding.kind not in (*NO_VERDICT, "nondeterminism")
        taken = len(self.runs)
        message = f"{taken} {self.recipe.name} run(s) broke nothing, which proves nothing"
        message += " (kmodel explore also looks for hangs and data races)"
        if limited:
            waits = ", ".join(f"{task} at {at}" for task, at in limited[0].waiting.items())
            message = (
                f"{len(limited)} of {len(self.runs)} runs were not over after {self.max_steps} "
                f"steps (seed {limited[0].seed}: {waits}); to know whether they can hang: "
                f"kmodel explore {self.case.called}"
            )
        return Verdict(
            scenario=self.case.scenario.name,
            params=self.case.params,
            fix=self.case.fix,
            situation=self.case.situation,
            strategy=self.recipe.name,
            seed=self.seed,
            verdict="violated" if broken else "inconclusive",
            kind=finding.kind if finding else None,
            property=finding.property if finding else None,
            message=finding.message if finding else message,
            culprits=finding.culprits if finding else (),
            evidence=self._evidence(bool(limited)),
            counts=self.counts(),
            reached={text: text in self.reached for text in self._sometimes()},
            replay=finding.replay if finding else None,
            log=str(logged.log) if logged and logged.log else None,
            findings=self._other_findings(),
            excluded=(),
            digest=logged.digest if logged else None,
            shrunk=finding.shrunk if finding else None,
        )

    def counts(self) -> dict[str, Any]:
        """Sums over all runs; ``next_new`` is the chance that one more is of a new trace."""
        total: Counter[str] = Counter()
        for taken in self.runs:
            total.update(taken.counts)
        return {
            "runs": len(self.runs),
            "ended": dict(Counter(run.outcome.kind for run in self.runs)),
            **(of_kernel(total) if self.case.kernel else {}),
            "next_new": round(next_new(run.trace for run in self.runs), 4),
            **({self.recipe.name: report} if (report := self.recipe.report()) else {}),
        }

    def _sometimes(self) -> list[str]:
        return self.case.build().sometimes

    def _evidence(self, limited: bool) -> Evidence:
        return Evidence(
            complete=False,
            bound=f"{self.max_steps} steps" if limited else "samples",
            executions=len(self.runs),
            states=0,
            traces=len(self._traces),
            steps=sum(run.outcome.steps for run in self.runs),
            assumptions=self.case.assumptions,
            seconds=round(time.monotonic() - self._began, 3),
        )

    def _finding(self, run: Run) -> Finding:
        outcome = run.outcome
        finding = Finding(
            kind=outcome.kind,
            property=outcome.property or "ends",
            message=outcome.message,
            culprits=outcome.culprits,
        )
        return self._shown(finding, run.schedule, "")

    def _other_findings(self) -> tuple[Finding, ...]:
        return tuple(
            self._shown(Finding(kind="invariant", property=name, message=text), steps, name)
            for name, (text, steps) in self.findings.items()
        )

    def _shown(self, finding: Finding, schedule: bytes, prop: str) -> Finding:
        """With a token of the smallest run that shows it. ``prop`` is the check that failed
        and did not end the run, if it is that."""
        small = self._shrunk(schedule, prop)
        if small:
            schedule = small.choices
            finding = attrs.evolve(
                finding,
                message=small.message,
                culprits=small.culprits,
                preemptions=small.cost[1],
                shrunk=_said(small),
            )
        token = make_token(self.case, finding, schedule, b"")
        return attrs.evolve(finding, replay=token.word(), digest=token.digest, stem=len(schedule))

    def _shrunk(self, schedule: bytes, prop: str) -> Shrunk | None:
        """The run made smaller, unless the user has had enough."""
        if self.interrupted:
            return None
        with interruptible() as asked_to_stop:
            execution = Execution(self.case.build(), checks=True)
            # one more than there are, so that a deadlock is found
            run(execution, Replay(schedule), len(schedule) + (not prop))
            wanted = shown(execution, prop)
            if wanted is None:
                return None
            small = shrink(self.case.build, schedule, wanted, enough=asked_to_stop)
            self.interrupted = asked_to_stop()
        return small


def _said(small: Shrunk) -> dict[str, Any]:
    """What the document says of a run that was made smaller."""
    names = ("tasks", "preemptions", "steps")
    return {
        **dict(zip(names, small.cost)),
        "from": dict(zip(names, small.original)),
        "minimal": small.minimal,
        "fewest_preemptions": small.fewest,
        "runs": small.runs,
    }


def assert_same(one: Run, other: Run) -> None:
    """Raise ``Divergence`` if the same seed gave two runs that differ."""
    if one.digest == other.digest:
        return
    pairs = list(zip(one.schedule, other.schedule))
    step = next((n for n, (a, b) in enumerate(pairs) if a != b), len(pairs))
    raise Divergence(
        f"not deterministic: seed {one.seed} gave two different runs, whose schedules part at step "
        f"{step}: the scenario uses something that is neither its parameters nor shared state"
    )


def sample(found: Judgement, seed: int, runs: int) -> dict[str, Any]:
    """Random runs through the graph of a judged search: mean counts a run, and how the runs
    ended. One that goes round for ever is broken off where it begins to, and counted as it
    stands."""
    total: Counter[str] = Counter()
    ended: Counter[str] = Counter()
    steps, walks, counting = 0, Walks(found.graph, found.live.order), Counting(total)
    for number in range(runs):
        walked = walks.run(Random(seed + number), counting.hear, SAMPLE_STEPS)
        ended[walked.kind] += 1
        steps += len(walked.choices)
    return {
        "runs": runs,
        "seed": seed,
        "ended": dict(sorted(ended.items())),
        "mean_steps": round(steps / runs, 1),
        "mean_refaults": round(total["refaults"] / runs, 2),
        "mean_pool_failures": {
            cause: round(failures / runs, 2) for cause, failures in pool_failures(total).items()
        },
        "mean_daemon_laps": round(total["daemon_laps"] / runs, 2),
        "kills": total["kills"],
    }
