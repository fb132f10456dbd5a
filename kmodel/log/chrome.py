"""Tracks as Chrome's trace events, in JSON: opens in Perfetto and in chrome://tracing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, BinaryIO, Final

from kmodel.log.tracks import THE_LOOP, Count, Instant, Item, Track

PROCESS: Final = {"CPUs": 1, "Faults": 2, "Locks held": 3}
COUNTERS: Final = 4

FIRST: Final = 1000
"""Number of the first thread: viewers merge 0 with 1."""

ROWS: Final = 64
"""Tracks that one CPU can have in a group."""


def write(items: Iterable[Item], tasks: Sequence[str], file: BinaryIO) -> None:
    """One event a line, as they come."""
    file.write(b'{"displayTimeUnit":"ms","traceEvents":[\n')
    for group, pid in [*PROCESS.items(), ("Counters", COUNTERS)]:
        _put(file, _meta("process_name", pid, 0, group), b",\n" if pid > 1 else b"")
    named: set[Track] = set()
    for item in items:
        if not isinstance(item, Count) and item.track not in named:
            named.add(item.track)
            name = track_name(item.track, tasks)
            _put(file, _meta("thread_name", PROCESS[item.track.group], _tid(item.track), name))
        for event in _events(item):
            _put(file, event)
    file.write(b"\n]}\n")


def track_name(track: Track, tasks: Sequence[str]) -> str:
    """``A``; a second row of one CPU is ``A (2)``."""
    if track == THE_LOOP:
        return "the loop"
    name = tasks[track.cpu] if 0 <= track.cpu < len(tasks) else f"cpu {track.cpu}"
    return name if not track.row else f"{name} ({track.row + 1})"


def _events(item: Item) -> list[dict[str, Any]]:
    if isinstance(item, Count):
        count = {"name": item.name, "ph": "C", "pid": COUNTERS, "ts": item.step}
        return [count | {"args": {"value": item.value}}]
    place = {"pid": PROCESS[item.track.group], "tid": _tid(item.track)}
    event: dict[str, Any] = {"name": item.name, "args": item.args} | place
    if isinstance(item, Instant):
        # in the middle of its step, or it would lie under the slice that begins with it
        middle = {"ts": item.step + 0.5}
        found = [event | {"ph": "i", "s": "t"} | middle]
        if item.begins is not None:
            found.append(_flow("s", item.begins) | place | middle)
        return found
    found = [event | {"ph": "X", "ts": item.since, "dur": item.until - item.since}]
    return found + [_flow("f", flow) | place | {"ts": item.since, "bp": "e"} for flow in item.ends]


def _flow(phase: str, number: int) -> dict[str, Any]:
    return {"name": "lets go", "cat": "cause", "ph": phase, "id": number}


def _meta(what: str, pid: int, tid: int, name: str) -> dict[str, Any]:
    return {"name": what, "ph": "M", "pid": pid, "tid": tid, "args": {"name": name}}


def _tid(track: Track) -> int:
    return FIRST + ROWS * track.cpu + track.row


def _put(file: BinaryIO, event: dict[str, Any], before: bytes = b",\n") -> None:
    file.write(before + json.dumps(event, separators=(",", ":")).encode())
