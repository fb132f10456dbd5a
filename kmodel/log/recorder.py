"""An observer that writes a run down as it happens, or only takes its digest.

::

    with Recorder.start(header, logs) as recorder:
        outcome = run(Execution(world, recorder, checks=True), strategy, max_steps)
        digest = recorder.close(outcome, unable(execution))

Records go through a structlog chain of this module's own; nothing global is
configured and nothing but the header knows the time. Left without ``close``, the
log has no ``run.end`` and so reads as an unfinished run.
"""

from __future__ import annotations

import os
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO, Final, NoReturn

import structlog

from kmodel.explore.coroutine import goes
from kmodel.explore.execution import Execution, Outcome
from kmodel.log.record import (
    CHAIN_START,
    END,
    Header,
    Record,
    chained,
    encode,
    ordered,
    own_names,
)
from kmodel.log.runs import EVENTS, cannot_write, new_run, run_name

HANGS: Final = ("deadlock", "lost-wakeup", "livelock", "starvation", "left-out", "limit")
"""Ends of a run that no step of it made: somebody may wait there that no event tells of."""

BUFFER: Final = 1 << 16
"""Bytes kept back before the file is written: a system call an event would cost more
than the event."""


class Recorder:
    """Records one run; use once. Made by ``start``.

    ``path`` is the file, or ``None`` where only the digest is wanted; ``run_id`` the
    name of its directory; ``digest`` is set by ``close``; ``records`` are all events
    so far if they were to be kept, for a caller that shows them.
    """

    def __init__(self, tasks: tuple[str, ...], file: _LogFile | None, keep: bool) -> None:
        self.records: list[Record] = []
        self.digest: str | None = None
        self._tasks, self._file = tasks, file
        self._hash = blake2b(digest_size=16)
        self._sum = CHAIN_START
        self._seq = 0
        chain = (
            [_order, self._keep, _encode, self._hashed] if keep else [_order, _encode, self._hashed]
        )
        self._log: _Events = structlog.wrap_logger(
            file or _Nowhere(),
            processors=chain + [self._chained] if file else chain,
            wrapper_class=_Events,
            context_class=dict,
            cache_logger_on_first_use=False,
        ).bind()

    @classmethod
    def start(cls, header: Header, logs: Path | None = None, *, keep: bool = False) -> Recorder:
        """Begin a run: in a new directory under ``logs``, or without a file.

        ``keep`` also holds every event in memory. Raises ``LogError`` if there is no
        directory or file to write to.
        """
        file, first = None, header.line()
        if logs is not None:
            file = _LogFile(new_run(logs, run_name(header)) / EVENTS)
            # at once, so that a full disk is known before the work is done
            file.write(first)
            file.flush()
            file.begun = True
        return cls(header.tasks, file, keep)

    @property
    def path(self) -> Path | None:
        return self._file.path if self._file else None

    @property
    def run_id(self) -> str | None:
        return self._file.path.parent.name if self._file else None

    def __call__(
        self, step: int, task: int, cause: int | None, event: str, fields: dict[str, Any]
    ) -> int:
        """Record an event; return its ``seq``. Raises ``CutShort`` on a full disk."""
        seq, self._seq = self._seq, self._seq + 1
        row = own_names(fields)
        row["step"], row["seq"], row["cause"] = step, seq, cause
        row["cpu"], row["task"] = task, self._tasks[task]
        self._log.say(event, row)
        return seq

    def close(self, outcome: Outcome, waiting: str = "", shows: Outcome | None = None) -> str:
        """End the run with ``run.end``; return its digest. Raises ``CutShort``.

        ``shows`` is what the run was judged to show where that is more than how it ended.
        The log says that; the digest covers what the run did, and no judgement."""
        row = {"seq": self._seq, "waiting": waiting or None}
        # the digest cannot cover itself
        self._hashed(None, "", encode(ordered(row | _end(outcome) | {"event": END})))
        self.digest = self._hash.hexdigest()
        self._log.say(END, row | _end(shows or outcome) | {"digest": self.digest})
        if self._file:
            self._file.close()
        return self.digest

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file and self.digest is None:
            self._file.abandon()

    def _keep(self, _logger: Any, _method: str, row: Any) -> Any:
        self.records.append(Record.of(row))
        return row

    def _hashed(self, _logger: Any, _method: str, body: Any) -> Any:
        self._hash.update(body + b"\n")
        return body

    def _chained(self, _logger: Any, _method: str, body: Any) -> Any:
        line, self._sum = chained(body, self._sum)
        return line


def _end(outcome: Outcome) -> dict[str, Any]:
    return {
        "step": outcome.steps,
        "outcome": outcome.kind,
        "message": outcome.message or None,
        "property": outcome.property or None,
        "culprits": ", ".join(outcome.culprits) or None,
    }


def unable(execution: Execution) -> str:
    """Who cannot go where a run ended, and at what. Empty where the run came to its end, or a
    step broke it.

    A CPU that spins says nothing until it has the mutex; where it never has it, only this
    tells."""
    outcome = execution.outcome
    return "" if outcome is None or outcome.kind not in HANGS else standing(execution)


def standing(execution: Execution) -> str:
    """Who cannot go, and at what: ``A at mutex.enter one, B at ...``."""
    able = {
        task.name
        for task, op in zip(execution.world.tasks, execution.pending)
        if op is not None and goes(op)
    }
    places = execution.waiting().items()
    return ", ".join(f"{name} at {place}" for name, place in places if name not in able)


def _order(_logger: Any, _method: str, row: Any) -> Any:
    return ordered(row)


def _encode(_logger: Any, _method: str, row: Any) -> Any:
    return encode(row)


class _Events(structlog.BoundLoggerBase):
    """structlog's way in without its levels: an event has none."""

    def say(self, event: str, fields: dict[str, Any]) -> None:
        (line,), _ = self._process_event("write", event, fields)
        self._logger.write(line)


class _Nowhere:
    """Takes the place of the file where only the digest is wanted."""

    def write(self, line: bytes) -> None:
        pass


def open_new(path: Path) -> BinaryIO:
    """The file of a new run; one that is already there is left alone."""
    return open(path, "xb", buffering=BUFFER)


class _LogFile:
    """The file being written. Every method raises ``LogError`` where the system refuses."""

    def __init__(self, path: Path) -> None:
        self.path, self.begun = path, False
        try:
            self._file = open_new(path)
        except OSError as error:
            raise cannot_write(path, error) from error

    def write(self, line: bytes) -> None:
        try:
            self._file.write(line)
        except OSError as error:
            self._fail(error)

    def flush(self) -> None:
        try:
            self._file.flush()
        except OSError as error:
            self._fail(error)

    def close(self) -> None:
        """On disk when this returns, as far as the system can promise."""
        self.flush()
        try:
            os.fsync(self._file.fileno())
            self._file.close()
        except OSError as error:
            self._fail(error)

    def abandon(self) -> None:
        """Keep what there is. Silent: whatever ended the run is the news, not this."""
        try:
            self._file.close()
        except OSError:
            pass

    def _fail(self, error: OSError) -> NoReturn:
        self.abandon()
        raise cannot_write(self.path, error, self.begun) from error
