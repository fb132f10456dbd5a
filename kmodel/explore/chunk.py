"""What a search found since its last chunk, as bytes and back.

One line of JSON with the sizes, then columns. Of new shared parts: those bytes in which any
of them may differ from that of the initial state (the others are as there). The new states.
Of expanded states: where each task leads, and by which leaf. Then what model code ran.
"""

from __future__ import annotations

import json
import sys
from array import array
from typing import Any, Final

import attrs

from kmodel.explore.graph import Violation
from kmodel.explore.journal import LARGEST
from kmodel.explore.keys import place
from kmodel.explore.rerun import PRINT, Ran

BIG: Final = sys.byteorder == "big"


@attrs.frozen(kw_only=True)
class Chunk:
    """``packed`` are new states, ``shared`` new shared parts (see ``keys``). ``succ`` and ``leaf``
    are the rows of the states expanded since (leaves by number), in order and flat; those of
    final states are empty, and ``finals`` says where they come. The rest are totals, and the
    violations since the last chunk."""

    packed: list[int]
    shared: list[bytes]
    succ: array[int]
    leaf: array[int]
    finals: array[int]
    ran: list[Ran]
    violations: list[Violation]
    transitions: int
    seconds: float

    def pack(self, initial: bytes, places: list[int], tasks: int) -> bytes:
        """As bytes. ``places`` are the bytes of a shared part, the low one of a code first, that
        may differ from ``initial``."""
        width, size = len(initial), _size(tasks)
        shared = b"".join(self.shared)
        packed = b"".join([one.to_bytes(size, "little") for one in self.packed])
        ran = array("i", [part for one in self.ran for part in (one.who, one.node, one.state)])
        sizes = {
            "states": len(self.packed),
            "parts": len(self.shared),
            "places": places,
            "cells": len(self.succ),
            "finals": len(self.finals),
            "ran": len(self.ran),
            "transitions": self.transitions,
            "seconds": self.seconds,
            "violations": [attrs.astuple(one) for one in self.violations],
        }
        return b"".join(
            (
                json.dumps(sizes, default=str).encode() + b"\n",
                *(shared[at ^ BIG :: width] for at in places),
                *(packed[byte::size] for byte in range(size)),
                *(_little(numbers) for numbers in (self.succ, self.leaf, self.finals, ran)),
                *(one.print for one in self.ran),
            )
        )

    @classmethod
    def unpack(cls, content: bytes, initial: bytes, tasks: int) -> Chunk:
        """The chunk that ``content`` is. Raises ``ValueError``, ``TypeError``, ``LookupError``."""
        line, _, body = content.partition(b"\n")
        sizes: dict[str, Any] = json.loads(line)
        count, states, cells = sizes["parts"], sizes["states"], sizes["cells"]
        width, size = len(initial), _size(tasks)
        if not 0 <= count * width <= LARGEST or not 0 <= states * size <= LARGEST:
            raise ValueError("too many states")
        parts, shared, packed = _Parts(body), bytearray(initial * count), bytearray(states * size)
        for at in sizes["places"]:
            shared[at ^ BIG :: width] = parts.take(count)
        for byte in range(size):
            packed[byte::size] = parts.take(states)
        succ, leaf = parts.numbers(cells), parts.numbers(cells)
        finals, who = parts.numbers(sizes["finals"]), parts.numbers(3 * sizes["ran"])
        prints = parts.take(PRINT * sizes["ran"])
        parts.end()
        return cls(
            packed=[
                int.from_bytes(packed[at : at + size], "little")
                for at in range(0, len(packed), size)
            ],
            shared=[bytes(shared[at : at + width]) for at in range(0, len(shared), width)],
            succ=succ,
            leaf=leaf,
            finals=finals,
            ran=[
                Ran(who[one], who[one + 1], who[one + 2], prints[at : at + PRINT])
                for one, at in zip(range(0, len(who), 3), range(0, len(prints), PRINT))
            ],
            violations=[_violation(row) for row in sizes["violations"]],
            transitions=int(sizes["transitions"]),
            seconds=float(sizes["seconds"]),
        )


def _size(tasks: int) -> int:
    """Bytes of a packed state."""
    return place(tasks) // 8


class _Parts:
    """The columns, one after the other."""

    def __init__(self, body: bytes) -> None:
        self._body, self._at = body, 0

    def take(self, length: int) -> bytes:
        found = self._body[self._at : self._at + length]
        if length < 0 or len(found) != length:
            raise ValueError("too short")
        self._at += length
        return found

    def numbers(self, count: int) -> array[int]:
        return _little(array("i", self.take(4 * count)))

    def end(self) -> None:
        if self._at != len(self._body):
            raise ValueError("too long")


def _little(numbers: array[int]) -> array[int]:
    """From the order of bytes of this machine to that of files, or back."""
    if BIG:
        numbers.byteswap()
    return numbers


def _violation(row: list[Any]) -> Violation:
    return attrs.evolve(Violation(*row), culprits=tuple(row[-1]))
