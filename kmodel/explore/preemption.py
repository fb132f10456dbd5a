"""Schedules by what their switches cost: preemptions first, then steps.

A *preemption* leaves a task that could still step. Schedules with few of them find
most bugs (Musuvathi and Qadeer 2007) and are the ones that people can read. A *delay*
is counted against a round robin that keeps a task running for as long as it can:
whoever comes j-th in its order costs j (Emmi, Qadeer and Rakamaric 2011).

What is forced costs nothing: leaving a task that cannot step, and the first steps that
a search takes in a row because their order cannot matter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from kmodel.explore.graph import NOWHERE, Graph

Price = Callable[[Sequence[int], int], Iterable[tuple[int, int]]]
"""From a row of successors and who stepped last: each task that can step, and its cost."""

NOT_A_TASK = -1


def preemptions(row: Sequence[int], last: int) -> list[tuple[int, int]]:
    """Leaving ``last`` costs 1 while it can step."""
    if last < len(row) and row[last] != NOWHERE:
        return [(task, int(task != last)) for task, to in enumerate(row) if to != NOWHERE]
    return [(task, 0) for task, to in enumerate(row) if to != NOWHERE]


def delays(row: Sequence[int], last: int) -> list[tuple[int, int]]:
    """The place in round robin order: ``last`` itself, then those after it, in a circle."""
    tasks = len(row)
    ahead = [(last + offset) % tasks for offset in range(tasks)] if last < tasks else range(tasks)
    able = [task for task in ahead if row[task] != NOWHERE]
    return [(task, place) for place, task in enumerate(able)]


def forced(graph: Graph, state: int, task: int) -> bool:
    """Is this a step that the search takes alone, before any real choice: a daemon on its
    way to sleep, or a first step that touches nothing shared?"""
    if graph.world.tasks[task].daemon:
        return True
    leaf = graph.leaf[state][task]
    begins = graph.state(state)[graph.histories.locations + task] == 1
    onward = leaf is not None and leaf.next is not None and leaf.next.op is not None
    return begins and leaf is not None and onward and not leaf.stores and not leaf.inputs


class Cheapest:
    """Dijkstra's algorithm over places (a state, and who stepped last), lazily.

    ``level`` settles all places of the least cost that is open, those with the fewest
    steps first. A place is a number: ``state * width + last``, where a ``last`` of
    ``width - 1`` is nobody. ``came`` says by which step (``place * width + task``).
    """

    def __init__(
        self,
        graph: Graph,
        price: Price,
        row: Callable[[int], Sequence[int]],
        follow: Callable[[int, int], int],
    ) -> None:
        self.graph, self.price = graph, price
        self._row, self._follow = row, follow
        self.width = len(graph.world.tasks) + 1
        self.came: dict[int, int] = {}
        self.cost = self.steps = 0
        self._open: dict[int, dict[int, list[int]]] = {0: {0: [NOT_A_TASK]}}

    def next_cost(self) -> int | None:
        """The least cost that is open."""
        return min(self._open, default=None)

    def level(self) -> Iterator[int]:
        """Settle every place of the least open cost; yields them."""
        self.cost = min(self._open)
        by_steps = self._open[self.cost]
        self.steps = min(by_steps)
        came, width = self.came, self.width
        nobody = width - 1
        while by_steps:
            for step in by_steps.pop(self.steps, ()):
                place, task = divmod(step, width)
                if step == NOT_A_TASK:
                    place = nobody
                else:
                    state = place // width
                    to = self._follow(state, task)
                    if to < 0:
                        continue
                    if place % width == nobody and forced(self.graph, state, task):
                        task = nobody
                    place = to * width + task
                if place not in came:
                    came[place] = step
                    self._push(place, by_steps)
                    yield place
            self.steps += 1
        del self._open[self.cost]

    def _push(self, place: int, by_steps: dict[int, list[int]]) -> None:
        """Open the steps that can come next."""
        state, last = divmod(place, self.width)
        steps, base = self.steps + 1, place * self.width
        for task, price in self.price(self._row(state), last):
            if price:
                by = self._open.setdefault(self.cost + price, {})
            else:
                by = by_steps
            if steps in by:
                by[steps].append(base + task)
            else:
                by[steps] = [base + task]

    def choices(self, place: int) -> bytes:
        """The schedule by which ``place`` was settled."""
        steps = bytearray()
        while (step := self.came[place]) != NOT_A_TASK:
            place, task = divmod(step, self.width)
            steps.append(task)
        return bytes(reversed(steps))


class Fewest:
    """Ways through a finished graph with the fewest preemptions, and of those the fewest
    steps. Works no further than what is asked for is away. ``row`` says where steps lead,
    if not all of the graph is to be used."""

    def __init__(self, graph: Graph, row: Callable[[int], Sequence[int]] | None = None) -> None:
        self.graph = graph
        rows = graph.succ
        self._row = row or rows.__getitem__
        self._ways = Cheapest(graph, preemptions, self._row, lambda state, task: rows[state][task])
        self._first: dict[int, tuple[int, int]] = {}
        self._flow = _settle(self._ways, self._first)

    def nearest(self, states: Iterable[int]) -> int:
        """The one of ``states`` with the cheapest schedule. Some schedule must come to one."""
        among = set(states)
        if len(among) == 1:
            return among.pop()
        known = [state for state in among if state in self._first]
        if known:
            return min(known, key=lambda state: self._first[state][0])
        return next(state for state in self._flow if state in among)

    def rank(self, state: int) -> int:
        """How many states are cheaper to come to."""
        return self._reach(state)[0]

    def to(self, state: int, then: bytes = b"") -> bytes:
        """A cheapest schedule to ``state``; what comes next, if given, counts too."""
        place = self._reach(state)[1]
        return self._ways.choices(self._best_before(state, then[0]) if then else place)

    def _reach(self, state: int) -> tuple[int, int]:
        while state not in self._first:
            next(self._flow)
        return self._first[state]

    def _best_before(self, state: int, task: int) -> int:
        """The place in ``state`` from which a step of ``task`` comes out cheapest."""
        width, row = self._ways.width, self._row(state)
        best: tuple[int, int, int] | None = None
        while True:
            for last in range(width):
                place = state * width + last
                if place in self._ways.came:
                    choices = self._ways.choices(place)
                    cost = self.count(choices) + dict(preemptions(row, last))[task]
                    best = min(best or (cost, len(choices), place), (cost, len(choices), place))
            if best and (self._ways.cost, self._ways.steps) >= best[:2]:
                return best[2]
            if next((one for one in self._flow if one == state), None) is None:
                assert best is not None
                return best[2]

    def count(self, choices: bytes) -> int:
        """The preemptions of a schedule."""
        nobody = last = len(self.graph.world.tasks)
        state = found = 0
        for task in choices:
            found += dict(preemptions(self.graph.succ[state], last))[task]
            if last != nobody or not forced(self.graph, state, task):
                last = task
            state = self.graph.succ[state][task]
        return found


def _settle(ways: Cheapest, first: dict[int, tuple[int, int]]) -> Iterator[int]:
    """The states of all places in order; notes how each is ``first`` settled. (No method: who
    asks keeps it, and a graph that is in no circle is free as soon as nobody needs it.)"""
    width = ways.width
    while ways.next_cost() is not None:
        for place in ways.level():
            state = place // width
            if state not in first:
                first[state] = len(first), place
            yield state
