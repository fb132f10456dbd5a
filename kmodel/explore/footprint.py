"""The footprint of an operation: the shared objects that it is about.

Two operations of different tasks *conflict* if their footprints meet: then their
order can matter. This is read off the target and the arguments, so a strategy has it
without recording anything. What a step does after its operation, on plain shared
fields, is not in it; where there is no data race, locks order all of that.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kmodel.point import Op, Task


def footprint(op: Op) -> tuple[int, ...]:
    """The numbers of the shared objects among target and arguments, ascending.

    A task is a value here, not an object: nothing of it changes.
    """
    return tuple(sorted(set(_numbers((op[1], op[2])))))


def _numbers(values: tuple[Any, ...]) -> Iterator[int]:
    for value in values:
        if isinstance(value, tuple):
            yield from _numbers(value)
        elif hasattr(value, "_oid") and not isinstance(value, Task):
            yield value._oid


def conflict(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Do the two footprints meet?"""
    return any(number in other for number in one)
