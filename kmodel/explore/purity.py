"""Keeps model code to what a schedule can repeat: no real time, no real randomness,
and no step that never ends.

A run must be a function of its schedule. While a task steps (or a scenario is
built) the standard sources of real time and chance raise instead of answering; what
slips through shows as a divergence when a run is replayed.
"""

from __future__ import annotations

import os
import random
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import wraps
from time import monotonic as clock  # the real one: model code gets none
from typing import Any, Final

from kmodel.explore.alarm import ticking
from kmodel.point import RUN
from kmodel.world import ScenarioError

STEP_SECONDS: Final = 5.0
"""How long one step, or the building of a scenario, may take."""

_CLOCKS: Final = ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns")
_CPU = ("process_time", "process_time_ns", "thread_time", "thread_time_ns")


class _Building:
    now = False


@contextmanager
def building() -> Iterator[None]:
    """What runs inside is a scenario being loaded or built."""
    before, _Building.now = _Building.now, True
    RUN.turns += 1
    try:
        yield
    finally:
        _Building.now = before


@contextmanager
def pure(step_seconds: float = STEP_SECONDS) -> Iterator[None]:
    """Model code that runs inside may use no clock, no chance, and no endless step.

    Raises ``ScenarioError`` in the offending code. The watch over endless steps needs
    the main thread; elsewhere it is left out.
    """
    saved = [(time, name, getattr(time, name)) for name in ("sleep", *_CLOCKS, *_CPU)]
    saved += [
        (random, name, getattr(random, name))
        for name in random.__all__
        if not isinstance(getattr(random, name), type)
    ]
    saved += [(os, "urandom", os.urandom), (uuid, "uuid1", uuid.uuid1)]
    saved.append((random, "_urandom", os.urandom))  # what SystemRandom and secrets draw from
    for module, name, function in saved:
        setattr(module, name, _refusing(module.__name__, name, function))
    try:
        with _watchdog(step_seconds):
            yield
    finally:
        for module, name, function in saved:
            setattr(module, name, function)


def _refusing(module: str, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    instead = "pause()" if name == "sleep" else "a parameter, or a choice of the schedule"

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if RUN.task is not None or RUN.checking or _Building.now:
            raise ScenarioError(
                f"{_who()} calls {module}.{name}(): a run must be the same each time it is "
                f"replayed, so use {instead} instead"
            )
        return function(*args, **kwargs)

    return call


def _who() -> str:
    if RUN.task is not None:
        return f"task {RUN.task.name}"
    return "a check" if RUN.checking else "the scenario"


def _watchdog(seconds: float) -> AbstractContextManager[None]:
    last, since = -1, clock()

    def look() -> None:
        nonlocal last, since
        if RUN.task is None and not RUN.checking and not _Building.now:
            last = -1
        elif RUN.turns != last:
            last, since = RUN.turns, clock()
        elif clock() - since >= seconds:
            raise ScenarioError(
                f"{_who()} ran for more than {seconds:g} s without reaching a point: does a loop "
                "lack an await?"
            )

    return ticking(look)
