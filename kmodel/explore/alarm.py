"""The alarm of a process: work that takes too long is broken off from within.

One timer ticks; whoever needs to know asks to be called at each tick. A call may raise,
and what it raises comes up in whatever the main thread was doing. Off the main
thread nothing ticks.
"""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic as clock  # the real one: model code gets none
from types import FrameType
from typing import Final

TICK: Final = 0.2
"""Seconds between two ticks."""

_called: list[Callable[[], None]] = []


class OutOfTime(BaseException):
    """A deadline has passed. No ``Exception``: it is no error of what was broken off."""


def _tick(_signal: int, _frame: FrameType | None) -> None:
    for call in tuple(_called):
        call()


@contextmanager
def ticking(call: Callable[[], None]) -> Iterator[None]:
    """Inside, ``call`` is called about every ``TICK`` seconds."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    first = not _called
    _called.append(call)
    if first:
        before = signal.signal(signal.SIGALRM, _tick)
        signal.setitimer(signal.ITIMER_REAL, TICK, TICK)
    try:
        yield
    finally:
        _called.remove(call)
        if first:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)


@contextmanager
def masked(how: int = signal.SIG_BLOCK) -> Iterator[None]:
    """No tick inside, unless asked for again inside that with ``SIG_UNBLOCK``: for around
    ``trio.run``, which closes the socket that a signal wakes it by before it forgets it."""
    before = signal.pthread_sigmask(how, [signal.SIGALRM])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def forked() -> None:
    """In a forked child: no timer of the parent ticks here, so begin anew."""
    _called.clear()


@contextmanager
def deadline(seconds: float | None) -> Iterator[None]:
    """Raise ``OutOfTime`` inside, once, when so many seconds have passed."""
    end = math.inf if seconds is None else clock() + seconds

    def look() -> None:
        nonlocal end
        if clock() >= end:
            end = math.inf
            raise OutOfTime

    with ticking(look):
        yield
