"""Something that breaks, and the run that shows it."""

from __future__ import annotations

import attrs

from kmodel.explore.absent import LEFT_OUT
from kmodel.explore.liveness import Hang
from kmodel.explore.severity import severity


@attrs.frozen(kw_only=True)
class Found:
    """Something that breaks. ``stem`` leads to it from the start, ``loop`` then goes round
    for ever (``None``, ``b""``: there is no run to show, or no loop).

    ``judged``: it decides the verdict. ``preemptions`` are those of the stem;
    ``survives`` names the strongest fairness that allows a hang, ``can_end`` the tasks
    that could still end from its loop.
    """

    kind: str
    property: str
    message: str
    culprits: tuple[str, ...] = ()
    judged: bool = True
    stem: bytes | None = None
    loop: bytes = b""
    preemptions: int | None = None
    survives: str | None = None
    can_end: tuple[str, ...] | None = None

    def rank(self) -> int:
        return severity(self.kind)


def hang_message(hang: Hang, who: list[str], names: list[str]) -> str:
    """A hang in words: who is stuck where, and what its loop survives."""
    tasks = " and ".join(who)
    places = ", ".join(f"{task} at {wait}" for task, wait in zip(who, hang.waits))
    if hang.kind == LEFT_OUT:
        return (
            f"{tasks} cannot go on ({places}), and that says nothing: what would go on is left out "
            f"of the model, {hang.without}"
        )
    if hang.kind in ("deadlock", "lost-wakeup"):
        why = ", though what is slept for is true" if hang.kind == "lost-wakeup" else ""
        if hang.vain:
            why = ", though what is slept for is true: that is not what is missing, no run ends"
        return f"{tasks} can never step again ({places}){why}"
    ends = [names[task] for task in hang.can_end]
    leave = f"{' and '.join(ends)} could still end from it" if ends else "nobody can end from it"
    steps = f"{len(hang.loop)} step{'' if len(hang.loop) == 1 else 's'}"
    loop = f"a loop of {steps} that survives {hang.survives}; {leave}"
    if hang.kind == "starvation":
        return f"{tasks} can wait for ever ({places}) while others go on: {loop}"
    return f"{tasks} can go round for ever without ending: {loop}"
