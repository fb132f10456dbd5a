"""What each task can have learned, and what its next step then does.

A task's *history* is all that it has observed and not forgotten, hash-consed to
a number; where it stands (a ``Node``) is a function of it. What its next step
does is a function of the node and of the locations that the step reads. So each
step of real model code is run once for each combination of values that it reads,
and remembered as a decision tree (location -> value -> ... -> ``Leaf``). A search
walks the tree: most transitions cost a few array look-ups and no coroutine.

Exact as long as tasks see each other through shared state only; ``World.record``
refuses what it can see breaking that, and every reported run is replayed on
fresh, unrecorded objects.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Coroutine
from typing import Any

from kmodel import point
from kmodel.explore.blame import blame
from kmodel.explore.coroutine import NOT_OF_THE_TASK, checked, close, goes, unawaited
from kmodel.explore.keys import place
from kmodel.explore.site import with_site
from kmodel.explore.tree import BLOCKED, Divergence, Leaf, Predicate, State, grow, spans_of, walk
from kmodel.point import RUN, START, Op, Task, fold
from kmodel.recorder import MAX_CODES, LimitReached
from kmodel.untracked import refuse_untracked
from kmodel.world import World, leave

DONE = 0
"""The node index of a task that has ended."""


class Node:
    """Where one task stands: its history, and the operation it is about to do."""

    __slots__ = (
        "coro",
        "grant",
        "history",
        "index",
        "op",
        "parent",
        "task",
        "tree",
        "until",
        "via",
    )

    def __init__(
        self,
        task: Task,
        index: int,
        history: int,
        op: Op | None,
        parent: Node | None = None,
        via: Leaf | None = None,
    ) -> None:
        self.task, self.index, self.history, self.op = task, index, history, op
        self.parent, self.via = parent, via
        self.tree: Any = None
        self.coro: Coroutine[Any, Any, Any] | None = None
        self.grant = _of_state(op, op[0].grant) if op else None
        self.until = _of_state(op, op[0].until) if op else None

    @property
    def waits_for(self) -> Any:
        """The sleeping lock that the task is asleep on, if it is."""
        return self.op[1] if self.op and self.grant else None


def _of_state(op: Op, function: Callable[..., Any] | None) -> Predicate | None:
    return Predicate(lambda: function(op[1], *op[2])) if function else None


class FalseLive(Exception):
    """A ``Loop.head`` or a ``procedure`` forgot what still mattered; the message says whose."""


class Histories:
    """All nodes of all tasks of one recorded world.

    ``runs`` counts steps of real model code; ``leaves`` are those that went, by task.
    Not ``forgetful``: nothing is forgotten, and each step checks that what would have
    been did not matter (``FalseLive``). Then loops never close, so only limits end it.
    """

    def __init__(self, world: World, forgetful: bool = True) -> None:
        self.world = world
        world.seal()
        self.unseen = refuse_untracked(world)
        self.recorder = world.record()
        self.locations = len(self.recorder.state)
        self._ids: dict[Any, int] = {}
        self._short: dict[int, int] = {}
        self._does: dict[int, Any] = {}
        self._forgetful = forgetful
        self.runs = 0
        self.leaves: list[tuple[int, Leaf]] = []
        self.nodes: list[list[Node]] = []
        self._at: list[dict[int, Node]] = []
        for task in world.tasks:
            done = Node(task, DONE, self._cons(0, "done", (task.index,)), None)
            root = self._cons(0, "task", (task.index,))
            start = Node(task, 1, root, (START, None, ()))
            self.nodes.append([done, start])
            self._at.append({done.history: done, root: start})
        self.initial: State[int] = array("H", [*self.recorder.state, *(1 for _ in world.tasks)])

    def _cons(self, parent: int, tag: str, seen: tuple[int, ...]) -> int:
        if self._forgetful:
            return self._number(parent, tag, seen)
        short = self._number(-self._short.get(parent, 0) - 1, tag, seen)
        if tag in ("head", "return"):  # keep what is forgotten beside what is not
            parent, seen = RUN.history, (*self.recorder.seen, -1, *seen)
        full = self._number(parent, tag, seen)
        self._short[full] = short
        return full

    def _number(self, parent: int, tag: str, seen: tuple[int, ...]) -> int:
        return self._ids.setdefault((parent, tag, seen), len(self._ids) + 1)

    def _encode_live(self, live: tuple[Any, ...]) -> tuple[int, ...]:
        return tuple(map(self.recorder.encode, live))

    def node(self, state: State[int], task: int) -> Node:
        return self.nodes[task][state[self.locations + task]]

    def leaf(self, node: Node, state: State[int]) -> Leaf:
        """What ``node``'s step does in ``state``; ``BLOCKED`` if it may not go."""
        found: Leaf | None = walk(node.tree, state)
        return found if found is not None else self._execute(node, state)

    def _execute(self, node: Node, state: State[int]) -> Leaf:
        """Run the model's own code for one step, and remember what it did."""
        self.runs += 1
        RUN.turns += 1
        recorder, op = self.recorder, node.op
        assert op is not None
        try:
            self._enter(node, state)
            if not goes(op):
                leaf, reads = BLOCKED, list(recorder.read.items())
            else:
                leaf, reads = self._step(node, op, state)
            node.tree = grow(node.tree, reads, leaf)
            if not self._forgetful:
                self._check_live(node, leaf, state, reads)
        finally:
            leave()
        return leaf

    def _check_live(
        self, node: Node, leaf: Leaf, state: State[int], reads: list[tuple[int, int]]
    ) -> None:
        """Nodes that differ only in what was forgotten must do alike: go or not, write
        the same, and come to nodes that again differ only so."""
        short, there = self._short[node.history], leaf.next
        does = (
            leaf is BLOCKED,
            leaf.stores,
            leaf.panic and leaf.panic.message,
            there and self._short[there.history],
            there and there.op and there.op[:2],
        )
        before = walk(self._does.get(short), state)
        if before is None:
            self._does[short] = grow(self._does.get(short), reads, (does,))
        elif before[0] != does:
            raise FalseLive(
                f"task {node.task} goes on differently after a Loop.head() or a procedure forgot "
                "something that still mattered: add it to the live values of the loop, or to what "
                "the procedure returns"
            )

    def _enter(self, node: Node, state: State[int]) -> None:
        recorder = self.recorder
        recorder.load(state[: self.locations])
        recorder.begin()
        recorder.operating = True
        RUN.task, RUN.seen, RUN.cons = node.task, recorder.seen, self._cons
        point.encode_live = self._encode_live
        RUN.history = node.history

    def _step(self, node: Node, op: Op, state: State[int]) -> tuple[Leaf, list[tuple[int, int]]]:
        recorder, leaf = self.recorder, Leaf()
        coro = node.coro or self._rebuild(node)
        node.coro = None
        self._enter(node, state)
        goes(op)
        said: list[tuple[str, dict[str, Any]]] = []
        RUN.sink = lambda event, fields: said.append((event, with_site(event, fields)))
        after: Op | None = None
        try:
            leaf.result = op[0].effect(op[1], *op[2])
            after = self._resume(coro, node.history, leaf.result)
        except StopIteration:
            RUN.history = self.nodes[node.task.index][DONE].history
            recorder.seen.clear()
            if RUN.made != RUN.awaited:
                leaf.panic = blame(unawaited(node.task), node.task)
        except Divergence:
            raise
        except NOT_OF_THE_TASK:
            raise
        except BaseException as error:
            leaf.panic = blame(error, node.task)
        leaf.said = tuple(said)
        self.leaves.append((node.task.index, leaf))
        self._footprint(leaf)
        leaf.taken = frozenset(
            thing._oid for thing in (op[1], *op[2]) if getattr(thing, "_oid", -1) >= 0
        )
        reads = list(recorder.read.items())
        if leaf.panic is None:
            leaf.next = self._arrive(node, leaf, after, coro)
            leaf.moves = leaf.next.index - node.index << place(node.task.index)
        else:
            close(coro)
        return leaf, reads

    def _resume(self, coro: Coroutine[Any, Any, Any], history: int, result: Any) -> Op:
        """Hand ``result`` to the task's code and run it to its next point."""
        recorder = self.recorder
        recorder.seen.clear()
        recorder.operating = False
        RUN.made = RUN.awaited = 0
        RUN.history = self._cons(history, "op", (recorder.encode(result),))
        return checked(coro.send(result), RUN.task)

    def _arrive(
        self, node: Node, leaf: Leaf, after: Op | None, coro: Coroutine[Any, Any, Any]
    ) -> Node:
        index = node.task.index
        history = fold()
        there = self._at[index].get(history)
        if there is None:
            nodes = self.nodes[index]
            if len(nodes) > MAX_CODES:
                raise LimitReached(
                    f"task {node.task.name} has more than {MAX_CODES} different histories (does it "
                    "loop without Loop().head(...), or count something that nothing bounds?)"
                )
            there = Node(node.task, len(nodes), history, after, node, leaf)
            nodes.append(there)
            self._at[index][history] = there
        elif not _same(there.op, after):
            raise Divergence(f"{node.task} reached two different points after the same history")
        if there.coro is None and after is not None:
            there.coro = coro
        else:
            close(coro)
        return there

    def _footprint(self, leaf: Leaf) -> None:
        recorder = self.recorder
        leaf.stores = tuple(recorder.wrote.items())
        leaf.inputs = tuple(
            (where, code) for where, code in recorder.read.items() if where not in recorder.atomic
        )
        leaf.spans = spans_of(recorder)
        for reads, writes, _ in leaf.spans:
            leaf.touched |= reads | writes
            leaf.wrote |= writes

    def _rebuild(self, node: Node) -> Coroutine[Any, Any, Any]:
        """A coroutine that stands at ``node``: begin one, and tell it its own past."""
        recorder = self.recorder
        past: list[tuple[Node, Leaf]] = []
        here = node
        while here.parent is not None and here.via is not None:
            past.append((here.parent, here.via))
            here = here.parent
        coro = self.world.starts[node.task.index]()
        op: Op | None = node.op
        RUN.sink = None
        for parent, leaf in reversed(past):
            recorder.begin()
            for where, code in leaf.inputs:
                recorder.set(where, code)
            try:
                op = self._resume(coro, parent.history, leaf.result)
            except StopIteration:
                raise Divergence(f"{node.task} ended where it went on before") from None
        if not _same(op, node.op):
            raise Divergence(f"{node.task} reached another point than before with the same past")
        return coro

    def close(self) -> None:
        """End every coroutine that was kept. Call when the search is over."""
        for nodes in self.nodes:
            for node in nodes:
                if node.coro is not None:
                    close(node.coro)
                    node.coro = None


def _same(one: Op | None, other: Op | None) -> bool:
    if one is None or other is None:
        return one is other
    return one[0] is other[0] and one[1] is other[1] and one[2] == other[2]
