"""What tasks could share behind the engine's back is refused before anything runs.

A search sees shared objects and nothing else. So everything that a task can reach
(arguments, closures, globals, defaults, attributes of plain objects) must be shared,
immutable, or frozen here.
"""

from __future__ import annotations

import collections
import dis
import enum
import sys
import types
from typing import Any

import attrs

from kmodel import shared
from kmodel.table import Table
from kmodel.world import ScenarioError, World


def refuse_untracked(world: World) -> None:
    """Raise ``ScenarioError`` where two tasks could share what the engine cannot see."""
    # what is shared and of this world may be reached; it is looked at as such
    seen = {id(thing) for thing in [*world.tasks, *world.objects]}
    for task, start in zip(world.tasks, world.starts):
        _walk(start, f"task {task.name}", seen)
    for thing in world.objects:
        if not isinstance(thing, Table):
            kinds = shared.fields(type(thing))
            for name, value in thing.__dict__.items():
                if kinds.get(name, "const") == "const" and not name.startswith("_"):
                    _walk(value, f"{type(thing).__name__}.{name}", seen)


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
        if function.__module__ == World.__module__ and isinstance(content, (list, dict)):
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
