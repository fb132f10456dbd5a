"""What a task's coroutine may give back, and how to be rid of one."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from kmodel.point import RUN, Kind, Op, Task
from kmodel.world import ScenarioError


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
