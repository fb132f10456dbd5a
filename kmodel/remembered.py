"""A check may only look: what it could keep from one state to the next must stay as it is.

A search asks a check about a state once, in whatever order it comes to them, and remembers the
answer. A check that counts its calls, or keeps what it saw last, then answers at random. It may
hold lists and plain objects (tables of a story, say), as long as it leaves them alone; so
here they are compared, not refused. Of what libraries hold, and of kmodel's own, nothing is
looked at. Not seen: what is changed and changed back, and iterators.
"""

from __future__ import annotations

import collections
import functools
import sys
import sysconfig
import types
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import attrs

from kmodel.world import Check, ScenarioError

_LIBRARIES: Final = tuple(sysconfig.get_paths()[name] for name in ("purelib", "platlib"))
_CHANGING: Final = (list, dict, set, bytearray, collections.deque)
_ABSENT: Final = object()


@attrs.frozen
class _Kept:
    """``thing`` as it was: what ``parts`` gave."""

    where: str
    thing: Any
    parts: Callable[[Any], dict[Any, Any]]
    before: dict[Any, Any]


class Remembered:
    """What the checks of one world can reach and change, as it is now."""

    def __init__(self, checks: Iterable[Check]) -> None:
        self._kept: list[_Kept] = []
        self._seen: set[int] = set()
        for check in checks:
            self._walk(check.test, f"check {check.name!r}")

    def refuse_changed(self) -> None:
        """Raise ``ScenarioError`` if something of it is not what it was."""
        for kept in self._kept:
            now = kept.parts(kept.thing)
            for part in {*now, *kept.before}:
                if _differ(now.get(part, _ABSENT), kept.before.get(part, _ABSENT)):
                    raise ScenarioError(
                        f"{kept.where} changes {_named(kept.thing, part)}, which it keeps from one "
                        "state to the next: a check may only look, as states are asked about once "
                        "and in no order; make what must be remembered a field of a @shared class "
                        "that tasks set"
                    )

    def _walk(self, value: Any, where: str) -> None:
        if id(value) in self._seen or hasattr(value, "_oid"):
            return
        self._seen.add(id(value))
        if isinstance(value, (tuple, frozenset)):
            self._all(value, where)
        elif isinstance(value, _CHANGING):
            self._keep(value, where, _contents)
            self._all(value.values() if isinstance(value, dict) else value, where)
        elif isinstance(value, functools.partial):
            self._all((value.func, *value.args, *value.keywords.values()), where)
        elif isinstance(value, types.MethodType):
            self._all((value.__func__, value.__self__), where)
        elif isinstance(value, types.FunctionType):
            if _own(value.__module__):
                self._keep(value, where, _variables)
                self._all(_variables(value).values(), where)
            else:  # a lambda of ours around what is the test's own
                self._all(_outer(value).values(), where)
        elif isinstance(value, type):
            for base in value.__mro__:
                if _own(base.__module__):
                    self._keep(base, where, _attributes)
                    self._all(_attributes(base).values(), where)
        elif _own(type(value).__module__) and not isinstance(value, types.ModuleType):
            self._walk(type(value), where)
            if hasattr(value, "__dict__"):
                self._keep(value, where, _attributes)
                self._all(vars(value).values(), where)

    def _all(self, values: Iterable[Any], where: str) -> None:
        for value in list(values):
            self._walk(value, where)

    def _keep(self, thing: Any, where: str, parts: Callable[[Any], dict[Any, Any]]) -> None:
        self._kept.append(_Kept(where, thing, parts, parts(thing)))


def _named(thing: Any, part: Any) -> str:
    if isinstance(thing, types.FunctionType):
        return f"the variable {part!r}"
    if isinstance(thing, _CHANGING):
        return f"a {type(thing).__name__}"
    return f"{(thing if isinstance(thing, type) else type(thing)).__name__}.{part}"


def _differ(one: Any, other: Any) -> bool:
    """Plain values are compared, objects are the same or not."""
    if type(one) is type(other) and isinstance(one, (int, str, bytes, float)):
        return bool(one != other)
    return one is not other


def _own(module: str | None) -> bool:
    """Is it code of the test, and none of the language's, of kmodel's or of a library's?"""
    top = (module or "builtins").split(".")[0]
    if top == "kmodel" or (top in sys.stdlib_module_names and top != "__main__"):
        return False
    path = getattr(sys.modules.get(top), "__file__", None) or ""
    return not path.startswith(_LIBRARIES)


def _contents(thing: Any) -> dict[Any, Any]:
    if isinstance(thing, dict):
        return {f"[{key!r}]": value for key, value in thing.items()}
    if isinstance(thing, set):
        return {id(item): item for item in thing}
    return dict(enumerate(thing))


def _attributes(thing: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(thing).items() if not name.startswith("__")}


def _variables(function: types.FunctionType) -> dict[str, Any]:
    """What it can name: globals, defaults, and variables of the functions around it."""
    found = {name: function.__globals__[name] for name in _globals(function)}
    defaults = (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values())
    found |= {f"default {number}": value for number, value in enumerate(defaults)}
    return found | _outer(function)


def _outer(function: types.FunctionType) -> dict[str, Any]:
    """The variables of the functions around it."""
    found = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):
        try:
            found[name] = cell.cell_contents
        except ValueError:
            continue
    return found


def _globals(function: types.FunctionType) -> Iterator[str]:
    todo = [function.__code__]
    while todo:
        code = todo.pop()
        todo += [one for one in code.co_consts if isinstance(one, types.CodeType)]
        yield from (name for name in code.co_names if name in function.__globals__)
