"""Where two runs part: what they share, what each then did, and what came of it in numbers."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any, Final, cast

import attrs

from kmodel.log.reader import Reader
from kmodel.log.record import Record
from kmodel.log.stats import Stats

CONTEXT: Final = 3
"""Events told before the runs part."""
Row = tuple[str, Any, Any]
"""A name, and the value on either side."""

AFTER: Final = 10
"""Events of each told after."""

HEAD: Final = ("scenario", "fix", "situation", "strategy", "seed", "kmodel", "model")
"""Keys of the headers that are compared; and each parameter."""


@attrs.define
class Parting:
    """``common`` events are the same, of which ``before`` are the last; from there on each run
    did what ``sides`` has. If both are empty the runs are the same. ``stats`` is of all.

    Events are held together by the name of their task: where one run has more CPUs, the same
    task may have another number."""

    common: int
    before: list[Record]
    sides: tuple[list[Record], list[Record]]
    stats: tuple[Stats, Stats]

    @property
    def same(self) -> bool:
        return not any(self.sides)

    def differing(self) -> list[Row]:
        """What the first two events that are not the same say differently."""
        one, other = (_said(side[0]) if side else {} for side in self.sides)
        rows = [(key, one.get(key), other.get(key)) for key in one | other]
        return [row for row in rows if row[1] != row[2]] if one and other else []


def parted(one: Reader, other: Reader) -> Parting:
    """Read both logs to their ends, side by side; no more than a few events are kept."""
    stats = Stats(one.tasks, one.pools), Stats(other.tasks, other.pools)
    before: deque[Record] = deque(maxlen=CONTEXT)
    sides: tuple[list[Record], list[Record]] = [], []
    common = 0
    for pair in zip_longest(_counted(one, stats[0]), _counted(other, stats[1])):
        if not any(sides) and _same(*pair):
            common += 1
            before.append(cast(Record, pair[0]))
            continue
        for side, record in zip(sides, pair):
            if record is not None and len(side) < AFTER:
                side.append(record)
    stats[0].close(one.end)
    stats[1].close(other.end)
    return Parting(common, list(before), sides, stats)


def _same(one: Record | None, other: Record | None) -> bool:
    # nearly always the first comparison tells
    return one == other or bool(one and other and _said(one) == _said(other))


def _said(record: Record) -> dict[str, Any]:
    """What an event says, without the number of the CPU where the task has a name."""
    row = record.row()
    if record.task is not None:
        row.pop("cpu", None)
    return row


def _counted(log: Reader, stats: Stats) -> Iterator[Record]:
    for record in log:
        stats.add(record)
        yield record


def heads(one: Reader, other: Reader) -> list[Row]:
    """What the headers say differently."""
    rows = [(key, one.header.get(key), other.header.get(key)) for key in HEAD]
    params = [_params(log) for log in (one, other)]
    rows += [(key, params[0].get(key), params[1].get(key)) for key in params[0] | params[1]]
    return [row for row in rows if row[1] != row[2]]


def differences(one: Stats, other: Stats) -> list[Row]:
    """The numbers that differ, by what they are of."""
    left, right = _numbers(one), _numbers(other)
    rows = [(name, left.get(name), right.get(name)) for name in left | right]
    return [(name, a or 0, b or 0) for name, a, b in rows if (a or 0) != (b or 0)]


def _params(log: Reader) -> dict[str, Any]:
    params = log.header.get("params")
    return params if isinstance(params, dict) else {}


def _numbers(stats: Stats) -> dict[str, Any]:
    found: dict[str, Any] = {
        "outcome": stats.outcome or "unfinished",
        "steps": stats.steps,
        "events": stats.events,
        "faults": len(stats.faults),
        "refaults": sum(fault.refaults for fault in stats.faults),
    }
    for cpu in stats.cpus.values():
        for what in ("busy", "asleep", "spinning", "refused"):
            found[f"{cpu.task}: {what}"] = getattr(cpu, what)
    for lock in stats.worst_locks():
        for what in ("contended", "refused", "acquired"):
            found[f"{lock.name}: {what}"] = getattr(lock, what)
        if lock.longest_wait:
            found[f"{lock.name}: longest wait"] = lock.longest_wait.steps
    for pool in stats.pools.values():
        for why, count in sorted((pool.failed + pool.waited).items()):
            found[f"{pool.name}: {why}"] = count
        found[f"{pool.name}: high water"] = pool.high
    return found
