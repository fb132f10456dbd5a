"""Ctrl-C that keeps what was found: it is noticed between two pieces of work."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final


class _Asked:
    def __init__(self) -> None:
        self.to_stop = False


_OPEN: Final[list[_Asked]] = []
"""Those that are entered, the innermost last."""


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Inside, a first Ctrl-C only makes the yielded function true; a second one raises
    ``KeyboardInterrupt`` as usual. Outside the main thread nothing changes.

    They nest: what an inner one was asked the outer one is asked too, so that a Ctrl-C in
    the last moment of a search is not lost on whoever began it.
    """
    asked = _Asked()
    if threading.current_thread() is not threading.main_thread():
        yield lambda: asked.to_stop
        return

    def ask(_signal: int, _frame: FrameType | None) -> None:
        if asked.to_stop:
            raise KeyboardInterrupt
        asked.to_stop = True

    before = signal.signal(signal.SIGINT, ask)
    _OPEN.append(asked)
    try:
        yield lambda: asked.to_stop
    finally:
        signal.signal(signal.SIGINT, before)
        _close(asked)


@contextmanager
def heard() -> Iterator[Callable[[], bool]]:
    """Inside, a Ctrl-C does what it does; the yielded function becomes true if one came in the
    last moment of an ``interruptible`` inside, which was done before it looked."""
    asked = _Asked()
    _OPEN.append(asked)
    try:
        yield lambda: asked.to_stop
    finally:
        _close(asked)


def _close(asked: _Asked) -> None:
    _OPEN.remove(asked)
    if asked.to_stop and _OPEN:
        _OPEN[-1].to_stop = True
