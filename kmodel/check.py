"""The joint: a scenario, judged.

``Case`` says what is run; ``explore`` searches every schedule of it and judges;
``sample`` takes random ones. Everything that is reported as broken has been run
again on fresh, unrecorded objects first.
"""

from __future__ import annotations

import gc
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import attrs

import kmodel
from kmodel import fixes, settings, situations, story
from kmodel.explore.cycle import Fairness
from kmodel.explore.execution import Execution, Outcome, run
from kmodel.explore.graph import NOWHERE, Graph, Limits, Order, Search
from kmodel.explore.history import FalseLive, Histories
from kmodel.explore.interrupt import interruptible
from kmodel.explore.liveness import Hang, Liveness, Measure
from kmodel.explore.purity import building
from kmodel.explore.race import races
from kmodel.explore.schedule import Token, digits
from kmodel.explore.snapshot import snapshot
from kmodel.explore.strategy import Random, Replay, ReplayDiverged
from kmodel.explore.tree import Divergence
from kmodel.log.record import Header
from kmodel.log.recorder import Recorder
from kmodel.param import KernelParams
from kmodel.point import START
from kmodel.verdict import Evidence, Finding, Verdict
from kmodel.world import World

RESTART: Final = "fault.restart"
FAIR: Final = Fairness("weak", True)
NO_LIVELOCK: Final = "no refault livelock"
ENDS: Final = "ends"
PROPERTIES: Final = {
    NO_LIVELOCK: "no fair run restarts an unfinished fault for ever",
    ENDS: "every obliged task ends, under weak fairness and lock-grant",
}
MAX_STEPS: Final = 20_000
"""Steps after which a single run is given up."""
SAMPLE_STEPS: Final = 2_000
"""The same for the matrix's samples, where many runs hang on purpose."""

ASSUMPTIONS: Final = (
    "sequential consistency",
    "one thread a CPU, no interrupts",
    "steps run from point to point (justified where no data race is found)",
)


@attrs.frozen
class Case:
    """What is run: a scenario, all its parameters, a fix, and a situation's name."""

    scenario: story.Scenario
    own: dict[str, Any]
    kernel: KernelParams
    fix: str
    situation: str | None = None

    @classmethod
    def of(
        cls, name: str, given: dict[str, Any], fix: str = "wait", situation: str | None = None
    ) -> Case:
        """Load and check everything; ``UsageError`` names what is not there."""
        if fix not in fixes.names():
            raise settings.UsageError(f"No fix {fix!r}.{settings.did_you_mean(fix, fixes.names())}")
        params: dict[str, Any] = {}
        if situation is not None:
            if situation not in situations.names():
                hint = settings.did_you_mean(situation, situations.names())
                raise settings.UsageError(f"No situation {situation!r}.{hint}")
            params |= situations.load(situation).params
        with building():
            loaded = story.load(name)
        own, kernel = settings.structure(loaded.own, params | given)
        return cls(loaded, own, kernel, fix, situation)

    def build(self) -> World:
        with building():
            return self.scenario.build(self.own, self.kernel, fixes.load(self.fix))

    @property
    def params(self) -> dict[str, Any]:
        return self.own | attrs.asdict(self.kernel)

    def differing(self) -> dict[str, Any]:
        """The parameters that are not the defaults: what a token must carry."""
        defaults = attrs.asdict(self.scenario.own()) | attrs.asdict(KernelParams())
        return {key: value for key, value in self.params.items() if value != defaults[key]}

    def header(self, world: World, strategy: str, seed: int | None, token: str | None) -> Header:
        return Header(
            scenario=self.scenario.name,
            scenario_digest=self.scenario.digest,
            tasks=tuple(task.name for task in world.tasks),
            params=self.params,
            fix=self.fix,
            situation=self.situation,
            strategy=strategy,
            seed=seed,
            token=token,
            assumptions=ASSUMPTIONS,
        )


Tick = Callable[[Graph], None]


class Judge:
    """Turns a finished (or stopped) search of ``case`` into findings and verdicts."""

    def __init__(self, case: Case, search: Search) -> None:
        self.case, self.graph = case, search.graph
        self.world = self.graph.world
        self.live = Liveness(self.graph, RESTART)
        self.executions = 0
        self._names = [task.name for task in self.world.tasks]

    @cached_property
    def broken(self) -> list[tuple[Finding, bool]]:
        """Every broken check that is no question of liveness, and whether it is judged."""
        found = []
        for violation in self.graph.violations:
            path = self.live.paths.to(violation.state)
            if violation.task is not None:
                path += bytes([violation.task])
            finding = Finding(
                kind=violation.kind,
                property=violation.property,
                message=violation.message,
                culprits=violation.culprits,
            )
            found.append((self._shown(finding, path, b""), violation.judged))
        for race in races(self.graph):
            path = self.live.paths.to(race.state) + race.path
            finding = Finding(
                kind="data-race",
                property="no data race",
                message=race.message(self._names),
                culprits=(race.location, self._names[race.first], self._names[race.second]),
            )
            found.append((self._shown(finding, path, b""), True))
        return found

    @cached_property
    def restarted(self) -> list[Finding]:
        """Violations of "no refault livelock"."""
        hang = self.live.repeats(FAIR)
        return [self._hang(hang, NO_LIVELOCK)] if hang else []

    @cached_property
    def unending(self) -> list[Finding]:
        """Violations of "ends": a panic, or a way to hang."""
        panics = [f for f, judged in self.broken if f.property == "no panic"]
        return panics + [self._hang(hang, ENDS) for hang in self.live.hangs(FAIR)]

    @cached_property
    def excluded(self) -> tuple[Finding, ...]:
        """Hangs that lock-grant alone rules out."""
        granted = {finding.kind for finding in self.unending}
        weak = self.live.hangs(Fairness("weak", False))
        return tuple(self._hang(hang, ENDS) for hang in weak if hang.kind not in granted)

    def verdict(self) -> Verdict:
        """Judge everything: the checks of the scenario, races, and both properties."""
        judged = [finding for finding, counts in self.broken if counts]
        others = [finding for finding, counts in self.broken if not counts]
        judged += self.restarted
        for finding in self.unending:
            told = finding in judged or (finding.kind == "livelock" and self.restarted)
            judged += [] if told else [finding]
        judged.sort(key=Finding.rank)
        return self._document(judged, others)

    def cell(self, properties: tuple[str, ...]) -> Verdict:
        """Judge ``properties`` alone; whatever else is broken becomes a finding."""
        of = {NO_LIVELOCK: self.restarted, ENDS: self.unending}
        judged = sorted((f for name in properties for f in of[name]), key=Finding.rank)
        others = [finding for finding, _ in self.broken if finding not in judged]
        return self._document(judged, others)

    def _document(self, judged: list[Finding], others: list[Finding]) -> Verdict:
        worst = judged[0] if judged else None
        reached = self.reached
        verdict, kind, message = "holds", None, "no schedule within the bounds breaks anything"
        if worst is not None:
            verdict = "inconclusive" if worst.kind == "scenario-error" else "violated"
            kind, message = worst.kind, worst.message
        elif not self.graph.complete:
            verdict = "inconclusive"
            message = f"nothing found, and the search ended early: {self.graph.stopped_by}"
        elif not all(reached.values()):
            verdict, kind = "inconclusive", "vacuous"
            missing = next(text for text, hit in reached.items() if not hit)
            message = f"no run reached {missing!r}: the scenario does not show what it is about"
        return Verdict(
            scenario=self.case.scenario.name,
            params=self.case.params,
            fix=self.case.fix,
            situation=self.case.situation,
            strategy="dfs",
            seed=None,
            verdict=verdict,
            kind=kind,
            property=worst.property if worst else None,
            message=message,
            culprits=worst.culprits if worst else (),
            evidence=self.evidence(),
            counts=self.longest,
            reached=reached,
            replay=worst.replay if worst else None,
            log=None,
            findings=tuple(judged[1:] + others),
            excluded=self.excluded,
            digest=worst.digest if worst else None,
            survives=worst.survives if worst else None,
            can_end=worst.can_end if worst else None,
        )

    def evidence(self) -> Evidence:
        graph, kernel = self.graph, self.case.kernel
        return Evidence(
            complete=graph.complete,
            bound=graph.stopped_by or "none",
            executions=self.executions,
            states=len(graph),
            traces=None,
            steps=graph.transitions,
            assumptions=(*ASSUMPTIONS, f"lock policy {kernel.rwlock}", f"liveness under {FAIR}"),
            seconds=round(graph.seconds, 3),
        )

    @cached_property
    def reached(self) -> dict[str, bool]:
        """Which of the places that must be reached were."""
        said = {fields["text"] for _, event, fields in self._events() if event == "mark"}
        return {text: text in said for text in self.world.sometimes}

    @cached_property
    def longest(self) -> dict[str, Any]:
        """The most of everything that any run shows; ``None`` where there is no most.
        ``refaults`` is the longest chain of restarts of one fault."""
        events = self._events()
        restarts = sorted(
            {(task, fields["va"]) for task, event, fields in events if event == RESTART}
        )
        measures = [Measure(_restarted(va), task) for task, va in restarts]
        chains = len(measures)
        causes = sorted({fields["why"] for _, event, fields in events if event == "pool.fail"})
        measures += [Measure(_failed(cause)) for cause in causes]
        measures += [Measure(_is("daemon.lap")), Measure(_killed)]
        most = self.live.longest(measures)
        refaults = most[:chains]
        return {
            "refaults": None if None in refaults else max((r for r in refaults if r), default=0),
            "pool_failures": dict(zip(causes, most[chains:-2])),
            "daemon_laps": most[-2],
            "kills": most[-1],
        }

    def _events(self) -> list[tuple[int, str, dict[str, Any]]]:
        """Everything that any step says, with who says it."""
        leaves = self.graph.histories.leaves
        return [(task, event, fields) for task, leaf in leaves for event, fields in leaf.said]

    def _hang(self, hang: Hang, prop: str) -> Finding:
        who = [self._names[task] for task in hang.tasks]
        finding = Finding(
            kind=hang.kind,
            property=prop,
            message=_hang_message(hang, who, self._names),
            culprits=(*who, *sorted({wait.split(" ", 1)[-1] for wait in hang.waits})),
            survives=str(hang.survives) if hang.survives else None,
            can_end=tuple(self._names[task] for task in hang.can_end),
            stem=len(hang.stem),
            loop=len(hang.loop),
        )
        return self._shown(finding, hang.stem, hang.loop)

    def _shown(self, finding: Finding, stem: bytes, loop: bytes) -> Finding:
        """Run it again on fresh objects, and add the token. ``Divergence`` if it differs."""
        self.executions += 1
        token = make_token(self.case, finding, stem, loop)
        with_digest = attrs.evolve(token, digest=show(self.case, token))
        return attrs.evolve(
            finding, replay=with_digest.word(), digest=with_digest.digest, stem=len(stem)
        )


def _is(name: str) -> Callable[[str, dict[str, Any]], bool]:
    return lambda event, fields: event == name


def _restarted(va: str) -> Callable[[str, dict[str, Any]], bool]:
    return lambda event, fields: event == RESTART and fields["va"] == va


def _failed(cause: str) -> Callable[[str, dict[str, Any]], bool]:
    return lambda event, fields: event == "pool.fail" and fields["why"] == cause


def _killed(event: str, fields: dict[str, Any]) -> bool:
    return event == "fault.end" and fields["signal"] == "SIGKILL"


def _hang_message(hang: Hang, who: list[str], names: list[str]) -> str:
    tasks = " and ".join(who)
    places = ", ".join(f"{task} at {wait}" for task, wait in zip(who, hang.waits))
    if hang.kind in ("deadlock", "lost-wakeup"):
        why = ", though what is slept for is true" if hang.kind == "lost-wakeup" else ""
        return f"{tasks} can never step again ({places}){why}"
    ends = [names[task] for task in hang.can_end]
    leave = f"{' and '.join(ends)} could still end from it" if ends else "nobody can end from it"
    loop = f"a loop of {len(hang.loop)} steps that survives {hang.survives}; {leave}"
    if hang.kind == "starvation":
        return f"{tasks} can wait for ever ({places}) while others go on: {loop}"
    return f"{tasks} can go round for ever without ending: {loop}"


def make_token(case: Case, finding: Finding, stem: bytes, loop: bytes) -> Token:
    return Token(
        case.scenario.name,
        case.differing(),
        case.fix,
        digits(stem),
        digits(loop),
        "",
        finding.kind,
        finding.property,
        case.scenario.digest,
        kmodel.__version__,
    )


class Shown:
    """A token being run again, on whichever host.

    ``execution`` and ``strategy`` are for the host; ``close`` checks that a lasso's
    loop came back to where it began, and returns the digest.
    """

    def __init__(self, case: Case, token: Token, logs: Path | None = None, keep: bool = False):
        stem, loop = token.schedule()
        world = case.build()
        header = case.header(world, "replay", None, token.word())
        self.recorder = Recorder.start(header, logs, keep=keep)
        self.execution = Execution(world, self.recorder, checks=True)
        self.execution.at_bound = (token.kind, "")
        self.strategy = Replay(stem + loop, len(stem) if loop else -1, self._loop_begins)
        self.max_steps = len(stem) + len(loop)
        self._before: tuple[Any, ...] | None = None

    def _loop_begins(self) -> None:
        self._before = snapshot(self.execution)

    def close(self, outcome: Outcome) -> str:
        if self._before is not None and snapshot(self.execution) != self._before:
            raise Divergence("the loop of a lasso did not come back to where it began")
        return self.recorder.close(outcome)


def show(case: Case, token: Token) -> str:
    """Replay ``token`` on the inner loop and return the digest of its events.

    Raises ``Divergence`` where the run does not do what the search said of it.
    """
    shown = Shown(case, token)
    try:
        outcome = run(shown.execution, shown.strategy, shown.max_steps)
    except ReplayDiverged as error:
        raise Divergence(str(error)) from error
    return shown.close(outcome)


def explore(case: Case, limits: Limits, order: Order = "dfs", tick: Tick | None = None) -> Judge:
    """Search every schedule of ``case``, as far as ``limits`` allow. A Ctrl-C stops the
    search and keeps what it has."""
    search = Search(case.build(), limits, order)
    with interruptible() as asked_to_stop, no_collector():
        while search.advance(500):
            if tick:
                tick(search.graph)
            if asked_to_stop():
                search.interrupt("interrupted")
    if search.graph.complete:
        recheck(case, search.graph, walks=4)
    return Judge(case, search)


def check_live(case: Case, limits: Limits, tick: Tick | None = None) -> Verdict:
    """Search with keys that forget nothing, and look for a ``Loop.head`` or ``procedure`` that
    forgets what still matters. Loops never close then, so that a limit ends it: a check
    within bounds, breadth first."""
    world = case.build()
    search = Search(world, limits, "bfs", Histories(world, forgetful=False))
    try:
        with interruptible() as asked_to_stop, no_collector():
            while search.advance(500):
                if tick:
                    tick(search.graph)
                if asked_to_stop():
                    search.interrupt("interrupted")
    except FalseLive as lie:
        return undecided(case, "check-live", "scenario-error", str(lie))
    graph = search.graph
    how = "all states" if graph.complete else f"the first {len(graph):,} states"
    message = f"nothing that loops and procedures forget matters later, in {how} with full keys"
    kept = undecided(case, "check-live", "", message)
    evidence = attrs.evolve(
        kept.evidence,
        complete=graph.complete,
        bound=graph.stopped_by or "none",
        states=len(graph),
        steps=graph.transitions,
        seconds=round(graph.seconds, 3),
    )
    verdict = "holds" if graph.complete else "inconclusive"
    return attrs.evolve(kept, kind=None, verdict=verdict, evidence=evidence)


@contextmanager
def no_collector() -> Iterator[None]:
    """The cycle collector off: a graph is large, lives on, and has no cycles to collect,
    so that looking through it again and again only takes time (a fifth of a search)."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def recheck(case: Case, graph: Graph, walks: int) -> None:
    """Take a few random walks through ``graph`` with real objects beside it.

    Raises ``Divergence`` at the first step at which other tasks can go than the graph
    says: then something shared is not seen, or the scenario is not deterministic.
    """
    for seed in range(walks):
        execution = Execution(case.build())
        try:
            _walk(execution, graph, random.Random(seed))
        finally:
            execution.close()


def _walk(execution: Execution, graph: Graph, chance: random.Random) -> None:
    state = 0
    for step in range(400):
        row = graph.succ[state]
        said = [task for task, to in enumerate(row) if to != NOWHERE]
        onward = [task for task in said if row[task] >= 0]
        if graph.final(state) or not onward:
            return
        able = execution.enabled()
        # until every task has begun the search takes silent first steps in order
        begun = all(op is None or op[0] is not START for op in execution.pending)
        if not set(said) <= set(able) or (begun and said != able):
            raise Divergence(
                f"not deterministic: after the same {step} steps {_named(graph, able)} can step, "
                f"and {_named(graph, said)} could before"
            )
        task = onward[int(chance.random() * len(onward))]
        execution.step(task)
        state = row[task]


def _named(graph: Graph, tasks: list[int]) -> str:
    return ", ".join(graph.world.tasks[task].name for task in tasks) or "nobody"


def sample(
    case: Case, seed: int, runs: int, tick: Callable[[int, Outcome], None] | None = None
) -> dict[str, Any]:
    """Random runs on the inner loop: mean counts a run, and how the runs ended."""
    total: Counter[str] = Counter()
    ended: Counter[str] = Counter()
    steps = 0
    for number in range(runs):
        counter = Counting(total)
        execution = Execution(case.build(), counter)
        outcome = run(execution, Random(seed + number), SAMPLE_STEPS)
        ended[outcome.kind] += 1
        steps += outcome.steps
        if tick:
            tick(number, outcome)
    return {
        "runs": runs,
        "seed": seed,
        "ended": dict(ended),
        "mean_steps": round(steps / runs, 1),
        "mean_refaults": round(total["refaults"] / runs, 2),
        "mean_pool_failures": {
            key.removeprefix("pool: "): round(value / runs, 2)
            for key, value in sorted(total.items())
            if key.startswith("pool: ")
        },
        "mean_daemon_laps": round(total["daemon_laps"] / runs, 2),
        "kills": total["kills"],
    }


class Counting:
    """An observer that only counts what the verdict's ``counts`` are about."""

    def __init__(self, total: Counter[str] | None = None) -> None:
        self.total: Counter[str] = Counter() if total is None else total
        self.reached: set[str] = set()

    def __call__(
        self, step: int, task: int, cause: int | None, event: str, fields: dict[str, Any]
    ) -> int:
        if event == RESTART:
            self.total["refaults"] += 1
        elif event == "pool.fail":
            self.total[f"pool: {fields['why']}"] += 1
        elif event == "daemon.lap":
            self.total["daemon_laps"] += 1
        elif event == "mark":
            self.reached.add(fields["text"])
        elif _killed(event, fields) if event == "fault.end" else False:
            self.total["kills"] += 1
        return 0


def undecided(case: Case, strategy: str, kind: str, message: str) -> Verdict:
    """The verdict where there can be none: the scenario is wrong, or not deterministic."""
    return Verdict(
        scenario=case.scenario.name,
        params=case.params,
        fix=case.fix,
        situation=case.situation,
        strategy=strategy,
        seed=None,
        verdict="inconclusive",
        kind=kind,
        property=None,
        message=message,
        culprits=(),
        evidence=Evidence(
            complete=False,
            bound=kind,
            executions=0,
            states=0,
            traces=None,
            steps=0,
            assumptions=ASSUMPTIONS,
            seconds=0.0,
        ),
        counts={},
        reached={},
        replay=None,
        log=None,
        findings=(),
        excluded=(),
        digest=None,
    )


def replayed(case: Case, token: Token, shown: Shown, digest: str) -> Verdict:
    """The verdict document of a replayed run: what the token says it shows."""
    execution = shown.execution
    assert execution.outcome is not None
    return Verdict(
        scenario=token.scenario,
        params=case.params,
        fix=token.fix,
        situation=None,
        strategy="replay",
        seed=None,
        verdict="violated",
        kind=token.kind,
        property=token.property,
        message=execution.outcome.message or f"{token.kind}: {execution.waiting()}",
        culprits=execution.outcome.culprits,
        evidence=Evidence(
            complete=False,
            bound="replay",
            executions=1,
            states=0,
            traces=None,
            steps=execution.outcome.steps,
            assumptions=ASSUMPTIONS,
            seconds=0.0,
        ),
        counts={},
        reached={},
        replay=token.word(),
        log=str(shown.recorder.path) if shown.recorder.path else None,
        findings=(),
        excluded=(),
        digest=digest,
    )
