"""Points: the one way to give up the CPU.

A *point* is an ``await`` on an operation. The task stops *before* the operation
takes effect; when the engine picks the task, the operation's guard holds, its
effect is applied, and the task runs on to its next point. That is a *step*,
and no other CPU gets in during it. Model code names no engine: an operation is
only yielded, and whoever drives the coroutine applies it.

``def`` = no other CPU can run in here; ``async def`` = one can.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Awaitable, Callable, Generator
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")


class Kind:
    """What all uses of one operation share. Immutable once declared.

    ``guard``  may the operation go now? A pure function of atomic state.
    ``effect`` applies it and returns what the task learns.
    ``grant``  for a wait on a *sleeping* lock: could the lock be had now? The
               fairness called lock-grant is about this; ``None`` for all else.
    ``until``  for a sleeper on a channel: the condition it says it waits for.
    ``woken``  for one that, once woken, may have to wait for something else still (its
               interlock): has it been woken? ``None``: it is where the guard holds.
    """

    __slots__ = ("effect", "event", "grant", "guard", "until", "woken")

    def __init__(
        self,
        event: str,
        effect: Callable[..., Any],
        guard: Callable[..., bool] | None,
        grant: Callable[..., bool] | None,
        until: Callable[..., bool | None] | None,
        woken: Callable[..., bool] | None = None,
    ) -> None:
        self.event, self.effect, self.guard = event, effect, guard
        self.grant, self.until, self.woken = grant, until, woken


Op = tuple[Kind, Any, tuple[Any, ...]]
"""An operation about to be done: its kind, the object, the arguments."""


class Task:
    """One kernel thread, alone on its CPU for the whole run.

    ``obliged`` tasks must end; ``background`` ones may run for ever and are cut
    when every obliged task is done. A ``daemon`` is a background task that has gone
    to sleep (cannot step) before any other task begins.
    """

    __slots__ = ("_oid", "cpu", "daemon", "index", "name", "obliged")

    def __init__(self, index: int, name: str, obliged: bool, daemon: bool, cpu: Any) -> None:
        self.index, self.name, self.obliged, self._oid = index, name, obliged, -1
        self.daemon, self.cpu = daemon, cpu

    def __repr__(self) -> str:
        return self.name


class Running:
    """Who runs now, and where what it does is noted down. One per process.

    ``turns`` counts steps and checks, so that a watchdog can tell one that never ends;
    ``checking`` says that a check runs. ``made`` and ``awaited`` count the operations of the
    present step, so that one that was made and never awaited does not go unnoticed.
    ``history`` and ``seen`` are the engine's: what the running task has observed,
    and what it has read since that was last folded in. Both stay unset unless a
    search is recording.
    """

    __slots__ = (
        *("awaited", "checking", "cons", "made", "history", "seen", "sink", "task", "turns"),
    )

    def __init__(self) -> None:
        self.task: Task | None = None
        self.turns = 0
        self.checking = False
        self.made = self.awaited = 0
        self.history: int = 0
        self.seen: list[int] | None = None
        self.cons: Callable[[int, str, tuple[int, ...]], int] = no_cons
        self.sink: Callable[[str, dict[str, Any]], None] | None = None


def no_cons(parent: int, tag: str, seen: tuple[int, ...]) -> int:
    raise AssertionError("history is kept only while a search records")


RUN = Running()


def curtask() -> Task:
    """The task that runs now (the kernel's ``curproc`` and ``curcpu()`` in one)."""
    if RUN.task is None:
        raise RuntimeError("no task is running: model code was called outside a run")
    return RUN.task


@types.coroutine
def _point(op: Op) -> Generator[Op, Any, Any]:
    RUN.awaited += 1
    return (yield op)


def operation(
    when: Callable[..., bool] | None = None,
    *,
    event: str,
    grant: Callable[..., bool] | None = None,
    until: Callable[..., bool | None] | None = None,
    woken: Callable[..., bool] | None = None,
) -> Callable[[Callable[Concatenate[S, P], R]], Callable[Concatenate[S, P], Awaitable[R]]]:
    """Declare a method to be an operation: awaiting it is a point.

    The decorated body is the effect and ``when`` the guard; both get the same
    arguments, touch only atomic fields, and no other CPU runs between them.
    ``event`` is the ``noun.verb`` under which the log shows the step.
    """

    def declare(
        effect: Callable[Concatenate[S, P], R],
    ) -> Callable[Concatenate[S, P], Awaitable[R]]:
        kind = Kind(event, effect, when, grant, until, woken)

        @wraps(effect)
        def call(self: S, /, *args: P.args, **kwargs: P.kwargs) -> Awaitable[R]:
            if kwargs:
                raise TypeError(
                    f"{effect.__name__} is an operation: give its arguments by position"
                )
            RUN.made += 1
            return _point((kind, self, args))

        call.kind = kind  # type: ignore[attr-defined]
        return call

    return declare


def _nothing(*_: object) -> None:
    return None


START = Kind("task.start", _nothing, None, None, None)
PAUSE = Kind("task.pause", _nothing, None, None, None)


def pause() -> Awaitable[None]:
    """A point that does nothing: here another CPU may get in."""
    RUN.made += 1
    return _point((PAUSE, None, ()))


class Loop:
    """A retry loop that forgets.

    ``head(*live)`` at the top of each turn says that of all the task has learned
    since the loop was made only ``live`` still matters. Without it the exact
    state key of a loop never repeats, and neither a complete search nor a lasso
    exists. A false ``live`` merges states that differ: ``explore --check-live``
    looks for that.
    """

    __slots__ = ("_entry",)

    def __init__(self) -> None:
        self._entry = _place("loop")

    def head(self, *live: int | bool | str | None) -> None:
        """Forget all but ``live``, values of locals that outlive this turn."""
        if RUN.seen is not None:
            RUN.history = RUN.cons(self._entry, "head", encode_live(live))
            RUN.seen.clear()


def fold() -> int:
    """Put what was read since the last fold into the history; return the history."""
    if RUN.seen is None:
        return 0
    if RUN.seen:
        RUN.history = RUN.cons(RUN.history, "read", tuple(RUN.seen))
        RUN.seen.clear()
    return RUN.history


def _no_live(live: tuple[Any, ...]) -> tuple[int, ...]:
    raise AssertionError("values are encoded only while a search records")


encode_live: Callable[[tuple[Any, ...]], tuple[int, ...]] = _no_live
"""How the world that is being searched encodes values; set with each step."""


def _place(tag: str) -> int:
    """Go on from a place of its own in the history: what is later forgotten back to it
    cannot be mistaken for what another loop or call forgets. Returns the place."""
    if RUN.seen is not None:
        RUN.history = RUN.cons(fold(), tag, ())
    return RUN.history


def procedure(function: Callable[P, R]) -> Callable[P, R]:
    """Mark a function, ``def`` or ``async def``, whose locals die when it returns.

    Its caller learns the result and nothing else, so the history forgets the
    rest. Sound as long as the function changes nothing its caller holds outside
    shared state, and returns numbers, strings, shared objects or tuples of them.
    """
    if inspect.iscoroutinefunction(function):
        scoped = _scoped
    else:
        scoped = _scoped_now

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        if RUN.seen is None:
            return function(*args, **kwargs)
        return scoped(function, args, kwargs)  # type: ignore[return-value]

    return call


async def _scoped(function: Any, args: Any, kwargs: Any) -> Any:
    entry = fold()
    _place("call")
    result = await function(*args, **kwargs)
    _return(entry, result)
    return result


def _scoped_now(function: Any, args: Any, kwargs: Any) -> Any:
    entry = fold()
    _place("call")
    result = function(*args, **kwargs)
    _return(entry, result)
    return result


def _return(entry: int, result: Any) -> None:
    assert RUN.seen is not None
    RUN.history = RUN.cons(entry, "return", encode_live((result,)))
    RUN.seen.clear()
