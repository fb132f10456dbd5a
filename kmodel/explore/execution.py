"""One run: hold every task, let one through at a time, until there is an outcome.

Both hosts drive this: the inner loop (``run``) directly, the Trio host from one
Trio task a CPU. Objects are plain here, nothing is recorded; an observer, if
there is one, is told every operation and everything that the model says.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Protocol

import attrs

from kmodel.explore.absent import LEFT_OUT, unwoken
from kmodel.explore.blame import blame
from kmodel.explore.coroutine import NOT_OF_THE_TASK, checked, close, goes, let_go, unawaited
from kmodel.point import RUN, START, Op, Task
from kmodel.recorder import SharedStateError
from kmodel.world import Check, ScenarioError, World, leave, tested


class Strategy(Protocol):
    """Who steps next? One that must also see the tasks' operations has a method
    ``begin(execution)``, which both hosts call before the first step (``begin``)."""

    def choose(self, enabled: list[int], current: int | None) -> int:
        """One of ``enabled`` (never empty, ascending); ``current`` stepped last."""
        ...


class Observer(Protocol):
    """Told what happens, as it happens. Returns the number of the event.

    ``cause`` is the number of the event that let the task go (the wakeup, the release of
    the lock), if anything was in its way."""

    def __call__(
        self, step: int, task: int, cause: int | None, event: str, fields: dict[str, Any]
    ) -> int: ...


@attrs.frozen
class Outcome:
    """How a run ended.

    ``kind``: ``done`` (every obliged task ended), ``deadlock`` (nobody can step),
    ``limit`` (``steps`` reached its bound), or the kind of the panic or check that
    failed. ``message`` and ``culprits`` say more; ``property`` names the check.
    """

    kind: str
    steps: int
    message: str = ""
    property: str = ""
    culprits: tuple[str, ...] = ()


class Execution:
    """A world being run. ``choices`` is the schedule so far, ``answer`` what the last
    operation told its task.

    ``at_bound`` is the outcome (kind, message) where the bound of steps ends the run:
    whoever replays a recorded run to its last step knows what that shows.
    """

    def __init__(
        self, world: World, observer: Observer | None = None, checks: bool = False
    ) -> None:
        world.seal()
        self.world, self.observer = world, observer
        self.choices = bytearray()
        self.answer: Any = None
        self.outcome: Outcome | None = None
        self.at_bound = ("limit", "the run was given up at its bound of steps")
        self._coros: list[Coroutine[Any, Any, Any]] = [start() for start in world.starts]
        self.pending: list[Op | None] = [(START, None, ()) for _ in world.tasks]
        self._always = [c for c in world.checks if checks and c.when == "always"]
        self._end = [c for c in world.checks if checks and c.when == "end"]
        self.findings: dict[str, str] = {}
        self.found_at: dict[str, int] = {}
        self._causes: list[int | None] = [None] * len(world.tasks)
        self._waits: dict[int, Op] = {}
        self._settling = [task.index for task in world.tasks if task.daemon]
        self._left = sum(task.obliged for task in world.tasks)
        self._last = -1
        try:
            self._test(self._always)
        except BaseException:
            self.close()
            raise

    def enabled(self) -> list[int]:
        """The tasks whose pending operation may go now."""
        if self._settling:
            for index in self._settling:
                if self._able(index):
                    return [index]
            self._settling = []
        able = []
        for index, op in enumerate(self.pending):
            if op is not None and (op[0].guard is None or goes(op)):
                able.append(index)
        return able

    @property
    def settling(self) -> bool:
        """Was a daemon still on its way to sleep when ``enabled`` was last asked?"""
        return bool(self._settling)

    def _able(self, index: int) -> bool:
        op = self.pending[index]
        return op is not None and goes(op)

    def step(self, index: int) -> None:
        """Let one enabled task through its operation and on to its next point."""
        op = self.pending[index]
        assert op is not None
        kind, target, args = op
        task = RUN.task = self.world.tasks[index]
        self.choices.append(index)
        RUN.turns += 1
        if self.observer:
            self._observe(index)
        try:
            result = self.answer = kind.effect(target, *args)
            RUN.made = RUN.awaited = 0
            if self.observer:
                self._say(index, kind.event, self._fields(op, result))
            self.pending[index] = checked(self._coros[index].send(result), task)
        except StopIteration as end:
            self.pending[index] = None
            if RUN.made != RUN.awaited:
                self._end_with("scenario-error", str(unawaited(task)), "no panic")
            self._left -= task.obliged
            if self.observer:
                self._say(index, "task.end", {"result": end.value})
        except NOT_OF_THE_TASK:
            raise
        except BaseException as error:
            panic = blame(error, task)
            self._end_with(panic.kind, panic.message, "no panic", panic.culprits)
        finally:
            RUN.task, RUN.sink = None, None
        if self._waits:
            # by something that nobody said: what was said last came before it
            self._find_let_go(self._last)
        if self._always:
            self._test(self._always)

    def over(self) -> bool:
        """Decide whether the run has ended; ``outcome`` says how."""
        if self.outcome is None and not self._left:
            self._test(self._end)
            if self.outcome is None:
                self._end_with("done", "")
        return self.outcome is not None

    def stick(self) -> None:
        """Nobody can step: a deadlock, unless the world may rest so."""
        rests = self.world.rests
        if rests is not None and rests():
            self.stop("done", "")
        else:
            self.stop(*self.stuck())

    def stuck(self) -> tuple[str, str]:
        """What it is that nobody can step, and what to say."""
        without = next(filter(None, map(unwoken, self.pending)), "")
        if without:
            return LEFT_OUT, f"{deadlock_message(self)} (left out of the model: {without})"
        return "deadlock", deadlock_message(self)

    def stop(self, kind: str, message: str) -> None:
        """End the run from outside: nobody can step, or a bound was reached."""
        self._end_with(kind, message)

    def close(self) -> None:
        """Drop the tasks. Call once the run is over."""
        leave()
        for coro in self._coros:
            close(coro)

    def waiting(self) -> dict[str, str]:
        """For each unfinished task: what it is about to do, and on what."""
        found = {}
        for task, op in zip(self.world.tasks, self.pending):
            if op is not None:
                name = getattr(op[1], "name", "")
                found[task.name] = f"{op[0].event} {name}".rstrip()
        return found

    def _end_with(
        self, kind: str, message: str, prop: str = "", culprits: tuple[str, ...] = ()
    ) -> None:
        if self.outcome is None:
            self.outcome = Outcome(kind, len(self.choices), message, prop, culprits)

    def _test(self, checks: list[Check]) -> None:
        for check in checks:
            wrong = tested(check, check.test)
            if wrong is None or check.name in self.findings:
                continue
            self.findings[check.name] = wrong
            self.found_at[check.name] = len(self.choices)
            if self.observer:
                last = self.choices[-1] if self.choices else 0
                self._say(last, "inv.violation", {"property": check.name, "text": wrong})
            if check.judged:
                self._end_with(check.kind, wrong, check.name)

    def _observe(self, index: int) -> None:
        """Before an observed step: note who waits, and listen to the model."""
        self._waits = {
            other: op
            for other, op in enumerate(self.pending)
            if op is not None and other != index and not let_go(op)
        }
        RUN.sink = lambda event, fields: self._say(index, event, fields)

    def _say(self, index: int, event: str, fields: dict[str, Any]) -> None:
        assert self.observer is not None
        cause, self._causes[index] = self._causes[index], None
        self._last = self.observer(max(len(self.choices) - 1, 0), index, cause, event, fields)
        if self._waits:
            self._find_let_go(self._last)

    def _find_let_go(self, seq: int) -> None:
        """Whoever waited before this step and waits no longer was let go by event ``seq``."""
        try:
            found = [other for other, op in self._waits.items() if let_go(op)]
        except (ScenarioError, SharedStateError):
            # a guard that raises: no fault of this step. The next to ask it is told
            return
        for other in found:
            self._causes[other] = seq
            del self._waits[other]

    def _fields(self, op: Op, result: Any) -> dict[str, Any]:
        kind, target, args = op
        # an operation's own arguments, by name: how a lock is wanted, which mutex a sleeper
        # lets go. Who it is for is told already
        names = kind.effect.__code__.co_varnames[1:]
        fields: dict[str, Any] = {
            name: value for name, value in zip(names, args) if not isinstance(value, Task)
        }
        name = getattr(target, "name", None)
        if name:
            fields["obj"] = name
        if result is not None and not isinstance(result, tuple):
            fields["result"] = result
        return fields


def run(execution: Execution, strategy: Strategy, max_steps: int) -> Outcome:
    """The inner loop: step until the run is over. Never more than ``max_steps``."""
    chosen: int | None = None
    try:
        begin(execution, strategy)
        while (chosen := next_choice(execution, strategy, chosen, max_steps)) is not None:
            execution.step(chosen)
    finally:
        execution.close()
    assert execution.outcome is not None
    return execution.outcome


def begin(execution: Execution, strategy: Strategy) -> None:
    """Before the first step: show the run to a strategy that asks for more than who may go."""
    watch = getattr(strategy, "begin", None)
    if watch:
        watch(execution)


def next_choice(
    execution: Execution, strategy: Strategy, current: int | None, max_steps: int
) -> int | None:
    """Who steps next; ``None`` when the run is over, and then ``outcome`` is set."""
    if execution.over():
        return None
    if len(execution.choices) >= max_steps:
        execution.stop(*execution.at_bound)
        return None
    able = execution.enabled()
    if not able:
        execution.stick()
        return None
    return strategy.choose(able, current)


def deadlock_message(execution: Execution) -> str:
    obliged = {task.name for task in execution.world.tasks if task.obliged}
    waiting = execution.waiting().items()
    stuck = ", ".join(f"{task} at {what}" for task, what in waiting if task in obliged)
    return f"nobody can step: {stuck}"
