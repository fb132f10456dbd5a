"""Judges searches that do not see the whole graph: only what one state can show (panics,
checks, leaks, a deadlock of all). A bounded search whose bound covers everything may judge
all."""

from __future__ import annotations

from functools import cached_property
from typing import Final

from kmodel.explore.bounded import Bounded, Kind, counted
from kmodel.explore.found import Found
from kmodel.explore.graph import Graph, Search
from kmodel.explore.judgement import ENDS, Judgement

UNJUDGED: Final = "deadlock of some, livelock, starvation and data races"
"""What cannot be judged without the whole graph."""


class OfSafety(Judgement):
    """What is found by a search of which only single states can be judged, unless the graph
    is ``whole`` all the same."""

    def __init__(
        self, search: Search, again: str = "", never: str = "", graph: Graph | None = None
    ) -> None:
        super().__init__(search, again, never, graph)
        if not self.whole:
            self.stages = {"violated": self.stages["violated"], "stuck": "deadlock of all"}

    @property
    def whole(self) -> bool:
        """Does the graph hold every step that there is?"""
        return False

    @cached_property
    def stuck(self) -> list[Found]:
        """A state in which nobody can step, one of each kind."""
        return [self.of_hang(hang, ENDS) for hang in self.live.stuck()]

    @cached_property
    def excluded(self) -> list[Found]:
        return super().excluded if self.whole else []

    def everything(self) -> list[Found]:
        if self.whole:
            return super().everything()
        return sorted([*self.violated, *self.stuck], key=lambda one: (not one.judged, one.rank()))

    @property
    def countable(self) -> bool:
        return self.whole

    @property
    def complete(self) -> bool:
        return self.whole and super().complete


class WithinBound(OfSafety):
    """What a search with a bound on preemptions or delays found."""

    search: Bounded

    def __init__(self, search: Bounded, kind: Kind, again: str = "", never: str = "") -> None:
        super().__init__(search, again, never)
        self.strategy = kind

    @property
    def whole(self) -> bool:
        return self.graph.complete

    def conclude(self, judged: list[Found], holds: str) -> tuple[str, str | None, str]:
        """What is wrong, and which bound misses it; or how far nothing is."""
        verdict, kind, message = super().conclude(judged, holds)
        if kind == "scenario-error":
            return verdict, kind, message
        return verdict, kind, self._told(verdict, message)

    def _told(self, verdict: str, message: str) -> str:
        levels, stopped_by = self.search.levels, self.graph.stopped_by
        clean = [counted(one.bound, self.search.unit) for one in levels if not one.found]
        if self.graph.complete:
            said = [f"a bound of {self.reach} covers every step there is, so all is judged"]
            if clean and len(clean) < len(levels):
                said.insert(0, f"none within {clean[-1]}")
            return f"{message} ({'; '.join(said)})"
        if verdict == "violated":
            return message + (f" (none within {clean[-1]})" if clean else "")
        if not levels:
            return f"nothing found, and the search ended early: {stopped_by}"
        early = f"; then {stopped_by} ended the search" if stopped_by else ""
        return f"none within {self.reach}, and more lies beyond{early} (not judged: {UNJUDGED})"

    @property
    def reach(self) -> str:
        """The bound that was covered entirely."""
        levels = self.search.levels
        return counted(levels[-1].bound, self.search.unit) if levels else ""

    @property
    def bound(self) -> str:
        if self.graph.complete:
            return super().bound
        return "; ".join(filter(None, (self.reach, self.graph.stopped_by, self.cut)))
