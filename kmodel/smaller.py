"""The same bug with smaller parameters: fewer CPUs, fewer faults, a story that fits on a page.

After a violation the story's own sizes (whole numbers that its author gave a range) are
lowered towards their lower bounds, the smallest total first, and each combination is
searched until one shows the same bug (``explore.signature``). The verdict stays that of
the parameters asked for; only what is shown to explain it gets smaller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import attrs

from kmodel.case import Case
from kmodel.explore.found import Found
from kmodel.explore.graph import Limits
from kmodel.explore.judgement import NO_VERDICT
from kmodel.explore.signature import Signature, of_found
from kmodel.judge import Judge
from kmodel.recorder import SharedStateError
from kmodel.settings import UsageError
from kmodel.verdict import Finding, Verdict
from kmodel.world import ScenarioError

Search = Callable[[Case, Limits], Judge]

STATES: Final = 50_000
"""States that all searches together may keep, or as many as the first one kept."""
LEAST: Final = 500
"""What a search counts for at least: else small worlds could be tried without end."""


@attrs.frozen
class Smaller:
    """The worst that ``asked`` judged, as ``judge`` ``found`` it with smaller parameters
    (``None``: no smaller ones show it). ``names`` are the story's sizes.
    ``proven``: every combination before it was searched entirely."""

    asked: Judge
    names: tuple[str, ...]
    judge: Judge | None
    found: Found | None
    proven: bool

    def show(self, verdict: Verdict, worst: Finding) -> tuple[Verdict, Finding]:
        """``verdict`` on what was asked, whose worst is ``worst``; explained by the smaller."""
        smallest: dict[str, Any] = {"params": self._params(), "proven": self.proven}
        if self.judge is None or self.found is None:
            return attrs.evolve(verdict, smallest=smallest | {"as_asked": None}), worst
        finding = self.judge.finding(self.found)
        verdict = attrs.evolve(
            verdict,
            replay=finding.replay,
            digest=finding.digest,
            survives=finding.survives,
            can_end=finding.can_end,
            smallest=smallest | {"as_asked": worst.document()},
        )
        return verdict, finding

    def _params(self) -> dict[str, Any]:
        own = (self.judge or self.asked).case.own
        return {name: own[name] for name in self.names}


def smaller(judge: Judge, search: Search, limits: Limits) -> Smaller | None:
    """Look for the worst of what ``judge`` found with smaller parameters, at the cost of
    another search like the first (in states, so that the result does not depend on the
    clock). ``None`` if there is nothing to make smaller, or what was found is no bug: that
    something ran out which the model cannot bring back is told by what to raise."""
    names = sizes(judge.case)
    worst = next((one for one in judge.found.everything() if one.judged), None)
    if worst is None or worst.stem is None or worst.kind in NO_VERDICT:
        return None
    if not any(combinations(judge.case, names)):
        return None
    wanted, proven = signature(judge, worst), True
    left = max(STATES, len(judge.graph))
    for own in combinations(judge.case, names):
        if left <= 0:
            return Smaller(judge, names, None, None, False)
        within = attrs.evolve(limits, states=min(left, limits.states))
        try:
            tried = search(attrs.evolve(judge.case, own=own), within)
        except (UsageError, ScenarioError, SharedStateError):
            continue  # there is no such world
        left -= max(len(tried.graph), LEAST)
        for found in tried.found.everything():
            if found.stem is not None and signature(tried, found) == wanted:
                return Smaller(judge, names, tried, found, proven)
        proven = proven and tried.found.complete
        if tried.graph.stopped_by == "interrupted":
            break
    return Smaller(judge, names, None, None, proven)


def signature(judge: Judge, found: Found) -> Signature:
    """What ``found`` is, whoever met it."""
    return of_found(found, judge.found.names, judge.case.build)


def sizes(case: Case) -> tuple[str, ...]:
    """The story's own sizes."""
    fields = attrs.fields(case.scenario.own)
    return tuple(field.name for field in fields if field.metadata.get("size"))


def combinations(case: Case, names: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """The story's parameters with these sizes lowered: the smallest total first."""
    fields = attrs.fields_dict(case.scenario.own)
    lows = [fields[name].metadata["range"][0] for name in names]
    room = [case.own[name] - low for name, low in zip(names, lows)]
    for total in range(sum(room)):
        for above in _sums(total, room):
            yield case.own | {n: low + more for n, low, more in zip(names, lows, above)}


def _sums(total: int, room: list[int]) -> Iterator[tuple[int, ...]]:
    """All ways to spread ``total`` over the places, none above its room."""
    if not room:
        if not total:
            yield ()
        return
    for first in range(min(total, room[0]) + 1):
        for rest in _sums(total - first, room[1:]):
            yield first, *rest
