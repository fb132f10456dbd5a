"""Anchors: a schedule that can be followed in a model that was edited since.

Where one task stops and another goes on is what a schedule is about; the steps between
two switches are not. So a block (``kmodel.explore.schedule``) ends at a *label*, the
event and the object of an operation: ``lock.try kernel_map``. To follow it its task steps
until it stands before that label as often as it did, however many steps that takes now.

Two labels are no operation ahead: ``task.end``, and ``through OP`` for a block whose last
step is OP, in which the run panicked. The first step of a task, alone in its block, only
brings it to its first point, and has no label.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from kmodel.explore.coroutine import goes
from kmodel.explore.execution import Execution, Strategy, begin
from kmodel.explore.schedule import Block
from kmodel.point import START, Op

END: Final = "task.end"
THROUGH: Final = "through "
SPARE: Final = 10_000
"""Steps that a followed run may take beyond those that were recorded."""
TOLD: Final = 3
"""Places that are named of those that a task came to instead: the last ones."""


def label(op: Op | None) -> str:
    """The event and the object of an operation; of an ended task ``task.end``."""
    if op is None:
        return END
    name = getattr(op[1], "name", None)
    return f"{op[0].event} {name}" if isinstance(name, str) and name else op[0].event


class Labelled:
    """A strategy that asks another one, and notes the label of each step's operation."""

    def __init__(self, execution: Execution, strategy: Strategy) -> None:
        self._execution, self._strategy = execution, strategy
        self.labels: list[str] = []

    def begin(self, execution: Execution) -> None:
        begin(execution, self._strategy)

    def choose(self, enabled: list[int], current: int | None) -> int:
        chosen = self._strategy.choose(enabled, current)
        self.labels.append(label(self._execution.pending[chosen]))
        return chosen

    def blocks(self, first: int) -> tuple[tuple[Block, ...], tuple[Block, ...]]:
        """The blocks of the run, and from step ``first`` on those of its loop. Call once the
        run is over."""
        choices, places = self._execution.choices, self._places()
        switches = [n for n in range(1, len(choices)) if choices[n] != choices[n - 1] or n == first]
        bounds = list(zip([0, *switches], [*switches, len(choices)])) if choices else []
        stem = (self._block(start, stop, places) for start, stop in bounds if start < first)
        turn = (self._block(start, stop, places) for start, stop in bounds if start >= first)
        return tuple(stem), tuple(turn)

    def _places(self) -> list[str]:
        """By step: where its task stands after it."""
        choices = self._execution.choices
        ahead = {task: label(op) for task, op in enumerate(self._execution.pending)}
        if choices and panicked(self._execution):
            ahead[choices[-1]] = THROUGH + self.labels[-1]
        places = []
        for task, op in zip(reversed(choices), reversed(self.labels)):
            places.append(ahead[task])
            ahead[task] = op
        return places[::-1]

    def _block(self, start: int, stop: int, places: list[str]) -> Block:
        task, place = self._execution.choices[start], places[stop - 1]
        begins = stop - start == 1 and self.labels[start] == START.event
        if begins and place != END and stop < len(places):
            return Block(task)
        came = [THROUGH + op for op in self.labels[start:stop]]
        came = came if place in came else places[start:stop]
        return Block(task, stop - start, place, came.count(place))


def panicked(execution: Execution) -> bool:
    """Did a step of its end the run?"""
    return execution.outcome is not None and execution.outcome.property == "no panic"


def broken(execution: Execution) -> bool:
    """Has the run ended, and not because all who must end have?"""
    return execution.over() and execution.outcome is not None and execution.outcome.kind != "done"


class Vanished(Exception):
    """A place where a block ended is not come to any more; the message says which, and what
    its task does instead."""


class Follower:
    """Runs ``execution`` by the anchors of recorded blocks; ``tasks`` are the present numbers
    of the tasks in them. ``old`` counts the recorded steps that were followed."""

    def __init__(self, execution: Execution, tasks: Sequence[int]) -> None:
        self.execution, self._tasks = execution, tasks
        self._spare = SPARE
        self._number = self.old = 0

    def follow(self, blocks: Iterable[Block]) -> bool:
        """Go through ``blocks``. ``False`` if the run comes to an end of its own before: it
        breaks something, or nobody can step. Raises ``Vanished``."""
        for block in blocks:
            self._number += 1
            self._spare += block.steps
            if not self._through(block, self._tasks[block.task]):
                return False
            self.old += block.steps
        return True

    def go_on(self, task: int, most: int, enough: Callable[[], bool]) -> None:
        """Let ``task`` step until that is ``enough``, as far as it can, ``most`` steps at most."""
        for _ in range(most):
            over = enough() or self.execution.over()
            if over or task not in self.execution.enabled():
                return
            self.execution.step(task)

    def _through(self, block: Block, task: int) -> bool:
        execution, came = self.execution, 0
        passed: list[str] = []
        while came < (block.steps if block.label is None else block.time):
            if broken(execution):
                return False
            able = execution.enabled()
            if not able and execution.outcome is None:
                return False
            if stopped := self._stopped(task):
                raise self._vanished(block, came, passed, stopped)
            self._spare -= 1
            if task not in able:  # a daemon that is new goes to sleep before all else
                execution.step(able[0])
                continue
            op = execution.pending[task]
            execution.step(task)
            passed.append(label(execution.pending[task]))
            came += block.label in (None, passed[-1], THROUGH + label(op))
        return True

    def _stopped(self, task: int) -> str:
        """Why ``task`` can go no further, if it cannot."""
        execution = self.execution
        op = execution.pending[task]
        if op is None:
            return "it has ended"
        at = f"it stands at {label(op)!r}"
        if execution.outcome is not None:
            return f"{at}, and the run is over: all who must end have ended"
        if not goes(op):
            return f"{at} and cannot step"
        return f"{at} after {SPARE:,} steps more than it took then" if self._spare <= 0 else ""

    def _vanished(self, block: Block, came: int, passed: list[str], stopped: str) -> Vanished:
        name = self.execution.world.tasks[self._tasks[block.task]].name
        does = f"comes to {(block.label or '').removeprefix(THROUGH)!r}"
        if block.label in (None, END):
            does = "steps on" if block.label is None else "ends"
        often = f" for the {_ordinal(came + 1)} time" if came else ""
        steps = f"step {self.old}"
        if block.steps > 1:
            steps = f"steps {self.old} to {self.old + block.steps - 1}"
        way = [place for place in passed[:-1] if place != END][-TOLD:]
        by = f", by way of {', '.join(map(repr, way))}" if way else ""
        return Vanished(
            f"{name} never {does}{often} again, as it did in block {self._number} ({steps}) of the "
            f"recorded run: {stopped}{by}"
        )


def _ordinal(number: int) -> str:
    last = (
        "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    )
    return f"{number}{last}"
