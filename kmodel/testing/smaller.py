"""Makes the workload of a state machine smaller: fewer CPUs, then fewer operations.

Hypothesis shrinks what it has drawn, and may stop at more than need be, as taking an operation
away moves all that was drawn after it. Here each smaller workload is searched again, and counts
if it breaks in the same way (kind and property). Its values are those that Hypothesis left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from kmodel.explore.result import Result

Operation = tuple[int, str, dict[str, Any]]
"""CPU, name, arguments by name."""
Searched = Callable[[list[Operation]], Result]
MOST: Final = 60
"""Workloads searched."""


def smallest(workload: list[Operation], shown: Result, searched: Searched) -> list[Operation]:
    """One of which no part can be left out, or what ``MOST`` searches came to."""
    seen, progress = [workload], True
    while progress:
        progress = False
        for smaller in _smaller(workload):
            if smaller in seen:
                continue
            if len(seen) > MOST:
                return workload
            seen.append(smaller)
            if _alike(searched(smaller), shown):
                workload, progress = smaller, True
                break
    return workload


def _alike(one: Result, other: Result) -> bool:
    if one.verdict != "violated":
        return False
    return (one.kind, one.found[0].property) == (other.kind, other.found[0].property)


def _smaller(workload: list[Operation]) -> Iterator[list[Operation]]:
    cpus = sorted({cpu for cpu, _, _ in workload})
    for cpu in cpus:
        rest = [one for one in workload if one[0] != cpu]
        if rest:
            yield rest
    for cpu in cpus:
        yield from (_moved(workload, {cpu: other}) for other in cpus if other < cpu)
    block = len(workload) // 2
    while block:
        for at in range(len(workload) - block + 1):
            rest = workload[:at] + workload[at + block :]
            if rest:
                yield rest
        block //= 2
    tidy = _moved(workload, {cpu: number for number, cpu in enumerate(cpus)})
    if tidy != workload:
        yield tidy


def _moved(workload: list[Operation], to: dict[int, int]) -> list[Operation]:
    return [(to.get(cpu, cpu), name, args) for cpu, name, args in workload]
