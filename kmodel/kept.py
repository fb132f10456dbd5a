"""A search that is kept in a file: begun, or taken up again.

The first line of the file says what is searched: scenario, parameters, fix, situation and
order. Limits are no part of it, so that a search that one ended can go on with a higher one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast, get_args

from kmodel.case import Case
from kmodel.explore.checkpoint import Checkpointed
from kmodel.explore.drive import no_collector
from kmodel.explore.graph import Limits, Order
from kmodel.explore.journal import CheckpointError, Journal

Tell = Callable[[str], None]


def begin(case: Case, limits: Limits, order: Order, path: Path, tell: Tell) -> Checkpointed:
    """A search of ``case`` that is kept in a new file. ``tell`` hears what the user should
    know. Raises ``CheckpointRefused``."""
    search = Checkpointed(case.build(), limits, order, tell)
    about = {
        "scenario": case.scenario.name,
        "scenario_digest": case.scenario.digest,
        "params": case.params,
        "fix": case.fix,
        "situation": case.situation,
        "search": order,
        "facts": search.facts,
    }
    search.begin(Journal.create(path, about))
    return search


def resume(path: Path, limits: Limits, tell: Tell) -> tuple[Case, Checkpointed]:
    """The search that ``path`` holds, as far as it came, and what it is of. Raises
    ``CheckpointRefused``, and ``CheckpointError`` if the file is damaged or the model is not
    what it was."""
    journal = Journal.open(path)
    try:
        case, order = _case(journal.header, path)
        search = Checkpointed(case.build(), limits, order, tell)
        with no_collector():
            search.resume(journal)
    except BaseException:
        journal.close()
        raise
    if journal.torn:
        tell(f"{path} ended in the middle of a chunk: its last {journal.torn:,} bytes were cut")
    if case.scenario.digest != journal.header["scenario_digest"]:
        tell(f"{case.scenario.name} was edited since; all that ran then does the same now")
    states, runs = len(search.graph), search.histories.runs
    tell(f"resumed from {path}: {states:,} states, {runs:,} steps of model code checked")
    return case, search


def _case(header: dict[str, Any], path: Path) -> tuple[Case, Order]:
    scenario, fix, situation = (header.get(key) for key in ("scenario", "fix", "situation"))
    params, order = header.get("params"), header.get("search")
    words = isinstance(fix, str | None) and isinstance(situation, str | None)
    named = isinstance(scenario, str) and isinstance(params, dict)
    if not words or not named or order not in get_args(Order):
        raise CheckpointError(f"{path} does not say what is searched: is it from kmodel?")
    return Case.of(str(scenario), dict(params or {}), fix, situation), cast(Order, order)
