"""What one recorded world holds, and what the step that runs now reads and writes of it.

From this one record come state keys, histories, footprints and data races.
"""

from __future__ import annotations

import enum
from array import array
from collections.abc import Callable
from typing import Any

from kmodel.point import curtask

MAX_CODES = 65_535


class SharedStateError(Exception):
    """A scenario or model breaks a rule of shared state; the message says which."""


class LimitReached(BaseException):
    """The engine cannot tell more states apart. Not an ``Exception``: it is no error of
    the step in which it happens, and ends the search, which keeps what it has."""


class Recorder:
    """What one recorded world holds, and what the current step read and wrote.

    ``state`` holds one code a location; equal codes mean equal values (of equal
    type: ``1`` and ``True`` differ). ``read`` maps each location that the step
    read before writing it to the code found; ``seen`` is every code read, in
    order, for the task's history. ``trace`` has each access in order (location
    twice, plus one for a write) and each release of a lock (``~oid``), for races.
    ``operating`` says whether an operation may touch atomic fields just now (and
    nothing else), or ordinary code the others; ``None`` lets a check read all.
    """

    def __init__(self) -> None:
        self.codes: dict[Any, int] = {}
        self.values: list[Any] = []
        self.state = array("H")
        self.store: list[Callable[[Any], None]] = []
        self.names: list[str] = []
        self.atomic: set[int] = set()
        self.hidden: set[int] = set()
        self.read: dict[int, int] = {}
        self.wrote: dict[int, int] = {}
        self.seen: list[int] = []
        self.trace: list[int] = []
        self.operating: bool | None = None

    def encode(self, value: Any) -> int:
        cls = value.__class__
        if isinstance(value, tuple):
            key: Any = (cls, tuple(map(self.encode, value)))
        elif cls is int or cls is bool or cls is str or value is None:
            key = (cls, value)
        elif isinstance(value, enum.Enum):
            key = (cls, value.name)
        elif getattr(value, "_oid", -1) >= 0:
            key = ("object", value._oid)
        else:
            raise SharedStateError(
                f"shared state cannot hold {value!r} of type {cls.__name__}: use whole numbers, "
                "strings, enums, shared objects, None, or tuples of those"
            )
        code = self.codes.get(key)
        if code is None:
            code = len(self.values)
            if code > MAX_CODES:
                raise LimitReached(
                    f"more than {MAX_CODES} different values in shared state (is a counter "
                    "that only grows declared as state? Make it a Statistic or a Stamp)"
                )
            self.codes[key] = code
            self.values.append(value)
        return code

    def add(self, name: str, value: Any, store: Callable[[Any], None], kind: str) -> int:
        location = len(self.state)
        self.state.append(self.encode(value))
        self.store.append(store)
        self.names.append(name)
        if kind == "atomic":
            self.atomic.add(location)
        elif kind == "hidden":
            self.hidden.add(location)
        return location

    def get(self, location: int) -> None:
        if self.operating is not None and (location in self.atomic) is not self.operating:
            self._refuse(location)
        code = self.state[location]
        if location not in self.wrote and location not in self.read:
            self.read[location] = code
        self.trace.append(location << 1)
        if location not in self.hidden:
            self.seen.append(code)

    def _refuse(self, location: int) -> None:
        name = self.names[location]
        if self.operating:
            raise SharedStateError(
                f"an operation touches {name}, which is not Atomic: declare it so, or move "
                "the access out of the operation"
            )
        raise SharedStateError(
            f"{curtask()} touches {name}, which is Atomic, outside an operation: make the "
            "access an operation of its own, so that it is a point"
        )

    def put(self, location: int, value: Any) -> None:
        if self.operating is not None and (location in self.atomic) is not self.operating:
            self._refuse(location)
        code = self.encode(value)
        self.wrote[location] = code
        self.trace.append(location << 1 | 1)
        self.state[location] = code

    def begin(self) -> None:
        """Forget what the last step read and wrote."""
        self.read.clear()
        self.wrote.clear()
        self.seen.clear()
        self.trace.clear()

    def load(self, state: array[int]) -> None:
        """Make the world's objects hold ``state``."""
        mine = self.state
        if mine != state:
            for location, (old, new) in enumerate(zip(mine, state)):
                if old != new:
                    self.store[location](self.values[new])
            self.state = array("H", state)

    def set(self, location: int, code: int) -> None:
        self.store[location](self.values[code])
        self.state[location] = code
