"""A search that is kept in a file while it goes on, and taken up again from there.

Model code runs rarely, and no coroutine is kept: to resume, all that ran runs again (see
``kmodel.explore.rerun``). Kept are new states and, in the order of expansion, where
each state leads and by which leaf; the frontier follows from those. The graph is
that of a search that nothing stopped, to the last number, as a chunk ends only between two
pieces of work.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable
from itertools import chain
from typing import Final

import attrs

from kmodel.explore.chunk import Chunk
from kmodel.explore.graph import NOWHERE, Limits, Order, Search
from kmodel.explore.journal import CheckpointError, Journal
from kmodel.explore.keys import PART
from kmodel.explore.rerun import Changed, Reruns, Told, fingerprint
from kmodel.explore.tree import Predicate, State
from kmodel.recorder import LimitReached
from kmodel.world import Check, World

EVERY: Final = 5.0
"""Seconds between two chunks that also survive a power cut."""
MOST: Final = 16_384
"""States, new or expanded, after which a chunk is written in any case."""


class Checkpointed(Search):
    """A search with a journal: ``begin`` one, or ``resume`` one. It is written now and then
    (``every`` so many seconds also against a power cut), and at the end, at a limit and when
    interrupted. Where that fails, ``tell`` hears of it, and the search goes on."""

    def __init__(
        self,
        world: World,
        limits: Limits,
        order: Order,
        tell: Callable[[str], None],
        every: float = EVERY,
    ) -> None:
        histories = Told(world)
        self._reruns = Reruns(histories, self._number)
        super().__init__(world, limits, order, histories)
        self.facts = self._facts()
        self._reruns.watch([*self._always, *self._end])
        self._journal: Journal | None = None
        self._tell, self._failed, self._cut = tell, False, False
        self._every, self._next = every, time.monotonic() + every
        self._expanded: list[int] = []
        self._initial = self.graph.keys.since(0, 0)[1][0]
        self._states, self._parts, self._violations = 1, 1, len(self.graph.violations)

    def _number(self, state: State[int]) -> int:
        keys = self.graph.keys
        return keys.number[keys.pack(state)]

    def _facts(self) -> dict[str, str]:
        """What must be as it was for a search to go on, each as a fingerprint."""
        world, recorder, graph = self.graph.world, self.histories.recorder, self.graph
        kinds = sorted(recorder.atomic), sorted(recorder.hidden)
        facts = {
            "tasks": [(task.name, task.obliged, task.daemon) for task in world.tasks],
            "checks": [(one.name, one.when, one.kind, one.judged) for one in world.checks],
            "shared state": (recorder.names, kinds, graph.keys[0], recorder.values),
            "checks of the first state": [predicate.tree for _, predicate in self._always],
        }
        return {name: fingerprint(fact).hex() for name, fact in facts.items()}

    def begin(self, journal: Journal) -> None:
        """Write to ``journal`` from here on."""
        self._journal = journal

    def advance(self, expansions: int) -> bool:
        try:
            more = not self.graph.stopped_by and super().advance(expansions)
        except BaseException:
            self.close()
            raise
        new = max(len(self._expanded), len(self.graph) - self._states)
        if not more or time.monotonic() >= self._next:
            self._save(safe=True)
            self._next = time.monotonic() + self._every
        elif new >= MOST and not self._failed:
            self._save(safe=False)
        if not more:
            self.close()
        return more

    def interrupt(self, why: str) -> None:
        super().interrupt(why)
        self._save(safe=True)
        self.close()

    def close(self) -> None:
        """Write no more, and let others have the file."""
        self.histories.close()
        self._reruns.stop()
        if self._journal:
            self._journal.close()
            self._journal = None

    def _expand(self, number: int) -> None:
        try:
            Search._expand(self, number)
        except LimitReached:
            self._cut = True  # half an expansion is not kept: it would be made again
            raise
        self._expanded.append(number)

    def _test(self, checks: list[tuple[Check, Predicate]], number: int, state: State[int]) -> None:
        self._reruns.state = number
        super()._test(checks, number, state)

    def _save(self, safe: bool) -> None:
        """Add what is new to the journal."""
        journal = self._journal
        if journal is None or self._cut or not (self._expanded or self._states < len(self.graph)):
            return
        places, tasks = sorted(self._reruns.places), len(self.graph.world.tasks)
        try:
            journal.append(self._chunk().pack(self._initial, places, tasks), safe)
        except OSError as error:
            if not self._failed:
                reason = (error.strerror or type(error).__name__).lower()
                self._tell(
                    f"{journal.path} cannot be written ({reason}). The search goes on; a resume "
                    f"would go on from {self._states:,} states, unless there is room later"
                )
            self._failed = True
        else:
            self._failed = False
            self._kept()

    def _chunk(self) -> Chunk:
        graph, number = self.graph, self._reruns.leaves.__getitem__
        succ = [graph.succ[state] for state in self._expanded]
        leaf = chain.from_iterable(graph.leaf[state] for state in self._expanded)
        packed, shared = graph.keys.since(self._states, self._parts)
        return Chunk(
            packed=packed,
            shared=shared,
            succ=array("i", list(chain.from_iterable(succ))),
            leaf=array("i", list(map(number, leaf))),
            finals=array("i", [place for place, row in enumerate(succ) if not row]),
            ran=self._reruns.ran,
            violations=graph.violations[self._violations :],
            transitions=graph.transitions,
            seconds=graph.seconds,
        )

    def _kept(self) -> None:
        self._expanded.clear()
        self._reruns.ran.clear()
        self._states, self._parts = len(self.graph), len(self.graph.keys.parts)
        self._violations = len(self.graph.violations)

    # -- going on

    def resume(self, journal: Journal) -> None:
        """Take up the search in ``journal``, and write on to it. The seconds of the limits
        are counted from here. Raises ``CheckpointError`` where the model has changed or the
        file is damaged."""
        facts = journal.header.get("facts")
        known = facts if isinstance(facts, dict) else {}
        if others := [name for name, fact in self.facts.items() if known.get(name) != fact]:
            raise _changed(journal, f"its {' and its '.join(others)}")
        for content in journal.chunks():
            try:
                self._take(Chunk.unpack(content, self._initial, len(self.graph.world.tasks)))
            except Changed as error:
                raise _changed(journal, str(error)) from error
            except (LookupError, TypeError, ValueError, OverflowError) as error:
                raise journal.damaged("this chunk does not add up") from error
            self._kept()
        before = self.graph.seconds
        self._began = time.monotonic() - before
        self.limits = attrs.evolve(self.limits, earlier=before)
        self._check_limits()
        self._journal = journal

    def _take(self, chunk: Chunk) -> None:
        graph, known = self.graph, len(self.graph)
        graph.keys.take(chunk.packed, chunk.shared)
        graph.succ += [(NOWHERE,)] * len(chunk.packed)
        graph.leaf += [()] * len(chunk.packed)
        if self._always:
            self._tested.update([packed & PART for packed in chunk.packed])
        for ran in chunk.ran:
            self._reruns.again(ran, graph.state(ran.state))
        if self._expand_again(chunk, known) != len(graph):
            raise ValueError("states that no row leads to")
        for violation in chunk.violations:
            graph.violations.append(violation)
            panicked = violation.task is not None
            self._broken.add(("panic" if panicked else violation.property, violation.message))
        graph.transitions, graph.seconds = chunk.transitions, chunk.seconds

    def _expand_again(self, chunk: Chunk, known: int) -> int:
        """Take the rows as they are; return how many states are known then. What a row leads
        to and was not known, it has found: it waits in the frontier from then on."""
        graph, frontier = self.graph, self._frontier
        pop = frontier.popleft if self._pop_left else frontier.pop
        width = len(graph.world.tasks)
        if len(chunk.succ) % width or max(chunk.succ, default=0) >= len(graph):
            raise ValueError("rows that are cut, or lead nowhere")
        leaves = list(self._reruns.leaves)
        leaves.append(leaves.pop(0))  # so that no leaf, -1, is the last
        found = map(leaves.__getitem__, chunk.leaf)
        rows = zip(zip(*[iter(chunk.succ)] * width), zip(*[iter(found)] * width))
        final, finals = ((), ()), set(chunk.finals)
        for place in range(len(chunk.succ) // width + len(finals)):
            row, does = final if place in finals else next(rows, final)
            number = pop()
            graph.succ[number], graph.leaf[number] = row, does
            if row and max(row) >= known:
                frontier.extend(range(known, max(row) + 1))
                known = max(row) + 1
        return known


def _changed(journal: Journal, what: str) -> CheckpointError:
    return CheckpointError(
        f"{journal.path} does not fit the model any more. What is not as it was: {what}. The model "
        "or the scenario has changed since: begin again, with another --checkpoint file"
    )
