"""Where runs live: ``<logs>/<run-id>/events.jsonl``, one directory for each run."""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path
from typing import Final

from kmodel.log.record import Header

LOGS: Final = Path("logs")
EVENTS: Final = "events.jsonl"
PACKED: Final = EVENTS + ".gz"

LONGEST: Final = 100
"""Characters of a run-id before its number; file systems stop at 255 bytes."""

TRIES: Final = 1000
"""Directories tried before giving up: other processes may take names at the same time."""


class LogError(Exception):
    """A log cannot be written or found. The message names the path and what to do."""


class NoSuchRun(LogError):
    """There is no run of that name."""


class CutShort(LogError):
    """A log that had begun takes no more records; the run itself could go on."""


def run_name(header: Header) -> str:
    """A readable name for the run, not yet unique: scenario, fix, and its seed."""
    drawn = f"seed{header.seed}" if header.seed is not None else header.strategy
    parts = [Path(header.scenario).stem, header.fix, header.situation, drawn]
    words = [re.sub(r"[^A-Za-z0-9._]+", "-", part).strip("-.") for part in parts if part]
    return "-".join(filter(None, words))[:LONGEST] or "run"


def new_run(logs: Path, name: str) -> Path:
    """Make a directory ``<name>-N`` that no other process has. Raises ``LogError``."""
    try:
        logs.mkdir(parents=True, exist_ok=True)
        first = _highest(logs, name) + 1
        for number in range(first, first + TRIES):
            directory = logs / f"{name}-{number}"
            try:
                # whoever makes the directory owns it: there is no moment between look and take
                directory.mkdir(exist_ok=False)
            except FileExistsError:
                continue
            return directory
    except OSError as error:
        raise LogError(
            f"No run can be recorded in {logs}: {_reason(error)}. Make the directory "
            "writable, or name another one with --logs DIR."
        ) from error
    raise LogError(
        f"No run can be recorded in {logs}: {TRIES} directories from {name}-{first} on were "
        "taken while this run tried to make one. Name another directory with --logs DIR."
    )


def cannot_write(path: Path, error: OSError, begun: bool = False) -> LogError:
    """What to raise when the file at ``path`` takes no more; ``begun``: it has a header."""
    return (CutShort if begun else LogError)(
        f"The log {path} could not be written: {_reason(error)}. What it holds so far is kept "
        "and reads as an unfinished run. Make room, or name another directory with --logs DIR, "
        "and run again: the same seed gives the same run."
    )


def run_names(logs: Path) -> list[str]:
    """The runs under ``logs`` by name; none if it cannot be read."""
    try:
        with os.scandir(logs) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir())
    except OSError:
        return []


def find(run: str, logs: Path = LOGS) -> Path:
    """What ``run`` means: a run under ``logs``, else a path. Raises ``NoSuchRun``.

    The path may be a directory or a file; whether it holds a log, the reader says.
    """
    bare = run not in {"", ".", ".."} and not re.search(r"[/\\]", run)
    for path in (logs / run, Path(run)) if bare else (Path(run),):
        if run and os.path.lexists(path):
            return path
    raise NoSuchRun(f"There is no run {run!r}: {_suggest(run, logs)}")


def events_file(path: Path) -> Path | None:
    """The events of the run at ``path``, packed or not; ``None`` if it has none."""
    if not path.is_dir():
        return path
    for name in (EVENTS, PACKED):
        if (path / name).exists():
            return path / name
    return None


def _highest(logs: Path, name: str) -> int:
    taken = re.compile(re.escape(name) + r"-([1-9][0-9]{0,8})")
    found = [int(match[1]) for match in map(taken.fullmatch, os.listdir(logs)) if match]
    return max(found, default=0)


def _suggest(run: str, logs: Path) -> str:
    known = run_names(logs)
    if not known:
        return f"{logs} holds no runs. Record one, or say with --logs DIR where they are."
    near = difflib.get_close_matches(run, known, n=3)
    if near:
        return f"no such name under {logs}, and no such path. Did you mean {' or '.join(near)}?"
    few = ", ".join(known[:5]) + (f" and {len(known) - 5} more" if len(known) > 5 else "")
    return f"no such name under {logs}, and no such path. The runs there: {few}."


def _reason(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
