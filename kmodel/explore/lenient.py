"""Runs that are led by recorded choices as far as they fit, and then carried on.

A choice that cannot go is skipped, so that a schedule with something taken out or put
elsewhere is still a run. What was really done is in ``execution.choices``.
"""

from __future__ import annotations

from collections.abc import Container

from kmodel.explore.execution import Execution
from kmodel.explore.fair import Fair


class Onward:
    """Few switches: whoever stepped last (``last``, at first) goes on if it must end, else
    the first that must end and can go; where none can, background tasks a step each in turn,
    since they may go on for ever."""

    def __init__(self, last: int | None) -> None:
        self._last = last

    def begin(self, execution: Execution) -> None:
        self._obliged = [task.index for task in execution.world.tasks if task.obliged]

    def choose(self, enabled: list[int], current: int | None) -> int:
        last = self._last if current is None else current
        wanted = [task for task in enabled if task in self._obliged]
        if wanted:
            return last if last in wanted else wanted[0]
        return next((task for task in enabled if last is not None and task > last), enabled[0])


class Led:
    """One run, a step at a time; ``preemptions`` counts the switches away from a task that
    could go on. It is over where the check called ``prop`` fails, judged or not.

    Daemons on their way to sleep step first, as in any run: ``settled`` such steps, which
    are no choices.
    """

    def __init__(self, execution: Execution, prop: str = "") -> None:
        self.execution, self._prop = execution, prop
        self.preemptions = self.settled = 0
        self._last: int | None = None
        self._able: list[int] | None = None
        self._settle()

    def able(self) -> list[int]:
        """Who can step now; nobody once the run is over."""
        if self._able is None:
            run = self.execution
            over = run.over() or self._prop in run.findings
            self._able = [] if over else run.enabled()
            if not over and not self._able:
                run.stop(*run.stuck())
        return self._able

    def step(self, task: int) -> None:
        """``task`` must be able to."""
        self.preemptions += self._last not in (None, task) and self._last in self.able()
        self._last = task
        self.execution.step(task)
        self._able = None

    def follow(self, choices: bytes, until: int) -> bool:
        """Take those of ``choices`` that can go, up to ``until`` steps in all. Were all?"""
        for task in choices:
            if len(self.execution.choices) >= until or not self.able():
                return False
            if task in self.able():
                self.step(task)
        return True

    def carry_on(self, until: int, among: Container[int] | None = None) -> None:
        """Go on fairly, with few switches, to the end of the run, up to ``until`` steps in
        all; with steps of ``among`` alone, if given."""
        fair = Fair(Onward(self._last))
        fair.begin(self.execution)
        current = None
        while len(self.execution.choices) < until:
            able = self.able()
            if among is not None:
                able = [task for task in able if task in among]
            if not able:
                return
            current = fair.choose(able, current)
            self.step(current)

    def _settle(self) -> None:
        while able := self.able():
            if not self.execution.settling:
                return
            self.execution.step(able[0])
            self.settled += 1
            self._able = None
