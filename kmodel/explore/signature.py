"""What makes two findings the same bug: whoever makes a run smaller must not end with another.

A *signature* keeps what the bug is, and drops who happened to meet it and how long it took:

    kind, property   as they are
    message          task names, whole numbers and addresses are blanked ("A and B" is one
                     blank); line numbers stay. A hang has none (its places say more), but
                     one that goes round has the fairness that it survives
    things           the culprits that are objects, not tasks
    places           of a hang: where the tasks concerned wait (operation and object, and
                     whether what is slept for is true), but not those that wait for what
                     others of them hold, unless in a circle; of one that goes round, all
                     that they do in a lap. How many wait at a place does not matter

Too narrow on purpose: a signature that differs may be the same bug after all, and then a run
stays longer than it need be. Two equal signatures can still be two causes of one symptom,
such as two ways to the same panic.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import attrs

from kmodel.explore.absent import LEFT_OUT
from kmodel.explore.execution import Execution
from kmodel.explore.found import Found
from kmodel.explore.moment import Moment
from kmodel.point import START, Op
from kmodel.world import World

HANGS: Final = ("deadlock", "lost-wakeup", "livelock", "starvation", LEFT_OUT)

_ADDRESS: Final = re.compile(r"\b0x[0-9a-fA-F]+\b")
_NUMBER: Final = re.compile(r"(?<![\w.])(?<!line )-?\d+(?![\w.]*\w)")
_BLANKS: Final = re.compile(r"\*(?:(?:, | and )\*)+")


@attrs.frozen
class Signature:
    """What a finding is, apart from who met it and when. Compare with ``==``."""

    kind: str
    property: str
    message: str
    things: tuple[str, ...]
    places: tuple[str, ...]

    @classmethod
    def of(
        cls,
        kind: str,
        prop: str,
        message: str,
        culprits: Sequence[str],
        names: Sequence[str],
        places: Iterable[str] = (),
        survives: str = "",
    ) -> Signature:
        """``names`` are those of the tasks; ``places`` and ``survives`` are of hangs alone."""
        hang = kind in HANGS
        things = {blanked(one, names) for one in culprits if one not in names}
        where = {blanked(place, names) for place in places} if hang else set()
        return cls(
            kind,
            prop,
            _fairness(kind, survives) if hang else blanked(message, names),
            # of a hang they are the objects waited for, which the places name
            () if hang else tuple(sorted(things)),
            tuple(sorted(where)),
        )


def _fairness(kind: str, survives: str) -> str:
    """Who can never step again cannot under any: what is left to say is about the others."""
    return survives if kind in ("livelock", "starvation") else ""


def blanked(text: str, names: Sequence[str]) -> str:
    """``text`` without task names, whole numbers and addresses."""
    words = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    if words:
        text = re.sub(rf"(?<!\w)(?:{words})(?!\w)", "*", text)
    text = _NUMBER.sub("#", _ADDRESS.sub("0x#", text))
    return _BLANKS.sub("*", text)


def shown(execution: Execution, prop: str = "") -> Signature | None:
    """What a run shows as it stands: how it ended, or that the check called ``prop`` failed,
    which need not have ended it. ``None`` if nothing is wrong."""
    names = [task.name for task in execution.world.tasks]
    if prop in execution.findings:
        kinds = [check.kind for check in execution.world.checks if check.name == prop]
        return Signature.of(kinds[0], prop, execution.findings[prop], (), names)
    outcome = execution.outcome
    if outcome is None or outcome.kind in ("done", "limit"):
        return None
    obliged = [task.index for task in execution.world.tasks if task.obliged]
    return Signature.of(
        outcome.kind,
        outcome.property,
        outcome.message,
        outcome.culprits,
        names,
        waiting(execution, obliged) if outcome.kind in HANGS else (),
    )


def of_found(found: Found, names: Sequence[str], make: Callable[[], World]) -> Signature:
    """What a search has found, whoever met it. ``make`` builds its world anew."""
    assert found.stem is not None
    hang = found.kind in HANGS
    return Signature.of(
        found.kind,
        found.property,
        found.message,
        found.culprits,
        names,
        places(make(), found.stem, found.loop, found.culprits) if hang else (),
        f"{found.survives}, {'can' if found.can_end else 'cannot'} end",
    )


def waiting(execution: Execution, tasks: Iterable[int]) -> list[str]:
    """Where those of ``tasks`` wait that have begun and not ended, and would whatever the
    others of them did."""
    begun = {
        task: op
        for task in tasks
        if (op := execution.pending[task]) is not None and op[0] is not START
    }
    return [place(begun[task]) for task in _first(execution, {*begun})]


def _first(execution: Execution, tasks: set[int]) -> list[int]:
    """Those of ``tasks`` that wait for none of the others, or for one that waits for them."""
    now = Moment.of(execution)
    behind = {
        task: {one for _, holders in now.wanted(task) for one in holders} & tasks
        for task in sorted(tasks)
    }
    for middle, ahead in behind.items():
        for others in behind.values():
            if middle in others:
                others |= ahead
    return [task for task in behind if all(task in behind[other] for other in behind[task])]


def place(op: Op) -> str:
    """What is about to be done, on what; and whether what is slept for is true."""
    said = f"{op[0].event} {getattr(op[1], 'name', '')}".rstrip()
    if op[0].until is not None and op[0].until(op[1], *op[2]):
        said += ", though what is slept for is true"
    return said


def places(world: World, stem: bytes, loop: bytes, culprits: Sequence[str]) -> list[str]:
    """The places of a hang: runs ``stem``, then ``loop`` once. ``world`` is used up."""
    execution = Execution(world)
    try:
        for task in stem:
            execution.step(task)
        tasks = [task.index for task in world.tasks if task.name in culprits]
        found = waiting(execution, [task for task in tasks if task not in loop])
        for task in loop:
            op = execution.pending[task]
            if op is not None and task in tasks:
                found.append(place(op))
            execution.step(task)
    finally:
        execution.close()
    return found
