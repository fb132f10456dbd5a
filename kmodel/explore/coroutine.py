"""What a task's coroutine may give back, and how to be rid of one."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Final

from kmodel.explore.alarm import OutOfTime
from kmodel.point import RUN, Kind, Op, Task
from kmodel.recorder import LimitReached, SharedStateError
from kmodel.world import ScenarioError

NOT_OF_THE_TASK: Final = (KeyboardInterrupt, OutOfTime, LimitReached)
"""What may come up in a step without being an error of the task's code."""


def checked(op: Any, task: Task | None) -> Op:
    """``op`` if it is an operation; otherwise say what the task awaited instead."""
    if RUN.made != RUN.awaited:
        raise unawaited(task)
    if op.__class__ is tuple and len(op) == 3 and op[0].__class__ is Kind:
        return op
    raise ScenarioError(
        f"task {task} awaited something that is no kmodel point ({type(op).__name__}): inside a "
        "task await only operations, for example pause(), a lock or a channel"
    )


def goes(op: Op) -> bool:
    """May the operation go now? ``ScenarioError`` if its guard raises."""
    kind, target, args = op
    if kind.guard is None:
        return True
    try:
        return bool(kind.guard(target, *args))
    except (ScenarioError, SharedStateError):
        raise
    except Exception as error:
        raise ScenarioError(
            f"the guard of {kind.event} on {getattr(target, 'name', target)} raised "
            f"{type(error).__name__}: {error}; it must say whether the operation may go"
        ) from error


def let_go(op: Op) -> bool:
    """Has whoever stands at ``op`` been let go: woken, or, where nobody is woken, may it go?"""
    kind, target, args = op
    return goes(op) if kind.woken is None else kind.woken(target, *args)


def unawaited(task: Task | None) -> ScenarioError:
    """What to say to a step that made an operation and did not await it."""
    return ScenarioError(
        f"task {task} calls an operation without awaiting it (a lock, a channel, pause()): nothing "
        "happens then; write 'await' in front of it"
    )


def close(coro: Coroutine[Any, Any, Any]) -> None:
    """End a coroutine that is of no more use, whatever its ``finally`` does about that."""
    task, seen, sink = RUN.task, RUN.seen, RUN.sink
    RUN.task, RUN.seen, RUN.sink = None, None, None
    try:
        coro.close()
    except Exception:
        pass
    finally:
        RUN.task, RUN.seen, RUN.sink = task, seen, sink
