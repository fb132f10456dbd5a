"""Judges liveness on a state graph: who can be stuck for ever, and under which
fairness.

Two questions. ``hangs``: does every obliged task end? It does not where nobody can
step, where an obliged task can never step again, or where a fair run goes round
without it. ``repeats``: can a fair run say a given event of an unfinished obliged
task again and again (a fault restarted for ever)?
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property

import attrs

from kmodel.explore.absent import LEFT_OUT, absent, unwoken
from kmodel.explore.cycle import LEVELS, Component, Fair, Fairness, Order, components, is_cycle
from kmodel.explore.graph import NOWHERE, Graph
from kmodel.explore.lasso import Paths
from kmodel.explore.measure import Measure, longest
from kmodel.explore.tree import Predicate

SEVERITY = ("deadlock", "lost-wakeup", "livelock", "starvation", LEFT_OUT)


@attrs.frozen
class Hang:
    """A way not to end.

    ``stem`` leads from the start to it; ``loop`` then goes round (empty where nobody
    can step). ``tasks`` are the obliged ones concerned, ``waits`` what each is about to
    do where the loop begins. ``survives`` is the strongest fairness that allows it
    (``None``: it needs no run to go on), ``can_end`` those of the tasks that could
    still end from there. Its kind is ``left-out`` where somebody sleeps for who is not in the
    model (``absent``; ``without`` says who): no verdict. ``vain``: what is slept for is true,
    but no wakeup is missing: who sleeps ends on no schedule at all, so that it sleeps for the
    wrong thing.
    """

    kind: str
    tasks: tuple[int, ...]
    waits: tuple[str, ...]
    stem: bytes
    loop: bytes
    survives: Fairness | None
    can_end: tuple[int, ...]
    vain: bool = False
    without: str = ""

    @property
    def steps(self) -> int:
        """Until it begins anew."""
        return len(self.stem) + len(self.loop)


Concerned = tuple[Component, tuple[int, ...]]
"""Where a run can go round, and the tasks that do not end by it."""


class Liveness:
    """What can go on for ever in ``graph``. ``again`` is the event that ``repeats`` is
    about. In a partial graph what is found is real; what is not, says nothing."""

    def __init__(self, graph: Graph, again: str = "") -> None:
        self.graph, self.again = graph, again
        self.paths = Paths(graph)
        self._obliged = [task.index for task in graph.world.tasks if task.obliged]

    @cached_property
    def order(self) -> Order:
        """All components, each after those that it leads to."""
        return Order(self.graph)

    @cached_property
    def cycles(self) -> list[Component]:
        return [part for part in self.order if is_cycle(self.graph, part)]

    @cached_property
    def _weak(self) -> list[Component]:
        """The cycles that weak fairness allows: most fall here already, at no great cost.
        A part of a component can be no fairer to a task that it leaves aside."""
        return list(Fair(self.graph, Fairness("weak", False)).refine(self.cycles, _any))

    def hangs(self, fairness: Fairness, among: Callable[[int], bool] | None = None) -> list[Hang]:
        """Ways for an obliged task not to end: one of each kind, that which survives the
        strongest fairness and of those the easiest to read; the worst kind first. ``among``
        asks for those that never leave the states that it accepts."""
        found = {hang.kind: hang for hang in self.stuck(among)}
        for stronger in _at_least(fairness):
            kinds: dict[str, list[Concerned]] = {}
            parts = self._parts(self._from(stronger), among)
            for part in Fair(self.graph, stronger).refine(parts, _any):
                kind, tasks = self._judge(part)
                if kind not in found:
                    kinds.setdefault(kind, []).append((part, tasks))
            for kind, judged in kinds.items():
                found[kind] = self._easiest(kind, judged, stronger)
        return sorted(found.values(), key=lambda hang: SEVERITY.index(hang.kind))

    def stuck(self, among: Callable[[int], bool] | None = None) -> list[Hang]:
        """Those that a single state shows: nobody can step. One of each kind, the nearest;
        ``among`` asks for those in states that it accepts."""
        kinds = {
            kind: [state for state in states if among is None or among(state)]
            for kind, states in self._dead_ends.items()
        }
        return [
            self._deadlock(kind, self.paths.nearest(states))
            for kind, states in kinds.items()
            if states
        ]

    def repeats(self, fairness: Fairness) -> Hang | None:
        """A fair loop that says ``again``; chosen as in ``hangs``."""
        without: Hang | None = None
        for stronger in _at_least(fairness):
            from_ = self._from(stronger)
            parts = list(Fair(self.graph, stronger).refine(from_, self._again_in))
            whole = [part for part in parts if not self._absent(part)]
            if whole:
                judged = [(part, self._repeating(part)) for part in whole]
                return self._easiest("livelock", judged, stronger)
            if parts and without is None:
                judged = [(part, self._repeating(part)) for part in parts]
                without = self._easiest(LEFT_OUT, judged, stronger)
        return without

    def _easiest(self, kind: str, judged: list[Concerned], survives: Fairness) -> Hang:
        """The nearest loop for each set of tasks that it is about, so that no way has to be
        looked for to every one; of those that with the fewest preemptions on the way, and
        then the fewest steps until it begins anew."""
        concerned: dict[tuple[int, ...], list[Component]] = {}
        for part, tasks in judged:
            concerned.setdefault(tasks, []).append(part)
        nearest = [self._nearest(kind, *one, survives) for one in concerned.items()]
        return min(nearest, key=lambda hang: (self.paths.preemptions(hang.stem), hang.steps))

    def _nearest(
        self, kind: str, tasks: tuple[int, ...], parts: list[Component], survives: Fairness
    ) -> Hang:
        nearest = self.paths.nearest(state for part in parts for state in part)
        part = next(part for part in parts if nearest in part)
        return self._lasso(kind, part, tasks, survives)

    def longest(self, measures: list[Measure]) -> list[int | None]:
        """For each measure the largest sum over the steps of any run; ``None`` where a
        run can go on adding for ever."""
        return longest(self.graph, self.order, measures)

    def _from(self, fairness: Fairness) -> list[Component]:
        """Where to look for what ``fairness`` allows."""
        return self.cycles if fairness.level == "none" else self._weak

    # -- judging one component

    def _judge(self, part: Component) -> tuple[str, tuple[int, ...]]:
        """What a fair run in ``part`` is, and for whom."""
        tasks = [t for t in self._obliged if not self.graph.done(part[0], t)]
        never = tuple(t for t in tasks if t not in self._may_step(part, tasks))
        if self._absent(part):
            return LEFT_OUT, never or tuple(tasks)
        if never:
            lost = any(self._lost(part[0], t) for t in never)
            return ("lost-wakeup" if lost else "deadlock"), never
        if repeating := self._repeating(part):
            return "livelock", repeating
        inside = set(part)
        moving = tuple(
            t
            for t in tasks
            if any(self.graph.succ[s][t] in inside and not self._asleep(s, t) for s in part)
        )
        return ("livelock", moving) if moving else ("starvation", tuple(tasks))

    def _lasso(
        self, kind: str, part: Component, tasks: tuple[int, ...], survives: Fairness
    ) -> Hang:
        repeating = bool(self._repeating(part))
        start, loop = self.paths.loop(part, self._says_again if repeating else None)
        waits = tuple(self._wait(start, task) for task in tasks)
        stem = self.paths.to(start)
        vain = kind == "deadlock" and self._vain(start, tasks)
        return Hang(
            kind,
            tasks,
            waits,
            stem,
            loop,
            survives,
            self._can_end(start, tasks),
            vain,
            self._who(start),
        )

    def _deadlock(self, kind: str, state: int) -> Hang:
        tasks = tuple(t for t in self._obliged if not self.graph.done(state, t))
        waits = tuple(self._wait(state, task) for task in tasks)
        vain = kind == "deadlock" and self._vain(state, tasks)
        return Hang(kind, tasks, waits, self.paths.to(state), b"", None, (), vain, self._who(state))

    # -- small questions

    @cached_property
    def _dead_ends(self) -> dict[str, list[int]]:
        """States where nobody can step and an obliged task has not ended, by kind."""
        found: dict[str, list[int]] = {}
        graph = self.graph
        for state in graph.dead_ends():
            if self._absent([state]):
                found.setdefault(LEFT_OUT, []).append(state)
                continue
            left = [t for t in self._obliged if not graph.done(state, t)]
            lost = any(self._lost(state, t) for t in left)
            found.setdefault("lost-wakeup" if lost else "deadlock", []).append(state)
        return found

    def _parts(
        self, cycles: list[Component], among: Callable[[int], bool] | None
    ) -> list[Component]:
        """The cycles that remain of ``cycles`` among the states that are accepted."""
        if among is None:
            return cycles
        found: list[Component] = []
        for part in cycles:
            rest = {state for state in part if among(state)}
            found += [c for c in components(self.graph, rest) if is_cycle(self.graph, c)]
        return found

    def _again_in(self, part: Component) -> bool:
        return bool(self._repeating(part))

    def _repeating(self, part: Component) -> tuple[int, ...]:
        """The obliged tasks that say ``again`` on a step inside ``part``."""
        inside = set(part)
        return tuple(
            task
            for task in self._obliged
            if any(self.graph.succ[s][task] in inside and self._says_again(s, task) for s in part)
        )

    def _says_again(self, state: int, task: int) -> bool:
        leaf = self.graph.leaf[state][task]
        return leaf is not None and any(event == self.again for event, _ in leaf.said)

    def _may_step(self, part: Component, tasks: list[int]) -> set[int]:
        """Those of ``tasks`` that can step, in ``part`` or in what it leads to; where a search
        was stopped nobody knows, so they might."""
        succ = self.graph.succ
        found = {t for t in tasks if any(succ[s][t] != NOWHERE for s in part)}
        if len(found) < len(tasks):
            ahead = self._ahead[part[0]]
            found = {t for t in tasks if ahead >> t & 1}
        return found

    @cached_property
    def _ahead(self) -> list[int]:
        """For each state a bit for each task that can step there or later: asked once for all
        states, as a search from each cycle goes over the same ground again and again."""
        graph, succ = self.graph, self.graph.succ
        anybody = (1 << len(graph.world.tasks)) - 1
        ahead = [0] * len(graph)
        for part in self.order:
            able = 0
            for state in part:
                if graph.unexpanded(state):
                    able = anybody
                for task, to in enumerate(succ[state]):
                    if to != NOWHERE:
                        able |= 1 << task
                    if to >= 0:
                        able |= ahead[to]
            for state in part:
                ahead[state] = able
        return ahead

    def _can_end(self, state: int, tasks: tuple[int, ...]) -> tuple[int, ...]:
        graph = self.graph
        left = {task for task in tasks if not graph.done(state, task)}
        last = {leaf for task, leaf in graph.histories.leaves if task in left and leaf.ends}
        for ahead in self.paths.forward([state]):
            if not left:
                break
            if graph.unexpanded(ahead):
                return tasks
            if not last.isdisjoint(graph.leaf[ahead]):
                row, leaves = graph.succ[ahead], graph.leaf[ahead]
                left -= {task for task in left if row[task] >= 0 and leaves[task] in last}
        return tuple(task for task in tasks if task not in left)

    def _absent(self, part: Iterable[int]) -> bool:
        """Does a task sleep in all of these states for somebody who is not in the model? What
        hangs then may do so for want of that one."""
        return any(
            all(self._unwoken(state, task.index) for state in part)
            for task in self.graph.world.tasks
        )

    def _who(self, state: int) -> str:
        """Of a hang: who is not in the model, if that is what it may be about."""
        ops = [
            self.graph.node(state, task.index).op
            for task in self.graph.world.tasks
            if self._unwoken(state, task.index)
        ]
        return absent(ops[0]) if ops else ""

    def _unwoken(self, state: int, task: int) -> bool:
        graph, op = self.graph, self.graph.node(state, task).op
        if not absent(op):
            return False
        return bool(Predicate(lambda: unwoken(op)).value(graph.state(state), graph.world))

    def all_wait(self, state: int) -> bool:
        """Does every obliged task that has not ended wait for a sleeping lock?"""
        left = [task for task in self._obliged if not self.graph.done(state, task)]
        return bool(left) and all(self._asleep(state, task) for task in left)

    def _asleep(self, state: int, task: int) -> bool:
        return self.graph.node(state, task).grant is not None

    def _lost(self, state: int, task: int) -> bool:
        """Does only a wakeup miss to the task? What it sleeps for is true, and on some schedule it
        ends; if it did on none, no wakeup would help. In a partial graph it might."""
        return self._pointless(state, task) and not self._vain(state, (task,))

    def _vain(self, state: int, tasks: tuple[int, ...]) -> bool:
        if not self.graph.complete or not self._enders.isdisjoint(tasks):
            return False
        return any(self._pointless(state, task) for task in tasks)

    def _pointless(self, state: int, task: int) -> bool:
        """Is what the task sleeps for true already?"""
        until = self.graph.node(state, task).until
        return until is not None and bool(until.value(self.graph.state(state), self.graph.world))

    @cached_property
    def _enders(self) -> set[int]:
        """The tasks that end on some schedule."""
        return {task for task, leaf in self.graph.histories.leaves if leaf.ends}

    def _wait(self, state: int, task: int) -> str:
        op = self.graph.node(state, task).op
        if op is None:
            return ""
        note = f" (left out: {absent(op)})" if absent(op) else ""
        return f"{op[0].event} {getattr(op[1], 'name', '')}".rstrip() + note


def _any(_: Component) -> bool:
    return True


def _at_least(fairness: Fairness) -> list[Fairness]:
    """``fairness`` and the stronger ones, the strongest first."""
    levels = LEVELS[LEVELS.index(fairness.level) :]
    return [Fairness(level, fairness.grant) for level in reversed(levels)]
