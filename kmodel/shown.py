"""Recorded runs: a token for what was found, and the same run again from a token."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs

import kmodel
from kmodel.case import ASSUMPTIONS, Case
from kmodel.explore.absent import LEFT_OUT
from kmodel.explore.access import conflict
from kmodel.explore.anchors import Labelled
from kmodel.explore.execution import Execution, Outcome, Strategy, run
from kmodel.explore.schedule import Token, TokenError, bare
from kmodel.explore.snapshot import snapshot
from kmodel.explore.strategy import Replay, ReplayDiverged
from kmodel.explore.tree import Divergence
from kmodel.log.reader import Reader
from kmodel.log.recorder import Recorder, unable
from kmodel.revision import revision
from kmodel.verdict import UNEVENTFUL, Evidence, Finding, Verdict


def make_token(case: Case, finding: Finding, stem: bytes, loop: bytes) -> Token:
    """The token of a run that was found: made by running it again, on fresh objects.

    Raises ``Divergence`` where the run does not do what the search said of it.
    """
    names = tuple(task.name for task in case.build().tasks)
    token = Token(
        scenario=case.scenario.name,
        params=case.differing(),
        fix=case.fix or "",
        tasks=names,
        blocks=bare(stem),
        loop=bare(loop),
        digest="",
        kind=finding.kind,
        property=finding.property,
        scenario_digest=case.scenario.digest,
        model=revision(),
        version=kmodel.__version__,
    )
    shown = Shown(case, token)
    labelled = Labelled(shown.execution, shown.strategy)
    digest = run_again(shown, labelled)
    blocks, turn = labelled.blocks(len(stem))
    return attrs.evolve(token, blocks=blocks, loop=turn, digest=digest)


class Shown:
    """A token being run again, on whichever host.

    ``execution`` and ``strategy`` are for the host; ``close`` checks that a lasso's
    loop came back to where it began, and returns the digest; ``shows`` is then the verdict.
    A ``whole`` run, from a log, ends as it did then and not because its token says so.
    """

    def __init__(
        self,
        case: Case,
        token: Token,
        logs: Path | None = None,
        keep: bool = False,
        whole: bool = False,
    ) -> None:
        self._case, self._token = case, token
        stem, loop = token.schedule()
        world = case.build()
        header = case.header(world, "replay", None, token.word())
        self.recorder = Recorder.start(header, logs, keep=keep)
        self.execution = Execution(world, self.recorder, checks=True)
        if not whole:
            self.execution.at_bound = (token.kind, "")
        self.strategy = Replay(stem + loop, len(stem) if loop else -1, self._loop_begins)
        # a whole run that came to a deadlock is to find that out for itself
        self.max_steps = len(stem) + len(loop) + (whole and token.kind in ("deadlock", LEFT_OUT))
        self.shows: Outcome | None = None
        self._before: tuple[Any, ...] | None = None

    def _loop_begins(self) -> None:
        self._before = snapshot(self.execution)

    def close(self, outcome: Outcome) -> str:
        if self._before is not None and snapshot(self.execution) != self._before:
            raise Divergence("the loop of a lasso did not come back to where it began")
        self.shows = self._judged(outcome)
        return self.recorder.close(outcome, unable(self.execution), self.shows)

    def _judged(self, outcome: Outcome) -> Outcome:
        """What the run was found for, which may be judged beside it: a race breaks no step of
        it, nor does a check that is not judged. Whatever broke the run itself comes first."""
        token, findings = self._token, self.execution.findings
        if token.kind in UNEVENTFUL or outcome.kind not in (UNEVENTFUL[0], token.kind):
            return outcome
        message, culprits = outcome.message or findings.get(token.property, ""), outcome.culprits
        if token.kind == "data-race":
            choices = bytes(self.execution.choices)
            if found := conflict(self._case.build(), choices):
                names = [token.tasks[access.task] for access in found]
                where = found[1].location
                message = f"{' and '.join(names)} touch {where} with nothing to order them"
                culprits = (where, *names)
        return attrs.evolve(
            outcome,
            kind=token.kind,
            property=outcome.property or token.property,
            message=message,
            culprits=culprits,
        )


def show(case: Case, token: Token, whole: bool = False) -> str:
    """Replay ``token`` on the inner loop, step by step, and return the digest of its events.

    Raises ``Divergence`` where the run does not do what the token says of it.
    """
    shown = Shown(case, token, whole=whole)
    return run_again(shown, shown.strategy)


def run_again(shown: Shown, strategy: Strategy) -> str:
    """On the inner loop; returns the digest. Raises ``Divergence``."""
    try:
        outcome = run(shown.execution, strategy, shown.max_steps)
    except ReplayDiverged as error:
        raise Divergence(str(error)) from error
    return shown.close(outcome)


def replayed(case: Case, token: Token, shown: Shown, digest: str) -> Verdict:
    """The verdict document of a replayed run: what the token says it shows."""
    execution, outcome = shown.execution, shown.shows
    assert outcome is not None
    return Verdict(
        scenario=token.scenario,
        params=case.params,
        fix=token.fix or None,
        situation=None,
        strategy="replay",
        seed=None,
        verdict="inconclusive" if token.kind in ("done", "limit", LEFT_OUT) else "violated",
        kind=None if token.kind in ("done", "limit") else token.kind,
        property=token.property,
        message=outcome.message or f"{token.kind}: {execution.waiting()}",
        culprits=outcome.culprits,
        evidence=Evidence(
            complete=False,
            bound="replay",
            executions=1,
            states=0,
            traces=None,
            steps=outcome.steps,
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


def from_log(path: Path) -> Token:
    """The token of the run that a log holds. ``TokenError`` if it is no whole log."""
    with Reader.open(path) as log:
        steps: dict[int, int] = {}
        for record in log:
            if record.cpu is not None:
                steps.setdefault(record.step, record.cpu)
        header, end = log.header, log.end
    if log.damage or end is None:
        what = log.damage.message if log.damage else "it has no run.end, so the run never finished"
        fix = f" --fix {header['fix']}" if header.get("fix") else ""
        again = f"kmodel run {header.get('scenario')}{fix}"
        raise TokenError(
            f"{path} cannot be replayed: {what} To make the run again: {again} --seed "
            f"{header.get('seed')}, with the parameters in its first line."
        )
    row = end.row()
    return Token(
        scenario=header["scenario"],
        params=header["params"],
        fix=header["fix"] or "",
        tasks=tuple(header["tasks"]),
        blocks=bare(bytes(steps[number] for number in range(len(steps)))),
        loop=(),
        digest=row["digest"],
        kind=row["outcome"],
        property=row.get("property", ""),
        scenario_digest=header["scenario_digest"],
        model=header.get("model") or "",
        version=header["kmodel"],
    )
