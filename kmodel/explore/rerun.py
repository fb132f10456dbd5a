"""Which model code a search ran, in order, and the same again in a search that goes on.

A search runs a step once for each combination of what it depends on, and a check once for
each combination of what it reads. Run again in that order they give the same histories,
trees, leaves and codes of values, with the same numbers. Each leaves a fingerprint of all
that it read, wrote, said and led to; if that differs, the model has changed.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from functools import partial
from hashlib import blake2b
from typing import Any, Final

import attrs

from kmodel.explore.history import Histories, Node
from kmodel.explore.tree import BLOCKED, Leaf, Predicate, State
from kmodel.recorder import LimitReached
from kmodel.world import Check, World

PRINT: Final = 8
"""Bytes of a fingerprint."""
NONE: Final = -1
"""The number of no leaf."""


@attrs.frozen
class Ran:
    """Model code that ran: a step of task ``who`` from its node ``node``, or the check ``~who``,
    with the values of ``state``; and the fingerprint of what it did."""

    who: int
    node: int
    state: int
    print: bytes


class Changed(Exception):
    """Something does otherwise than when it ran before; the message says what."""


class Told(Histories):
    """Histories that tell of each step of model code, once it has run."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.tell: Callable[[Node, State[int], Leaf], None] | None = None

    def _execute(self, node: Node, state: State[int]) -> Leaf:
        leaf = super()._execute(node, state)
        if self.tell:
            self.tell(node, state, leaf)
        return leaf


class Reruns:
    """What runs in one search goes to ``ran``.

    ``number`` gives the number of a state, ``state`` is the one whose checks are asked now.
    ``leaves`` numbers them in the order in which they were made. ``places`` are the bytes
    of the shared part, the low one of a code first, that any step may change.
    """

    def __init__(self, histories: Told, number: Callable[[State[int]], int]) -> None:
        self.ran: list[Ran] = []
        self.state = 0
        self.leaves: dict[Leaf | None, int] = {None: NONE}
        self.places: set[int] = set()
        self._histories, self._number = histories, number
        self._checks: list[tuple[Check, Predicate]] = []
        self._values = len(histories.recorder.values)
        histories.tell = self._stepped

    def watch(self, checks: list[tuple[Check, Predicate]]) -> None:
        """Listen to these checks too."""
        self._checks = checks
        for index, (_, predicate) in enumerate(checks):
            predicate.function = partial(self._checked, ~index, predicate.function)

    def stop(self) -> None:
        """Listen no more: what runs from here on is no part of the search."""
        self._histories.tell = None

    def _stepped(self, node: Node, state: State[int], leaf: Leaf) -> None:
        if leaf is not BLOCKED:
            self.leaves[leaf] = len(self.leaves) - 1
            for location, code in leaf.stores:
                self.places.add(2 * location)
                if code > 255 or self._histories.initial[location] > 255:
                    self.places.add(2 * location + 1)
        there = leaf.next
        self._note(
            node.task.index,
            node.index,
            self._number(state),
            (
                (leaf is BLOCKED, leaf.stores, leaf.inputs, leaf.spans, sorted(leaf.taken)),
                (leaf.panic and (leaf.panic.kind, leaf.panic.message), leaf.said, leaf.result),
                (node.op, there and (there.index, there.history, there.op)),
            ),
        )

    def _checked(self, who: int, test: Callable[[], Any]) -> Any:
        wrong = test()
        self._note(who, 0, self.state, wrong)
        return wrong

    def _note(self, who: int, node: int, state: int, did: Any) -> None:
        recorder = self._histories.recorder
        new, self._values = recorder.values[self._values :], len(recorder.values)
        self.ran.append(Ran(who, node, state, fingerprint((did, list(recorder.read.items()), new))))

    def again(self, before: Ran, state: State[int]) -> None:
        """Run what ran before, with the values of ``state``. Raises ``Changed``."""
        histories, already = self._histories, len(self.ran)
        try:
            if before.who < 0:
                self.state = before.state
                self._checks[~before.who][1].value(state, histories.world)
            else:
                histories.leaf(histories.nodes[before.who][before.node], state)
        except (Exception, LimitReached) as error:
            raise Changed(f"{self._name(before)}, which fails now: {error}") from error
        if self.ran[already:] != [before]:
            raise Changed(f"{self._name(before)}, which does something else now")

    def _name(self, ran: Ran) -> str:
        """``B's lock.enter kernel_map in state 51``."""
        where = f"in state {ran.state:,}"
        if ran.who < 0:
            return f"the check {self._checks[~ran.who][0].name!r} {where}"
        op = self._histories.nodes[ran.who][ran.node].op
        what = f"{op[0].event} {getattr(op[1], 'name', '')}".rstrip() if op else "step"
        return f"{self._histories.world.tasks[ran.who]}'s {what} {where}"


def fingerprint(value: Any) -> bytes:
    """Of plain data, tuples, lists, and shared objects: the same in every process."""
    return blake2b(repr(plain(value)).encode(), digest_size=PRINT).digest()


def plain(value: Any) -> Any:
    """``value`` with everything that has an address in memory replaced by what it is."""
    if isinstance(value, (tuple, list)):
        return tuple(map(plain, value))
    if isinstance(value, dict):
        return tuple((key, plain(one)) for key, one in value.items())
    if isinstance(value, enum.Enum):
        return str(value)
    if getattr(value, "_oid", -1) >= 0:
        return "object", value._oid
    if value is None or isinstance(value, (int, str, bytes)):
        return value
    return type(value).__name__, getattr(value, "event", "")  # a kind of operation, by its name
