"""The Trio host: one Trio task a CPU, under one nursery.

Each CPU's task sleeps until it is that CPU's turn, takes one step of the shared
``Execution``, and wakes whoever is chosen next. Exactly one is runnable at a time,
so nothing depends on the order in which Trio runs tasks, and the same strategy
gives the same run as the inner loop, event for event.
"""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import trio

from kmodel.explore.alarm import masked
from kmodel.explore.execution import Execution, Outcome, Strategy, begin, next_choice

CHECKPOINT_EVERY = 64
"""Steps between two real checkpoints, so that deadlines and Ctrl-C get their chance
also while one CPU steps on and on."""


T = TypeVar("T")


def on_trio(function: Callable[..., Awaitable[T]], *args: Any) -> T:
    """``trio.run``, with the alarm of steps that never end only where steps are."""
    with masked():
        return trio.run(function, *args)


class TrioHost:
    """Runs one execution on Trio tasks; use once."""

    def __init__(self, execution: Execution, strategy: Strategy, max_steps: int) -> None:
        self._execution, self._strategy, self._max_steps = execution, strategy, max_steps
        self._turns = [trio.Event() for _ in execution.world.tasks]
        self._over = trio.Event()
        self._error: BaseException | None = None

    async def run(self) -> Outcome:
        """Run to the end; raises what the model raised, not wrapped in a group."""
        with masked(signal.SIG_UNBLOCK):
            return await self._run()

    async def _run(self) -> Outcome:
        execution = self._execution
        try:
            begin(execution, self._strategy)
            async with trio.open_nursery() as nursery:
                for task in execution.world.tasks:
                    nursery.start_soon(self._cpu, task.index, name=f"cpu {task.name}")
                self._next(None)
                await self._over.wait()
                nursery.cancel_scope.cancel()
        finally:
            execution.close()
        if self._error is not None:
            raise self._error
        assert execution.outcome is not None
        return execution.outcome

    async def _cpu(self, index: int) -> None:
        """One CPU: wait for its turn, step while it stays its turn, pass the turn on."""
        while True:
            await self._turns[index].wait()
            self._turns[index] = trio.Event()
            steps = 0
            while self._step(index) == index:
                steps += 1
                if steps % CHECKPOINT_EVERY == 0:
                    await trio.lowlevel.checkpoint()

    def _step(self, index: int) -> int | None:
        """Step; return who is next. Errors are kept: the nursery must not wrap them."""
        try:
            self._execution.step(index)
            return self._next(index)
        except Exception as error:
            self._error = error
            self._over.set()
            return None

    def _next(self, current: int | None) -> int | None:
        chosen = next_choice(self._execution, self._strategy, current, self._max_steps)
        if chosen is None:
            self._over.set()
        elif chosen != current:
            self._turns[chosen].set()
        return chosen
