"""What tasks could share behind the engine's back is refused before anything runs.

A search sees shared objects and nothing else. So everything that a task can reach
(arguments, closures, globals, defaults, attributes of plain objects) must be shared,
immutable, or frozen here.
"""

from __future__ import annotations

import collections
import contextvars
import datetime
import decimal
import dis
import enum
import fractions
import functools
import operator
import pathlib
import re
import sys
import types
from collections.abc import Iterable
from typing import Any

import attrs

from kmodel import shared
from kmodel.remembered import Remembered
from kmodel.table import Table
from kmodel.world import Check, ScenarioError, World


class Unseen:
    """Attributes of the classes and functions that tasks can reach, and what checks could
    remember, as they were: what a run sets there no engine sees."""

    def __init__(self, checks: Iterable[Check] = ()) -> None:
        self.before: list[tuple[str, Any, dict[str, Any]]] = []
        self.remembered = Remembered(checks)

    def watch(self, name: str, thing: Any) -> None:
        self.before.append((name, thing, dict(vars(thing))))

    def refuse_changed(self) -> None:
        """Raise ``ScenarioError`` if one of them is not what it was."""
        self.remembered.refuse_changed()
        for name, thing, before in self.before:
            now = dict(vars(thing))
            for key in {*now, *before}:
                if now.get(key, self) is not before.get(key, self):
                    raise ScenarioError(
                        f"{name}.{key} is changed during a run: all tasks share it, and the engine "
                        "cannot see that; make it a field of a @shared class"
                    )


def refuse_untracked(world: World) -> Unseen:
    """Raise ``ScenarioError`` where two tasks could share what the engine cannot see. Returns
    what must be looked at again after a run."""
    # what is shared and of this world may be reached; it is looked at as such
    seen = {id(thing) for thing in [*world.tasks, *world.objects]}
    for task, start in zip(world.tasks, world.starts):
        _walk(start, f"task {task.name}", seen)
    for thing in world.objects:
        _walk_class(type(thing), type(thing).__name__, seen)
        if not isinstance(thing, Table):
            kinds = shared.fields(type(thing))
            for name, value in thing.__dict__.items():
                if kinds.get(name, "const") == "const" and not name.startswith("_"):
                    _walk(value, f"{type(thing).__name__}.{name}", seen)
    found = Unseen(world.checks)
    for thing in _REACHED:
        found.watch(thing.__name__, thing)
    _REACHED.clear()
    return found


_REACHED: list[Any] = []
"""The users' classes and functions that a walk came to."""


_PLAIN = (
    *(int, bool, str, bytes, float, complex, range, type(None), type(...), enum.Enum),
    *(types.ModuleType, types.MappingProxyType),
)
_CONTAINERS = (list, dict, set, bytearray, collections.deque)
_CONSTANT = (
    *(re.Pattern, pathlib.PurePath, fractions.Fraction, decimal.Decimal, slice, property),
    *(datetime.date, datetime.time, datetime.timedelta, types.GenericAlias, staticmethod),
    *(operator.itemgetter, operator.attrgetter, operator.methodcaller, classmethod),
    *(types.GetSetDescriptorType, types.MemberDescriptorType, types.WrapperDescriptorType),
    *(types.MethodDescriptorType, types.MethodWrapperType, types.ClassMethodDescriptorType),
)
"""Of the language's own classes those whose objects never change."""


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
    elif isinstance(value, types.BuiltinFunctionType):
        if not isinstance(value.__self__, (types.ModuleType, type)):
            _walk(value.__self__, where, seen)  # a bound method of a list, say
    elif isinstance(value, types.MethodType):
        _walk(value.__self__, where, seen)
        _walk(value.__func__, where, seen)
    elif isinstance(value, types.FunctionType):
        _walk_function(value, where, seen)
    elif isinstance(value, functools.partial):
        _walk((value.func, value.args, *value.keywords.values()), where, seen)
    elif hasattr(value, "__wrapped__"):
        _walk(value.__wrapped__, where, seen)
    elif hasattr(type(value), "__next__") or _changes(value):
        raise ScenarioError(
            f"{where} can reach a {type(value).__name__}, which changes as it is used. The engine "
            "cannot see that, so no verdict would hold: use a @shared class"
        )
    elif attrs.has(type(value)) and not _settable(value):
        for field in attrs.fields(type(value)):
            _walk(getattr(value, field.name), f"{where}.{field.name}", seen)
    elif not _ours(type(value).__module__) and hasattr(value, "__dict__"):
        for name, held in list(vars(value).items()):
            _walk(held, f"{where}.{name}", seen)
        _walk_class(type(value), where, seen)
        _freeze(value, where)
    elif not _ours(type(value).__module__) and _slots(value):
        raise ScenarioError(
            f"{where} can reach an object of class {type(value).__name__}, whose changes the "
            "engine cannot see: make it a @shared class, or a frozen attrs class"
        )


def _changes(value: Any) -> bool:
    """Is it an object of the language's own that may change?"""
    if isinstance(value, types.SimpleNamespace):
        return True
    top = (type(value).__module__ or "").split(".")[0]
    if top not in sys.stdlib_module_names or isinstance(value, _CONSTANT) or callable(value):
        return isinstance(value, contextvars.ContextVar)
    return top not in ("typing", "builtins", "types", "abc", "enum")


def _settable(value: Any) -> bool:
    """Can its attributes be set (an attrs class that is not frozen)?"""
    sets: Any = type(value).__setattr__
    return not _ours(type(value).__module__) and sets is object.__setattr__


def _slots(value: Any) -> bool:
    return any(vars(cls).get("__slots__") for cls in type(value).__mro__)


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
    """What all its objects share, and what its methods can reach."""
    for base in cls.__mro__:
        if _ours(base.__module__):
            continue
        _REACHED.append(base)
        for name, value in vars(base).items():
            value = getattr(value, "__func__", getattr(value, "fget", value))
            if name.startswith("__") and not isinstance(value, types.FunctionType):
                continue
            if isinstance(value, (*_CONTAINERS, types.FunctionType)):
                _walk(value, f"{where} ({cls.__name__}.{name})", seen)


def _walk_function(function: types.FunctionType, where: str, seen: set[int]) -> None:
    if _ours(function.__module__) and not function.__module__.startswith("kmodel"):
        return
    for free, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):
        try:
            content = cell.cell_contents
        except ValueError:
            continue
        # our own starter keeps its arguments in a list and a dict that nobody else sees
        if function.__module__ == World.__module__ and isinstance(content, (list, dict)):
            content = tuple(content.values() if isinstance(content, dict) else content)
        _walk(content, f"{where} ({free})", seen)
    if _ours(function.__module__):
        return
    _REACHED.append(function)
    for default in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
        _walk(default, f"{where} (a default of {function.__name__})", seen)
    _refuse_rebinding(function, where)
    for name in _names(function.__code__):
        content = function.__globals__.get(name)
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
