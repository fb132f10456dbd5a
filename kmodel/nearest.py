"""The passing run nearest to a failing one: the same schedule for as long as possible, then
another choice, and from there a run that ends well.

From the last step of the failing schedule backwards, each other task that could have gone is
let go instead; then the rest of the schedule follows as far as it fits, or else nothing of it,
and the run is carried on fairly with few switches. The first that ends well shares the
longest beginning with the failure, of all runs that can be made in this way. Each is run on
fresh objects. There may be a run that parts later and ends well: it would take more than one
choice of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs

from kmodel.case import Case
from kmodel.explore.access import races
from kmodel.explore.execution import Execution, run
from kmodel.explore.judgement import RACE_FREE
from kmodel.explore.lenient import Led
from kmodel.explore.strategy import Replay
from kmodel.log.recorder import Recorder
from kmodel.world import ScenarioError

STEPS: Final = 3_000_000
"""Steps that are run in all, before it is given up."""
ONWARD: Final = 2000
"""Steps that a run is carried on for."""


@attrs.frozen
class Nearest:
    """``choices`` is the schedule of the passing run, or ``None`` where none was found in
    ``tried`` runs; ``all`` if there are no others to try. It parts in step ``parts``."""

    choices: bytes | None
    parts: int
    tried: int
    all: bool


class Search:
    """Looks for the passing run nearest to ``choices``, in which the check ``prop`` holds."""

    def __init__(self, case: Case, choices: bytes, prop: str) -> None:
        self._case, self._choices, self._prop = case, choices, prop
        self._taken = self._settled = 0

    def nearest(self) -> Nearest:
        tried = 0
        for parts, instead, rest in self._others():
            if self._taken >= STEPS:
                return Nearest(None, 0, tried, False)
            tried += 1
            found = self._run(parts, instead, rest)
            if found is not None:
                return Nearest(found, _common(found, self._choices), tried, True)
        return Nearest(None, 0, tried, True)

    def _others(self) -> Iterator[tuple[int, int | None, bytes]]:
        """Where to part, who goes instead, and what is then followed. The last first."""
        choices = self._choices
        yield len(choices), None, b""
        for parts in range(len(choices) - 1, -1, -1):
            able = self._able(parts)
            if parts < self._settled:
                return
            for instead in able:
                if instead != choices[parts]:
                    yield parts, instead, choices[parts:]
                    yield parts, instead, b""

    def _able(self, parts: int) -> list[int]:
        execution = Execution(self._case.build(), checks=True)
        try:
            led = Led(execution, self._prop)
            self._settled = led.settled
            led.follow(self._choices[led.settled : parts], parts)
            return led.able()
        finally:
            self._taken += len(execution.choices)
            execution.close()

    def _run(self, parts: int, instead: int | None, rest: bytes) -> bytes | None:
        """The choices of the run, if it ends well."""
        execution = Execution(self._case.build(), checks=True)
        try:
            led = Led(execution, self._prop)
            led.follow(self._choices[led.settled : parts], parts)
            if instead is not None and instead in led.able():
                led.step(instead)
            led.follow(rest, len(self._choices))
            led.carry_on(len(execution.choices) + ONWARD)
            led.able()  # decides whether the run is over
            outcome = execution.outcome
            well = outcome is not None and outcome.kind == "done"
            return bytes(execution.choices) if well and self._good(execution) else None
        except ScenarioError:
            return None
        finally:
            self._taken += len(execution.choices)
            execution.close()

    def _good(self, execution: Execution) -> bool:
        """Whether nothing races no run says of itself: that is looked for where it was found."""
        if self._prop == RACE_FREE:
            return not races(self._case.build(), bytes(execution.choices))
        return self._prop not in execution.findings


def written(case: Case, choices: bytes, logs: Path) -> Path:
    """A log of the run with these choices, in a new directory under ``logs``."""
    world = case.build()
    header = case.header(world, "nearest-passing", None, None)
    with Recorder.start(header, logs) as recorder:
        execution = Execution(world, recorder, checks=True)
        recorder.close(run(execution, Replay(choices), len(choices)))
    assert recorder.path is not None
    return recorder.path


def _common(one: bytes, other: bytes) -> int:
    pairs = enumerate(zip(one, other))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))
