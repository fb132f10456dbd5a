"""Runs of every scenario under every fix, to hold against what the log says of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from kmodel import fixes, story
from kmodel.case import Case
from kmodel.explore.execution import Execution, Outcome, next_choice
from kmodel.explore.strategy import Random
from kmodel.log.recorder import Recorder

THREAD = "contended_kernel_map"
"""Here a run of every kind shows failures and waits; elsewhere it may end without."""

NO_FAULT = {"page_protected", "populate_window"}
"""Scenarios that call the pmap themselves."""
CANNOT = {("km_pages_thread", "direct")}
"""With a direct map there is no stock of one-page addresses."""
CASES = [
    (scenario, fix)
    for scenario in story.names()
    if not story.load(scenario).bare
    for fix in fixes.names()
    if (scenario, fix) not in CANNOT
]


def steps(case: Case, recorder: Recorder, seed: int, most: int = 400) -> Iterator[Execution]:
    """A random run, recorded; the execution after each step."""
    execution, strategy = Execution(case.build(), recorder, checks=True), Random(seed)
    chosen: int | None = None
    try:
        while (chosen := next_choice(execution, strategy, chosen, most)) is not None:
            execution.step(chosen)
            yield execution
    finally:
        execution.close()


def recorded(
    scenario: str, fix: str, seed: int, logs: Path | None, *, keep: bool = False, most: int = 400
) -> Recorder:
    """A whole random run in a log."""
    case = Case.of(scenario, {}, fix)
    header = case.header(case.build(), "random", seed, None)
    with Recorder.start(header, logs, keep=keep) as recorder:
        outcome: Outcome | None = None
        for execution in steps(case, recorder, seed, most):
            outcome = execution.outcome
        outcome = execution.outcome
        assert outcome is not None
        recorder.close(outcome)
    return recorder
