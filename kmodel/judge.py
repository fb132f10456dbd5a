"""Judges a searched graph: which properties hold, what broke, and the most of everything."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cached_property
from typing import Any, Final

import attrs

from kmodel.case import ASSUMPTIONS, Case
from kmodel.explore.cycle import Fairness
from kmodel.explore.graph import Search
from kmodel.explore.lasso import easiest
from kmodel.explore.liveness import Hang, Liveness, Measure
from kmodel.explore.order import LockOrder
from kmodel.explore.race import races
from kmodel.shown import make_token, show, undecided
from kmodel.verdict import Evidence, Finding, Verdict

RESTART: Final = "fault.restart"
FAIR: Final = Fairness("weak", True)
NO_LIVELOCK: Final = "no refault livelock"
ENDS: Final = "ends"
PROPERTIES: Final = {
    NO_LIVELOCK: "no fair run restarts an unfinished fault for ever",
    ENDS: "every obliged task ends, under weak fairness and lock-grant",
}


class Judge:
    """Turns a finished (or stopped) search of ``case`` into findings and verdicts."""

    def __init__(self, case: Case, search: Search) -> None:
        self.case, self.graph = case, search.graph
        self.world = self.graph.world
        self.live = Liveness(self.graph, RESTART)
        self.executions = 0
        self.worst: Finding | None = None
        self._names = [task.name for task in self.world.tasks]
        self._order = search.order
        self._began = time.monotonic() - self.graph.seconds

    @cached_property
    def broken(self) -> list[tuple[Finding, bool]]:
        """Every broken check that is no question of liveness, and whether it is judged."""
        found = list(self.violated)
        for race in races(self.graph):
            path = self.live.paths.to(race.state, race.path) + race.path
            finding = Finding(
                kind="data-race",
                property="no data race",
                message=race.message(self._names),
                culprits=(race.location, self._names[race.first], self._names[race.second]),
            )
            found.append((self._shown(finding, path, b""), True))
        found += self.inverted
        return found

    @cached_property
    def inverted(self) -> list[tuple[Finding, bool]]:
        """Cycles in the lock order. A confirmed one is judged, unless an obliged task is in
        it: then it is a deadlock, and judged as that."""
        found = []
        for cycle in LockOrder(self.graph, self.live.paths).inversions:
            stuck = cycle.deadlock
            tasks = stuck.tasks if stuck else [taking.task for taking in cycle.takings]
            who = [self._names[task] for task in dict.fromkeys(tasks)]
            finding = Finding(
                kind="lock-order",
                property="lock order",
                message=cycle.message(self._names),
                culprits=(*who, *cycle.locks),
            )
            if stuck:
                finding = self._shown(finding, self.live.paths.to(stuck.state), b"")
            obliged = any(self.world.tasks[task].obliged for task in tasks)
            found.append((finding, stuck is not None and not obliged))
        return found

    @cached_property
    def violated(self) -> list[tuple[Finding, bool]]:
        """Those that are a question of one state: panics and the checks of the scenario."""
        found = []
        for violation in self.graph.violations:
            finding = Finding(
                kind=violation.kind,
                property=violation.property,
                message=violation.message,
                culprits=violation.culprits,
            )
            path = easiest(self.live.paths, violation)
            found.append((self._shown(finding, path, b""), violation.judged))
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
        if not self.graph.complete:
            return ()  # what lock-grant would rule out may also hold without it
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

    def in_haste(self) -> Verdict:
        """What is known without judging liveness and races: for who interrupts that."""
        judged = sorted((f for f, counts in self.violated if counts), key=Finding.rank)
        others = [finding for finding, counts in self.violated if not counts]
        message = "interrupted: liveness and races of what was searched were not judged"
        worst = judged[0] if judged else None
        return attrs.evolve(
            undecided(self.case, self._order, "", message if worst is None else worst.message),
            verdict="violated" if worst else "inconclusive",
            kind=worst.kind if worst else None,
            replay=worst.replay if worst else None,
            digest=worst.digest if worst else None,
            property=worst.property if worst else None,
            evidence=attrs.evolve(self.evidence(), complete=False, bound="interrupted"),
            findings=tuple(judged[1:] + others),
        )

    def cell(self, properties: tuple[str, ...]) -> Verdict:
        """Judge ``properties`` alone; whatever else is broken becomes a finding."""
        of = {NO_LIVELOCK: self.restarted, ENDS: self.unending}
        judged = sorted((f for name in properties for f in of[name]), key=Finding.rank)
        others = [finding for finding, _ in self.broken if finding not in judged]
        return self._document(judged, others)

    def _document(self, judged: list[Finding], others: list[Finding]) -> Verdict:
        worst = self.worst = judged[0] if judged else None
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
            strategy=self._order,
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
            seconds=round(time.monotonic() - self._began, 3),
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
        causes = sorted({failure(fields) for _, event, fields in events if event == "pool.fail"})
        measures += [Measure(_failed(cause)) for cause in causes]
        measures += [Measure(_is("daemon.lap")), Measure(killed)]
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
            finding,
            replay=with_digest.word(),
            digest=with_digest.digest,
            stem=len(stem),
            preemptions=self.live.paths.preemptions(stem),
        )


def _is(name: str) -> Callable[[str, dict[str, Any]], bool]:
    return lambda event, fields: event == name


def _restarted(va: str) -> Callable[[str, dict[str, Any]], bool]:
    return lambda event, fields: event == RESTART and fields["va"] == va


def _failed(cause: str) -> Callable[[str, dict[str, Any]], bool]:
    return lambda event, fields: event == "pool.fail" and failure(fields) == cause


def failure(fields: dict[str, Any]) -> str:
    """Which pool gave NULL, and why: ``vp: map lock refused``."""
    return f"{fields['obj'].removesuffix(' pool')}: {fields['why']}"


def killed(event: str, fields: dict[str, Any]) -> bool:
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
