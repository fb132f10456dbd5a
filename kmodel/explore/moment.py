"""What a run was like before each step: who could step, who held which lock.

A ``Watch`` stands between a run and its strategy. Holders are read off the locks (fields
called ``owner``, ``writer`` and ``readers``) and each CPU's ``held``, not guessed from
events: a CPU strikes a lock off its list a moment before it lets it go.
"""

from __future__ import annotations

from typing import Any

import attrs

from kmodel.explore.coroutine import goes, let_go
from kmodel.explore.execution import Execution, Strategy, begin
from kmodel.point import Op, Task
from kmodel.world import World


@attrs.frozen
class Moment:
    """By task: what it is about to do, and the locks that it holds, in the order taken.
    ``able`` are the tasks that can step, ``grantable`` those asleep on a lock that could
    be had just then, ``asleep`` those on a channel that nobody has woken."""

    pending: tuple[Op | None, ...]
    held: tuple[tuple[Any, ...], ...]
    able: frozenset[int]
    grantable: frozenset[int]
    asleep: frozenset[int]

    @classmethod
    def of(cls, execution: Execution) -> Moment:
        pending = tuple(execution.pending)
        return cls(
            pending,
            tuple(held_by(task, execution.world) for task in execution.world.tasks),
            frozenset(task for task, op in enumerate(pending) if _goes(op)),
            frozenset(task for task, op in enumerate(pending) if _granted(op)),
            frozenset(task for task, op in enumerate(pending) if _asleep(op)),
        )

    def holders(self, thing: Any, but: int) -> list[int]:
        """The tasks other than ``but`` that hold ``thing``."""
        return [
            task
            for task, held in enumerate(self.held)
            if task != but and any(lock is thing for lock in held)
        ]

    def wanted(self, task: int) -> list[tuple[Any, list[int]]]:
        """What ``task`` is about to do something to and others hold, with the holders. A
        sleeper wants its interlock once it has been woken, and not before."""
        op = self.pending[task]
        things = () if op is None or task in self.asleep else (op[1], *op[2])
        found = [(thing, self.holders(thing, task)) for thing in things]
        return [(thing, holders) for thing, holders in found if holders]


class Watch:
    """A strategy that asks another one, and notes the moment before each step."""

    def __init__(self, execution: Execution, strategy: Strategy) -> None:
        self._execution, self._strategy = execution, strategy
        self.moments: list[Moment] = []

    def begin(self, execution: Execution) -> None:
        begin(execution, self._strategy)

    def choose(self, enabled: list[int], current: int | None) -> int:
        self.moments.append(Moment.of(self._execution))
        return self._strategy.choose(enabled, current)

    @property
    def choices(self) -> bytes:
        return bytes(self._execution.choices)

    def end(self) -> Moment:
        """The last moment. Call once the run is over."""
        if len(self.moments) == len(self._execution.choices):
            self.moments.append(Moment.of(self._execution))
        return self.moments[-1]

    def since(self, at: int, task: int, lock: Any) -> int:
        """The step in which ``task`` took ``lock``, which it holds before step ``at``."""
        while at > 0 and any(one is lock for one in self.moments[at - 1].held[task]):
            at -= 1
        return at - 1

    def last_step(self, task: int) -> int:
        """The last step of ``task``; -1 if it never began."""
        return self._execution.choices.rfind(task)


def held_by(task: Task, world: World) -> tuple[Any, ...]:
    """The locks that ``task`` holds: first those that its CPU lists, in the order taken."""
    listed = task.cpu.held
    others = [thing for thing in world.objects if thing not in listed and _has(thing, task)]
    return (*listed, *others)


def _has(lock: Any, task: Task) -> bool:
    if getattr(lock, "owner", None) is task or getattr(lock, "writer", None) is task:
        return True
    return task in getattr(lock, "readers", ())


def _goes(op: Op | None) -> bool:
    return op is not None and goes(op)


def _granted(op: Op | None) -> bool:
    return op is not None and op[0].grant is not None and op[0].grant(op[1], *op[2])


def _asleep(op: Op | None) -> bool:
    return op is not None and op[0].woken is not None and not let_go(op)
