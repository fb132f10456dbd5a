"""A token of a model that was edited since: its run is followed by its anchors in the model
as it is now, and what that run shows is judged anew."""

from __future__ import annotations

import shlex
from typing import Final

import attrs

import kmodel
from kmodel.case import Case
from kmodel.explore.anchors import Follower, Vanished
from kmodel.explore.execution import Execution
from kmodel.explore.liveness import SEVERITY as HANGS
from kmodel.explore.schedule import Token, TokenError
from kmodel.explore.tree import Divergence
from kmodel.revision import revision
from kmodel.settings import UsageError
from kmodel.shown import make_token, show
from kmodel.trial import Trial

MISFIT: Final = "the token does not fit the model as it is now"
ONWARD: Final = 20
"""Steps that a task may take beyond what the blocks say of it."""


@attrs.frozen
class Refit:
    """``token`` is the run of ``old`` in the model as it is now, step by step. ``shows`` says
    what it shows; ``again`` whether that is what ``old`` says. ``changed`` names what was
    edited since."""

    old: Token
    token: Token
    again: bool
    shows: str
    changed: tuple[str, ...]


def case_of(token: Token) -> Case:
    """The case that ``token`` is of. Raises ``UsageError`` where the scenario or the fix is not
    there, ``TokenError`` for parameters that they do not take any more."""
    try:
        return Case.of(token.scenario, token.params, token.fix or None)
    except UsageError as error:
        if token.params:
            Case.of(token.scenario, {}, token.fix or None)  # raises unless it is the parameters
            raise TokenError(f"{MISFIT}. {error}") from error
        raise


def changed(case: Case, token: Token) -> tuple[str, ...]:
    """What is not as it was when ``token`` was made."""
    of = (
        ("the kernel model", token.model or revision(), revision()),
        ("the scenario file", token.scenario_digest, case.scenario.digest),
        ("kmodel's version", token.version, kmodel.__version__),
    )
    return tuple(what for what, then, now in of if then != now)


def repeats(case: Case, token: Token, whole: bool = False) -> bool:
    """Is the run of ``token`` still the same, event for event? ``whole``: that of a log."""
    try:
        return show(case, token, whole) == token.digest
    except Divergence:
        return False


def refit(case: Case, token: Token) -> Refit:
    """Follow ``token``'s run by its anchors. Raises ``TokenError`` naming the task and the
    event that is not there any more."""
    execution = Execution(case.build(), checks=True)
    try:
        stem, loop = _followed(execution, token)
    except Vanished as gone:
        raise TokenError(
            f"{MISFIT}: {' and '.join(changed(case, token))} changed since, and {gone}. "
            f"That event has vanished from the run; to search anew: {_search(token)}"
        ) from gone
    finally:
        execution.close()
    finding, stem, loop = Trial(case, token, execution).judged(stem, loop)
    again = (finding.kind, finding.property) == (token.kind, token.property)
    now = make_token(case, finding, stem, loop)
    return Refit(token, now, again, finding.message, changed(case, token))


def _followed(execution: Execution, token: Token) -> tuple[bytes, bytes]:
    """The schedule of the run now, and its loop if it comes to the end of that."""
    tasks = _numbers(execution, token)
    follower, kept = Follower(execution, tasks), token.property
    whole = follower.follow(token.blocks)
    if whole and token.kind in HANGS:
        # whoever is new must not be what goes on for ever, so it goes first
        for task in execution.world.tasks:
            if task.index not in tasks:
                follower.go_on(task.index, ONWARD, lambda: False)
    elif whole and token.blocks and token.kind != "data-race":
        # what broke in the last block may break a little later now
        last = token.blocks[-1]
        most = last.steps + ONWARD
        follower.go_on(tasks[last.task], most, lambda: kept in execution.findings)
    first = len(execution.choices)
    if not (whole and follower.follow(token.loop)):
        first = len(execution.choices)
    execution.over()
    return bytes(execution.choices[:first]), bytes(execution.choices[first:])


def _numbers(execution: Execution, token: Token) -> list[int]:
    """The present number of each task of ``token``; -1 for one that never stepped."""
    present = {task.name: task.index for task in execution.world.tasks}
    for block in token.blocks + token.loop:
        if token.tasks[block.task] not in present:
            execution.close()
            raise TokenError(
                f"{MISFIT}: there is no task {token.tasks[block.task]!r} any more, only "
                f"{', '.join(map(repr, present))}. To search anew: {_search(token)}"
            )
    return [present.get(name, -1) for name in token.tasks]


def _search(token: Token) -> str:
    sets = "".join(f" --set {shlex.quote(f'{k}={v}')}" for k, v in token.params.items())
    fix = f" --fix {token.fix}" if token.fix else ""
    return f"kmodel explore {token.scenario}{fix}{sets}"
