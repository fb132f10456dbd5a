"""Judges a searched case: what the explorer found gets tokens, and the counts that a
kernel reader asks for."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cached_property
from typing import Any, Final

import attrs

from kmodel.case import Case
from kmodel.explore.alarm import OutOfTime, deadline
from kmodel.explore.drive import no_collector
from kmodel.explore.found import Found
from kmodel.explore.judgement import FAIR, Judgement
from kmodel.explore.measure import Measure
from kmodel.pmap.pools import REFUSED
from kmodel.properties import ENDS, NO_LIVELOCK, PROPERTIES
from kmodel.shown import make_token
from kmodel.verdict import Evidence, Finding, Verdict

RESTART: Final = "fault.restart"
HOLDS: Final = "no schedule within the bounds breaks anything"


class Judge:
    """Turns what ``found`` judges of ``case`` into verdicts. What is reported has been run
    again on fresh objects; ``Divergence`` if that differs."""

    def __init__(
        self, case: Case, found: Judgement, seconds: float | None = None, jobs: int = 1
    ) -> None:
        self.case, self.found, self.graph = case, found, found.graph
        self.executions = 0
        self.worst: Finding | None = None
        self._began = time.monotonic() - self.graph.seconds
        self._shown: dict[Found, Finding] = {}
        with no_collector():
            found.judge(seconds, jobs)
        self._left = None if seconds is None else self._began + self.graph.seconds + seconds

    def verdict(self) -> Verdict:
        """Judge everything: the checks of the scenario, races, lock order, and liveness."""
        found = self.found.everything()
        return self._document([one for one in found if one.judged], found)

    def cell(self, properties: tuple[str, ...]) -> Verdict:
        """Judge ``properties`` alone; whatever else is broken becomes a finding."""
        found = self.found
        judged = sorted((one for name in properties for one in self.against(name)), key=Found.rank)
        others = [*found.violated, *found.racing, *found.inverted]
        return self._document(judged, judged + [one for one in others if one not in judged])

    def against(self, name: str) -> list[Found]:
        """What breaks the property called ``name``."""
        found = self.found
        if name == NO_LIVELOCK:
            return found.repeating
        if name == ENDS:
            return [one for one in found.violated if one.property == "no panic"] + found.hanging
        kinds = PROPERTIES[name].kinds
        every = [*found.violated, *found.racing, *found.inverted, *found.staying]
        return [one for one in every if one.property == name or one.kind in kinds]

    def _document(self, judged: list[Found], everything: list[Found]) -> Verdict:
        found, case = self.found, self.case
        verdict, kind, message = found.conclude(judged, HOLDS)
        worst = self.worst = self.finding(judged[0]) if judged else None
        findings = tuple(map(self.finding, everything))
        excluded = tuple(map(self.finding, found.excluded))
        return Verdict(
            scenario=case.scenario.name,
            params=case.params,
            fix=case.fix,
            situation=case.situation,
            strategy=found.strategy,
            seed=None,
            verdict=verdict,
            kind=kind,
            property=worst.property if worst else None,
            message=message,
            culprits=worst.culprits if worst else (),
            counts=self.longest,
            reached=found.reached(),
            replay=worst.replay if worst else None,
            log=None,
            findings=tuple(one for one in findings if one is not worst),
            excluded=excluded,
            digest=worst.digest if worst else None,
            survives=worst.survives if worst else None,
            can_end=worst.can_end if worst else None,
            evidence=self.evidence(),
        )

    def evidence(self) -> Evidence:
        graph, found = self.graph, self.found
        return Evidence(
            complete=found.complete,
            bound=found.bound,
            executions=self.executions,
            states=found.states,
            traces=None,
            steps=graph.transitions,
            assumptions=(*self.case.assumptions, f"liveness under {FAIR}"),
            seconds=round(time.monotonic() - self._began, 3),
        )

    @cached_property
    def longest(self) -> dict[str, Any]:
        """The most of everything that any run shows; ``None`` where there is no most.
        ``refaults`` is the longest chain of restarts of one fault, ``refused_tries`` how
        often one thread was refused the lock of kernel_map (property 26: no run of refusals in
        a row is longer). Nothing where the graph is not whole enough to tell, or there is
        no kernel or no time."""
        if not self.found.countable or self.case.kernel is None:
            return {}
        left = None if self._left is None else self._left - time.monotonic()
        try:
            with no_collector(), deadline(left):
                return self._longest()
        except (OutOfTime, KeyboardInterrupt):
            return {}

    def _longest(self) -> dict[str, Any]:
        leaves = self.graph.histories.leaves
        events = [(task, event, fields) for task, leaf in leaves for event, fields in leaf.said]
        restarts = sorted(
            {(task, fields["va"]) for task, event, fields in events if event == RESTART}
        )
        measures = [Measure(_restarted(va), task) for task, va in restarts]
        chains = len(measures)
        causes = sorted({failure(fields) for _, event, fields in events if event == "pool.fail"})
        measures += [Measure(_failed(cause)) for cause in causes]
        measures += [Measure(_is("daemon.lap")), Measure(killed)]
        tries = sorted({task for task, event, fields in events if _refused(event, fields)})
        fixed = len(measures)
        most = self.found.live.longest(measures + [Measure(_refused, task) for task in tries])
        return {
            "refaults": _most(most[:chains]),
            "pool_failures": dict(zip(causes, most[chains : fixed - 2])),
            "daemon_laps": most[fixed - 2],
            "kills": most[fixed - 1],
            "refused_tries": _most(most[fixed:]),
        }

    def finding(self, found: Found) -> Finding:
        """With a token, if there is a run to show."""
        if found not in self._shown:
            self._shown[found] = self._replayed(found)
        return self._shown[found]

    def _replayed(self, found: Found) -> Finding:
        finding = Finding(
            kind=found.kind,
            property=found.property,
            message=found.message,
            culprits=found.culprits,
            survives=found.survives,
            can_end=found.can_end,
            loop=len(found.loop),
            preemptions=found.preemptions,
        )
        if found.stem is None:
            return finding
        self.executions += 1
        token = make_token(self.case, finding, found.stem, found.loop)
        return attrs.evolve(finding, replay=token.word(), digest=token.digest, stem=len(found.stem))


def _is(name: str) -> Callable[[str, dict[str, Any]], bool]:
    return lambda event, fields: event == name


def _restarted(va: str) -> Callable[[str, dict[str, Any]], bool]:
    return lambda event, fields: event == RESTART and fields["va"] == va


def _failed(cause: str) -> Callable[[str, dict[str, Any]], bool]:
    return lambda event, fields: event == "pool.fail" and failure(fields) == cause


def _refused(event: str, fields: dict[str, Any]) -> bool:
    return event == "mark" and fields["text"] == REFUSED


def _most(of_each: list[int | None]) -> int | None:
    """The most of several; ``None`` if there is no most of one."""
    return None if None in of_each else max((one for one in of_each if one), default=0)


def failure(fields: dict[str, Any]) -> str:
    """Which pool gave NULL, and why: ``vp: map lock refused``."""
    return f"{fields['obj'].removesuffix(' pool')}: {fields['why']}"


def killed(event: str, fields: dict[str, Any]) -> bool:
    return event == "fault.end" and fields["signal"] == "SIGKILL"
