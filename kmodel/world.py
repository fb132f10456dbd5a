"""A world: the shared objects, tasks and checks of one scenario, not yet run.

Build one with ``with World() as world:`` and make shared objects inside; then
name its tasks. The engine asks for nothing else, so that anything written
against ``kmodel.point`` and ``kmodel.shared`` can be explored, kernel or not.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Coroutine
from typing import Any, Final

import attrs

from kmodel import point, shared
from kmodel.panic import asserted
from kmodel.point import RUN, Task, curtask
from kmodel.recorder import Recorder, SharedStateError

MOST_TASKS: Final = 256

Start = Callable[[], Coroutine[Any, Any, Any]]


class ScenarioError(Exception):
    """The scenario itself is wrong; the message says where and what to do."""


@shared.shared
class Cpu:
    """What belongs to one CPU, and is touched by its own task only.

    ``held`` are the locks it holds, in the order taken (the kernel knows mutexes
    by count and IPL; here they are named, for messages and for lock order). ``busy`` are
    the pages that its thread has marked as its own.
    """

    name: Final[str]
    held: tuple[Any, ...]
    busy: tuple[int, ...]

    def __init__(self, name: str) -> None:
        self.name, self.held, self.busy = f"cpu {name}", (), ()


def curcpu() -> Cpu:
    """The CPU of the running task."""
    cpu: Cpu = curtask().cpu
    return cpu


@attrs.frozen
class Check:
    """A property of single states: ``test`` returns what is wrong, or ``None``; or it asserts.

    ``when`` is ``always`` (every state), ``end`` (every obliged task is done) or ``hang``
    (asked by a judge of the states in which an obliged task can stay for ever).
    ``judged`` checks decide the verdict; the rest are reported as findings.
    """

    name: str
    test: Callable[[], str | None]
    when: str = "always"
    kind: str = "invariant"
    judged: bool = True


def tested(check: Check, test: Callable[[], str | None]) -> str | None:
    """Ask ``check`` about the present state, through ``test``.

    A failed ``assert`` says what is wrong too. Raises ``ScenarioError`` if it raises anything
    else: a check may only look. The watchdog is told.
    """
    before, RUN.checking = RUN.checking, True
    RUN.turns += 1
    try:
        wrong = test()
    except (ScenarioError, SharedStateError):
        raise
    except AssertionError as error:
        wrong = asserted(error)
    except (Exception, SystemExit) as error:
        raise ScenarioError(
            f"check {check.name!r} raised {type(error).__name__}: {error}; it must return what is "
            "wrong, or None"
        ) from error
    finally:
        RUN.checking = before
    if wrong is not None and not isinstance(wrong, str):
        raise ScenarioError(
            f"check {check.name!r} returned {wrong!r}: it must return what is wrong, as text, or "
            "None (write: None if all is well else 'what is wrong')"
        )
    return wrong


class World:
    """What a scenario builds. Nothing in it changes once a run has begun.

    ``rests``: a state in which nobody can step is no deadlock if this says so.
    """

    def __init__(self) -> None:
        self.objects: list[Any] = []
        self.tasks: list[Task] = []
        self.starts: list[Start] = []
        self.checks: list[Check] = []
        self.sometimes: list[str] = []
        self.rests: Callable[[], bool] | None = None
        self.recorder: Recorder | None = None

    def __enter__(self) -> World:
        shared.REGISTER.append(self.objects)
        return self

    def __exit__(self, *_: object) -> None:
        shared.REGISTER.pop()

    def task(
        self, name: str, start: Any, *args: Any, obliged: bool = True, daemon: bool = False
    ) -> Task:
        """Put a thread on a CPU of its own: ``start`` is an async function with
        its arguments, or a coroutine not yet begun. A ``daemon`` sleeps before the
        others begin."""
        if any(task.name == name for task in self.tasks):
            raise ScenarioError(f"two tasks are called {name!r}: give each CPU a name of its own")
        if len(self.tasks) == MOST_TASKS:
            raise ScenarioError(
                f"more than {MOST_TASKS} tasks: a schedule has a byte for each step"
            )
        with self:
            task = Task(len(self.tasks), name, obliged, daemon, Cpu(name))
        self.tasks.append(task)
        self.starts.append(_starter(name, start, args))
        return task

    def check(
        self,
        name: str,
        test: Callable[[], str | None],
        *,
        when: str = "always",
        kind: str = "invariant",
        judged: bool = True,
    ) -> None:
        """``test`` must return ``None``, and no ``assert`` in it fail, in each state (or,
        ``when="end"``, at the end)."""
        self.checks.append(Check(name, test, when, kind, judged))

    def seal(self) -> None:
        """Number everything; called by the engine before a run."""
        for oid, thing in enumerate([*self.tasks, *self.objects]):
            thing._oid = oid
        if not any(task.obliged for task in self.tasks):
            raise ScenarioError(
                "no obliged task: the scenario would be over before it began; put at "
                "least one task on a CPU with m.cpu(...), or on a World with w.task(...)"
            )

    def record(self) -> Recorder:
        """Seal, and start to record every shared object."""
        if self.recorder is not None:
            raise ScenarioError("this world has been searched already: build a fresh one")
        self.seal()
        self.recorder = recorder = Recorder()
        counts: dict[str, int] = {}
        for thing in self.objects:
            shared.attach(thing, recorder, label(thing, counts))
        return recorder


def label(thing: Any, counts: dict[str, int]) -> str:
    """A name for messages: the object's own, or its class and a number."""
    name = getattr(thing, "name", None)
    if isinstance(name, str):
        return name
    kind = type(thing).__name__
    counts[kind] = counts.get(kind, -1) + 1
    return f"{kind.lower()}{counts[kind]}"


def _starter(name: str, start: Any, args: tuple[Any, ...]) -> Start:
    if inspect.iscoroutine(start):
        if args:
            raise ScenarioError(f"task {name}: arguments given beside a coroutine")
        return _again(name, start)
    if inspect.iscoroutinefunction(start) or callable(start):
        return lambda: _begin(name, start, args)
    raise ScenarioError(
        f"task {name}: expected a coroutine or an async function, got {type(start).__name__}"
    )


def _begin(name: str, start: Any, args: tuple[Any, ...]) -> Coroutine[Any, Any, Any]:
    begun = start(*args)
    if not inspect.iscoroutine(begun):
        raise ScenarioError(
            f"task {name}: {getattr(start, '__name__', start)!s} is not an async function "
            f"(calling it gave {type(begun).__name__}); write it with 'async def'"
        )
    return begun


def _again(name: str, coro: Coroutine[Any, Any, Any]) -> Start:
    """A way to begin ``coro`` afresh as often as wanted.

    A search begins each task many times. A coroutine that has not begun is just
    its function and arguments, and both can be read off it.
    """
    if inspect.getcoroutinestate(coro) != inspect.CORO_CREATED:
        raise ScenarioError(
            f"task {name}: its coroutine has already begun, or is another task's too: call the "
            "async function once for each task"
        )
    code, frame = coro.cr_code, coro.cr_frame  # type: ignore[attr-defined]
    values = dict(frame.f_locals)
    missing = [free for free in code.co_freevars if free not in values]
    if missing:
        coro.close()
        raise ScenarioError(
            f"task {name}: it uses {missing[0]!r} of the function around it, which has no value "
            "yet; assign it before the task is put on its CPU"
        )
    closure = tuple(types.CellType(values[free]) for free in code.co_freevars)
    function = types.FunctionType(code, frame.f_globals, code.co_name, None, closure)
    plain = code.co_argcount
    args = [values[arg] for arg in code.co_varnames[:plain]]
    kwargs = {arg: values[arg] for arg in code.co_varnames[plain : plain + code.co_kwonlyargcount]}
    rest = plain + code.co_kwonlyargcount
    if code.co_flags & inspect.CO_VARARGS:
        args += values[code.co_varnames[rest]]
        rest += 1
    if code.co_flags & inspect.CO_VARKEYWORDS:
        kwargs |= values[code.co_varnames[rest]]
    coro.close()
    return lambda: function(*args, **kwargs)


def leave() -> None:
    """Forget whose turn it is: no model code runs from here on."""
    RUN.task, RUN.seen, RUN.sink, RUN.cons = None, None, None, point.no_cons
