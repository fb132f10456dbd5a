"""A second pair of hands: part of the judging in a forked process, beside the rest.

The child sees the graph as it was at the fork, without a copy being made of it; what it
found comes back through a pipe. Which process judges what changes no result.
"""

from __future__ import annotations

import os
import pickle
import signal
from collections.abc import Callable
from typing import Any

from kmodel.explore.alarm import forked


class Aside:
    """``work()`` in a child, from now on. ``result`` waits for it; ``close`` gives it up.
    A context manager that closes."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._read, write = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            self._child(work, write)
        os.close(write)

    def _child(self, work: Callable[[], Any], write: int) -> None:
        """Never returns: nothing of the parent's clean-up may run here."""
        status = 1
        try:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for the parent
            forked()
            data = pickle.dumps(work())
            with os.fdopen(write, "wb") as pipe:
                pipe.write(data)
            status = 0
        finally:
            os._exit(status)

    def result(self) -> Any:
        """What ``work`` returned; ``None`` if the child failed."""
        with os.fdopen(self._read, "rb") as pipe:
            self._read = -1
            data = pipe.read()
        _, status = os.waitpid(self._pid, 0)
        self._pid = 0
        return pickle.loads(data) if status == 0 else None

    def close(self) -> None:
        """End the child, if it still works."""
        if self._read >= 0:
            os.close(self._read)
            self._read = -1
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            self._pid = 0

    def __enter__(self) -> Aside:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
