"""Judges a bounded search: everything if the bound covers everything, else only what one
state can show (panics, checks, leaks, a deadlock of all)."""

from __future__ import annotations

from functools import cached_property
from typing import Final

from kmodel.explore.bounded import Bounded, Kind, counted
from kmodel.explore.cycle import Fairness
from kmodel.explore.judgement import ENDS, Found, Judgement

UNJUDGED: Final = "deadlock of some, livelock, starvation and data races"
"""What a search within a bound cannot judge: that takes the whole graph."""


class WithinBound(Judgement):
    """What a search with a bound on preemptions or delays found."""

    search: Bounded

    def __init__(self, search: Bounded, kind: Kind, again: str = "", never: str = "") -> None:
        super().__init__(search, again, never)
        self.strategy = kind
        if not self.graph.complete:
            self.stages = {"violated": self.stages["violated"], "stuck": "deadlock of all"}

    @cached_property
    def stuck(self) -> list[Found]:
        """A state in which nobody can step."""
        if not self.search.stuck:
            return []
        hangs = self.live.hangs(Fairness("strong", False))
        return [self.of_hang(hang, ENDS) for hang in hangs if not hang.loop]

    def everything(self) -> list[Found]:
        if self.graph.complete:
            return super().everything()
        return sorted([*self.violated, *self.stuck], key=lambda one: (not one.judged, one.rank()))

    def conclude(self, judged: list[Found], holds: str) -> tuple[str, str | None, str]:
        """What is wrong, and which bound misses it; or how far nothing is."""
        verdict, kind, message = super().conclude(judged, holds)
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
    def countable(self) -> bool:
        return self.graph.complete

    @property
    def bound(self) -> str:
        if self.graph.complete:
            return super().bound
        return "; ".join(filter(None, (self.reach, self.graph.stopped_by, self.cut)))
