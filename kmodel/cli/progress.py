"""Progress on stderr for what takes longer than a moment; bars on a terminal only."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from threading import Timer

from kmodel.explore.graph import Graph, Limits

QUIET = 1.0
"""Seconds before anything is shown."""
EVERY = 0.1
"""Seconds between two updates."""


class _Clock:
    def __init__(self) -> None:
        self._next = time.monotonic() + QUIET

    def due(self) -> bool:
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + EVERY
        return True


@contextmanager
def searching(what: str, limits: Limits) -> Iterator[Callable[[Graph], None]]:
    """A line that counts states while a search goes on."""
    if not sys.stderr.isatty():
        yield lambda graph: None
        return
    clock = _Clock()

    def tick(graph: Graph) -> None:
        if clock.due():
            waiting = sum(1 for leaves in graph.leaf[-2000:] if not leaves)
            text = f"{what}: {len(graph):,} states, {graph.seconds:.0f} of {limits.seconds:g} s"
            sys.stderr.write(f"\r\x1b[K{text}{' ' if waiting else ''}")
            sys.stderr.flush()

    try:
        yield tick
    finally:
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()


@contextmanager
def told_if_long(what: str) -> Iterator[None]:
    """A line that says what goes on, if it takes longer than a moment; a terminal or none."""
    timer = Timer(QUIET, lambda: print(what, file=sys.stderr, flush=True))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def counting(what: str, total: int) -> Iterator[Callable[..., None]]:
    """A bar that advances each time it is called, by one or as much as it is told to; lines
    given to it stay above the bar."""
    if not sys.stderr.isatty():
        yield lambda by=1, lines=(): None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    console = Console(stderr=True)
    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # no refresh thread and no redirection: stdout stays ours, and runs stay undisturbed
    bar = Progress(
        *columns, console=console, transient=True, auto_refresh=False, redirect_stdout=False
    )
    clock = _Clock()
    with bar:
        task = bar.add_task(what, total=total)

        def tick(by: int = 1, lines: Iterable[str] = ()) -> None:
            bar.advance(task, by)
            for line in lines:
                bar.console.print(line, soft_wrap=True)
            if clock.due():
                bar.refresh()

        yield tick
