"""Whose fault an exception in a step is."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import kmodel
from kmodel.panic import Panic, asserted
from kmodel.point import Task
from kmodel.recorder import SharedStateError
from kmodel.world import ScenarioError

_HOME: Final = str(Path(kmodel.__file__).parent)


def blame(error: BaseException, task: Task | None) -> Panic:
    """What a step that raised ``error`` means for the run.

    A failed ``assert`` is a panic (KASSERT), an error of the scenario's own code a
    ``scenario-error``; both end the run and have a schedule that shows them. Raises
    ``error`` itself if it is a bug of kmodel.
    """
    if isinstance(error, Panic):
        return error
    if isinstance(error, (ScenarioError, SharedStateError)):
        return Panic(str(error), "scenario-error")
    if isinstance(error, RuntimeError) and isinstance(error.__cause__, StopIteration):
        error = error.__cause__  # Python's wrapping of one that a coroutine raised
    if isinstance(error, AssertionError):
        return Panic(asserted(error))
    if _innermost(error)[0].startswith(_HOME) and isinstance(error, Exception):
        raise error
    where, at = _innermost(error, outside=_HOME)
    hint = ""
    if "async context" in str(error):
        hint = "; await only kmodel's points inside a task, not Trio"
    return Panic(
        f"task {task} raised {type(error).__name__}: {error} ({Path(where).name}, line {at}){hint}",
        "scenario-error",
    )


def _innermost(error: BaseException, outside: str | None = None) -> tuple[str, int]:
    """File and line that raised; or the first ones not below ``outside``."""
    found, trace = ("?", 0), error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if outside is None:
            found = (code.co_filename, trace.tb_lineno)
        elif not code.co_filename.startswith(outside):
            return code.co_filename, trace.tb_lineno
        trace = trace.tb_next
    return found
