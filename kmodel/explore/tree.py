"""Decision trees: what a pure function of shared state does, remembered by what it reads.

A tree is a leaf, or ``[location, {code: tree}]``: the function reads the location first,
and what it finds there decides what it reads next.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kmodel.panic import Panic
from kmodel.point import RUN
from kmodel.recorder import Recorder, SharedStateError
from kmodel.world import World

if TYPE_CHECKING:
    from kmodel.explore.history import Node

State = array  # of codes: one a location, then one node index a task


class Divergence(Exception):
    """The same choices led elsewhere: the scenario is not deterministic."""


class Leaf:
    """One step, as far as others can tell: what it wrote, said and led to.

    ``spans`` are the data accesses, as bit masks (atomic and hidden locations are
    left out), cut where the step released a lock: (reads, writes, the locks that
    it released later in the step). ``touched`` and ``wrote`` sum them up. ``taken`` are
    the objects that its operation is about, locks above all.
    """

    __slots__ = (
        *("inputs", "moves", "next", "panic", "result", "said", "spans", "stores", "taken"),
        *("touched", "wrote"),
    )

    def __init__(self) -> None:
        self.next: Node | None = None
        self.moves = 0
        self.stores: tuple[tuple[int, int], ...] = ()
        self.inputs: tuple[tuple[int, int], ...] = ()
        self.result: Any = None
        self.said: tuple[tuple[str, dict[str, Any]], ...] = ()
        self.spans: tuple[tuple[int, int, frozenset[int]], ...] = ()
        self.touched = self.wrote = 0
        self.taken: frozenset[int] = frozenset()
        self.panic: Panic | None = None

    @property
    def ends(self) -> bool:
        """Is it the last step of its task?"""
        return self.next is not None and self.next.op is None


BLOCKED = Leaf()


class Predicate:
    """A pure function of shared state, remembered by the values it reads."""

    __slots__ = ("function", "tree")

    def __init__(self, function: Callable[[], Any]) -> None:
        self.function, self.tree = function, None

    def value(self, state: State[int], world: World) -> Any:
        found = walk(self.tree, state)
        if found is None:
            recorder = world.recorder
            assert recorder is not None
            recorder.load(state[: len(recorder.state)])
            recorder.begin()
            recorder.operating, RUN.task = None, None
            found = (self.function(),)
            if recorder.wrote:
                name = recorder.names[next(iter(recorder.wrote))]
                raise SharedStateError(f"a check changed {name}: checks may only read")
            self.tree = grow(self.tree, list(recorder.read.items()), found)
        return found[0]


def walk(tree: Any, state: State[int]) -> Any:
    while tree.__class__ is list:
        tree = tree[1].get(state[tree[0]])
    return tree


def path(tree: Any, state: State[int]) -> list[tuple[int, int]]:
    """The locations that ``walk`` looks at, and what it finds there."""
    found = []
    while tree.__class__ is list:
        found.append((tree[0], state[tree[0]]))
        tree = tree[1].get(state[tree[0]])
    return found


def grow(tree: Any, reads: list[tuple[int, int]], leaf: Any) -> Any:
    """Add ``leaf`` under ``reads``; return the root.

    Raises where another run read another location after the same values: then
    the code is no function of what it reads.
    """
    root = tree if tree is not None else ([reads[0][0], {}] if reads else leaf)
    here = root
    for depth, (location, code) in enumerate(reads):
        if here.__class__ is not list or here[0] != location:
            raise Divergence("a step read other shared state than when it ran before")
        last = depth + 1 == len(reads)
        if code not in here[1]:
            here[1][code] = leaf if last else [reads[depth + 1][0], {}]
        here = here[1][code]
    return root


def spans_of(recorder: Recorder) -> tuple[tuple[int, int, frozenset[int]], ...]:
    private = recorder.atomic | recorder.hidden
    spans: list[tuple[int, int, frozenset[int]]] = []
    reads = writes = 0
    released: frozenset[int] = frozenset()
    for entry in reversed(recorder.trace):
        if entry < 0:
            if reads or writes:
                spans.append((reads, writes, released))
            reads = writes = 0
            released |= {~entry}
        elif entry >> 1 not in private:
            if entry & 1:
                writes |= 1 << (entry >> 1)
            else:
                reads |= 1 << (entry >> 1)
    if reads or writes:
        spans.append((reads, writes, released))
    return tuple(spans)
