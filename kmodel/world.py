"""A world: the shared objects, tasks and checks of one scenario, not yet run.

Build one with ``with World() as world:`` and make shared objects inside; then
name its tasks. The engine asks for nothing else, so that anything written
against ``kmodel.point`` and ``kmodel.shared`` can be explored, kernel or not.
"""

from __future__ import annotations

import collections
import dis
import enum
import inspect
import sys
import types
from collections.abc import Callable, Coroutine
from typing import Any, Final

import attrs

from kmodel import point, shared
from kmodel.point import RUN, Task, curtask

Start = Callable[[], Coroutine[Any, Any, Any]]


class ScenarioError(Exception):
    """The scenario itself is wrong; the message says where and what to do."""


@shared.shared
class Cpu:
    """What belongs to one CPU, and is touched by its own task only.

    ``held`` are the locks it holds, in the order taken (the kernel knows mutexes
    by count and IPL; here they are named, for messages and for lock order).
    """

    name: Final[str]
    held: tuple[Any, ...]

    def __init__(self, name: str) -> None:
        self.name, self.held = f"cpu {name}", ()


def curcpu() -> Cpu:
    """The CPU of the running task."""
    cpu: Cpu = curtask().cpu
    return cpu


@attrs.frozen
class Check:
    """A property of single states: ``test`` returns what is wrong, or ``None``.

    ``when`` is ``always`` (every state) or ``end`` (every obliged task is done).
    ``judged`` checks decide the verdict; the rest are reported as findings.
    """

    name: str
    test: Callable[[], str | None]
    when: str = "always"
    kind: str = "invariant"
    judged: bool = True


class World:
    """What a scenario builds. Nothing in it changes once a run has begun."""

    def __init__(self) -> None:
        self.objects: list[Any] = []
        self.tasks: list[Task] = []
        self.starts: list[Start] = []
        self.checks: list[Check] = []
        self.sometimes: list[str] = []
        self.recorder: shared.Recorder | None = None

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
        """``test`` must return ``None`` in each state (or, ``when="end"``, at the end)."""
        self.checks.append(Check(name, test, when, kind, judged))

    def seal(self) -> None:
        """Number everything; called by the engine before a run."""
        for oid, thing in enumerate([*self.tasks, *self.objects]):
            thing._oid = oid
        if not any(task.obliged for task in self.tasks):
            raise ScenarioError(
                "no obliged task: the scenario would be over before it began; put at "
                "least one task on a CPU with m.cpu(...)"
            )

    def record(self) -> shared.Recorder:
        """Seal, and start to record every shared object."""
        if self.recorder is not None:
            raise ScenarioError("this world has been searched already: build a fresh one")
        self.seal()
        self.refuse_untracked()
        self.recorder = recorder = shared.Recorder()
        counts: dict[str, int] = {}
        for thing in self.objects:
            shared.attach(thing, recorder, label(thing, counts))
        return recorder

    def refuse_untracked(self) -> None:
        """Raise where two tasks could share something that the engine cannot see."""
        # what is shared and of this world may be reached; it is looked at as such
        seen = {id(thing) for thing in [*self.tasks, *self.objects]}
        for task, start in zip(self.tasks, self.starts):
            _walk(start, f"task {task.name}", seen)
        for thing in self.objects:
            if not isinstance(thing, shared.Table):
                kinds = shared.fields(type(thing))
                for name, value in thing.__dict__.items():
                    if kinds.get(name) == "const" or (
                        name not in kinds and not name.startswith("_")
                    ):
                        _walk(value, f"{type(thing).__name__}.{name}", seen)


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
        raise ScenarioError(f"task {name}: its coroutine has already begun")
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


_PLAIN = (
    *(int, bool, str, bytes, float, complex, range, type(None), type(...), enum.Enum),
    *(types.ModuleType, types.BuiltinFunctionType, types.MappingProxyType),
)
_CONTAINERS = (list, dict, set, bytearray, collections.deque)


def _walk(value: Any, where: str, seen: set[int]) -> None:
    """Refuse what tasks could share behind the engine's back, at and below ``value``."""
    if id(value) in seen or isinstance(value, _PLAIN):
        return
    seen.add(id(value))
    if hasattr(value, "_oid"):
        raise ScenarioError(
            f"{where} can reach a {type(value).__name__} that was made outside this scenario's "
            "world, so that the engine does not see it: make it while the scenario is built"
        )
    if isinstance(value, _CONTAINERS):
        raise ScenarioError(
            f"{where} can reach a {type(value).__name__} that other tasks may see too. The "
            "engine cannot see its changes, so no verdict would hold: use a @shared class, a "
            "Table or a tuple"
        )
    if isinstance(value, (tuple, frozenset)):
        for item in value:
            _walk(item, where, seen)
    elif isinstance(value, type):
        _walk_class(value, where, seen)
    elif isinstance(value, types.MethodType):
        _walk(value.__self__, where, seen)
        _walk(value.__func__, where, seen)
    elif isinstance(value, types.FunctionType):
        _walk_function(value, where, seen)
    elif attrs.has(type(value)):
        for field in attrs.fields(type(value)):
            _walk(getattr(value, field.name), f"{where}.{field.name}", seen)
    elif not _ours(type(value).__module__) and hasattr(value, "__dict__"):
        for name, held in list(vars(value).items()):
            _walk(held, f"{where}.{name}", seen)
        _freeze(value, where)


def _freeze(value: Any, where: str) -> None:
    """Let nobody set an attribute of a plain object any more: nobody would see it."""
    cls = type(value)

    def refuse(self: Any, name: str, _: Any = None) -> None:
        raise ScenarioError(
            f"{cls.__name__}.{name} is changed during a run, and {where} can reach it: the engine "
            "cannot see that; make the class @shared"
        )

    methods = {"__setattr__": refuse, "__delattr__": refuse, "__slots__": ()}
    try:
        value.__class__ = type(cls.__name__, (cls,), methods)
    except TypeError as error:
        raise ScenarioError(
            f"{where} can reach an object of class {cls.__name__}, whose changes the engine cannot "
            "see: make it a @shared class, or a frozen attrs class"
        ) from error


def _ours(module: str | None) -> bool:
    """Is it kmodel's own code, or the language's? Those are trusted."""
    top = (module or "").split(".")[0]
    return top == "kmodel" or top in sys.stdlib_module_names


def _walk_class(cls: type, where: str, seen: set[int]) -> None:
    if _ours(cls.__module__):
        return
    for name, value in vars(cls).items():
        if isinstance(value, _CONTAINERS) and not name.startswith("__"):
            _walk(value, f"{where} ({cls.__name__}.{name})", seen)


def _walk_function(function: types.FunctionType, where: str, seen: set[int]) -> None:
    for free, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):
        try:
            content = cell.cell_contents
        except ValueError:
            continue
        # our own starter keeps its arguments in a list and a dict that nobody else sees
        if function.__module__ == __name__ and isinstance(content, (list, dict)):
            content = tuple(content.values() if isinstance(content, dict) else content)
        _walk(content, f"{where} ({free})", seen)
    if _ours(function.__module__):
        return
    for default in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
        _walk(default, f"{where} (a default of {function.__name__})", seen)
    _refuse_rebinding(function, where)
    for name in _names(function.__code__):
        content = function.__globals__.get(name)
        if isinstance(content, (*_CONTAINERS, types.FunctionType, type)) or hasattr(
            content, "_oid"
        ):
            _walk(content, f"{where} (global {name})", seen)


def _names(code: types.CodeType) -> set[str]:
    """The global names that ``code`` and the functions inside it use."""
    found = set(code.co_names)
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            found |= _names(inner)
    return found


def _refuse_rebinding(function: types.FunctionType, where: str) -> None:
    """``nonlocal`` and ``global`` variables that are assigned are state that nobody sees."""
    outer = set(function.__code__.co_freevars)
    for code in _nested(function.__code__):
        for step in dis.get_instructions(code):
            rebound = step.opname == "STORE_GLOBAL" or (
                step.opname == "STORE_DEREF" and step.argval in outer
            )
            if rebound:
                raise ScenarioError(
                    f"{where}: {function.__name__} assigns {step.argval!r}, a variable of the code "
                    "around it that other tasks may see too. The engine cannot see that: make it "
                    "a field of a @shared class"
                )


def _nested(code: types.CodeType) -> list[types.CodeType]:
    inner = [c for c in code.co_consts if isinstance(c, types.CodeType)]
    return [code, *(deep for c in inner for deep in _nested(c))]


def leave() -> None:
    """Forget whose turn it is: no model code runs from here on."""
    RUN.task, RUN.seen, RUN.sink, RUN.cons = None, None, None, point.no_cons
