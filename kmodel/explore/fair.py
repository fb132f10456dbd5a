"""The fair scheduler of Musuvathi and Qadeer ("Fair stateless model checking", PLDI 2008).

A task that *yields* says that it cannot get on by itself. From then on it waits for
every task that, since its last yield, could always go (or was stopped by it) and did
not get to. So a loop that yields in each turn gives way after at most two turns,
and a program that ends under every fair scheduler ends under this one. A task that
spins without yielding is not covered: its runs reach the bound of steps.
"""

from __future__ import annotations

from collections.abc import Iterable

from kmodel.explore.execution import Execution, Strategy, begin
from kmodel.point import PAUSE, Op


class Turns:
    """Who must wait for whom. Sets of tasks are bits of a number.

    ``_waits`` of a task: for whom it waits; never a cycle, so somebody may always go.
    Since its last yield: ``_able`` could go at every step, ``_stopped`` could not go
    after a step of its own, ``_ran`` stepped.
    """

    def __init__(self, tasks: int) -> None:
        everyone = (1 << tasks) - 1
        self._waits, self._able = [0] * tasks, [0] * tasks
        self._stopped, self._ran = [everyone] * tasks, [everyone] * tasks

    def allowed(self, enabled: list[int]) -> list[int]:
        """Those of ``enabled`` that wait for none of them."""
        able = bits(enabled)
        return [task for task in enabled if not self._waits[task] & able]

    def stepped(self, task: int, before: int, after: int, yielded: bool) -> None:
        """``task`` stepped; ``before`` and ``after`` it, these could go."""
        for other in range(len(self._waits)):
            self._waits[other] &= ~(1 << task)
            self._able[other] &= after
            self._ran[other] |= 1 << task
        self._stopped[task] |= before & ~after
        if yielded:
            self._waits[task] |= (self._able[task] | self._stopped[task]) & ~self._ran[task]
            self._able[task], self._stopped[task], self._ran[task] = after, 0, 0


class Fair:
    """Lets ``inner`` choose among those that the fair scheduler allows."""

    def __init__(self, inner: Strategy) -> None:
        self.inner = inner

    def begin(self, execution: Execution) -> None:
        begin(execution, self.inner)
        self._execution, self._turns = execution, Turns(len(execution.pending))
        self._before = 0
        self._op: Op | None = None

    def choose(self, enabled: list[int], current: int | None) -> int:
        able = bits(enabled)
        if current is not None:
            self._turns.stepped(current, self._before, able, self._yielded(current, enabled))
        chosen = self.inner.choose(self._turns.allowed(enabled), current)
        self._before, self._op = able, self._execution.pending[chosen]
        return chosen

    def _yielded(self, task: int, enabled: list[int]) -> bool:
        """Was the last step a yield: a pause, a try or poll that failed, a sleep, or the
        queueing for what another holds (now the task waits for that same object)?"""
        done, next_op = self._op, self._execution.pending[task]
        assert done is not None
        if done[0] is PAUSE or self._execution.answer is False:
            return True
        asleep = next_op is not None and task not in enabled
        return asleep and next_op is not None and next_op[1] is done[1]


def bits(tasks: Iterable[int]) -> int:
    total = 0
    for task in tasks:
        total |= 1 << task
    return total
