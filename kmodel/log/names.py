"""The shared objects of a world by name, and what can be seen of one without running it."""

from __future__ import annotations

import difflib
import enum
import keyword
from typing import Any, Final

from kmodel.point import Task
from kmodel.table import Sparse, Table
from kmodel.world import World, label

FEW: Final = 24
"""Names that an error lists."""

ADDRESS: Final = 1 << 32
"""From here on a number is told in hexadecimal."""


class Undefined(Exception):
    """There is no such thing here, or not just now; the message says what is missing."""


class Missing(Undefined):
    """An object has no such field, now or ever."""


class Names:
    """Every shared object of ``world``. One that has no name is called after its class,
    with a number: ``physmem0``; of two with one name the second is ``NAME#2``.

    An object is found by its bare name, if that is a word, or by a function named after
    its class: ``mutex("vp.pr_mtx")``, ``pool("vp")`` for "vp pool"; ``the("NAME")`` knows
    them all.
    """

    def __init__(self, world: World) -> None:
        self.tasks = {task.name for task in world.tasks}
        self.things: dict[str, Any] = {}
        self.kinds: dict[str, dict[str, Any]] = {"the": self.things}
        counts: dict[str, int] = {}
        for thing in world.objects:
            name = self._unique(label(thing, counts))
            self.things[name] = thing
            for kind in _kinds(thing):
                self.kinds.setdefault(kind, {})[name] = thing

    def named(self, name: str) -> Any:
        """The object that a bare word means. Raises ``Undefined``."""
        if name in self.things:
            return self.things[name]
        if name in self.tasks:
            raise Undefined(
                f'{name} is a thread: write its name in quotes, "{name}"{self._cpu(name)}'
            )
        raise Undefined(f"there is no {name!r} here. {self._listed(name, self.words())}")

    def of_kind(self, kind: str, name: str) -> Any:
        """``kind("name")``; what an object's name says of its kind may be left out."""
        if kind not in self.kinds:
            raise Undefined(f"there is no function {kind!r}. {self._listed(kind, self.kinds)}")
        known = self.kinds[kind]
        for full in (name, f"{name} {kind}", f"{kind} {name}"):
            if full in known:
                return known[full]
        raise Undefined(f"there is no {kind} called {name!r}. {self._listed(name, known)}")

    def _cpu(self, task: str) -> str:
        """How to ask of the CPU that ``task`` is on; a story without a kernel has none."""
        try:
            self.of_kind("cpu", task)
        except Undefined:
            return ""
        return f'; what it holds is cpu("{task}").held'

    def words(self) -> list[str]:
        """The names that are words."""
        return [name for name in self.things if name.isidentifier() and not keyword.iskeyword(name)]

    def how(self, name: str) -> str:
        """How to write the object of this name in an expression."""
        if name.isidentifier() and not keyword.iskeyword(name):
            return name
        kinds = _kinds(self.things[name])
        said = [kind for kind in kinds if name.endswith(f" {kind}") or name.startswith(f"{kind} ")]
        kind = (said or kinds)[-1]
        return f'{kind}("{name.removesuffix(f" {kind}").removeprefix(f"{kind} ")}")'

    def _unique(self, name: str) -> str:
        number, found = 2, name
        while found in self.things:
            number, found = number + 1, f"{name}#{number}"
        return found

    @staticmethod
    def _listed(wanted: str, known: Any) -> str:
        near = difflib.get_close_matches(wanted, list(known), n=3)
        hint = f"Did you mean {' or '.join(near)}? " if near else ""
        few = ", ".join(sorted(known)[:FEW])
        more = f" and {len(known) - FEW} more" if len(known) > FEW else ""
        return f"{hint}There are: {few}{more} (--names lists everything)"


def _kinds(thing: Any) -> list[str]:
    """``wakeall``, ``rwlock``: its class, and what that derives from."""
    classes = [cls for cls in type(thing).__mro__ if "_shared" in cls.__dict__]
    return [cls.__name__.lower() for cls in classes] or [type(thing).__name__.lower()]


def seen(value: Any) -> Any:
    """``value`` as an expression sees it: tasks and enums by name, tables as they are."""
    if isinstance(value, Task):
        return value.name
    if isinstance(value, enum.Enum):
        return value.name
    return tuple(map(seen, value)) if isinstance(value, tuple) else value


def fields_of(thing: Any) -> list[str]:
    """What can be asked of an object."""
    if thing is None or isinstance(thing, (int, str, tuple)):
        return []
    return [name for name in getattr(thing, "__dict__", {}) if not name.startswith("_")]


def field(thing: Any, name: str) -> Any:
    """A value that the object itself holds; nothing of its class is looked at, so no code
    of the model runs. Raises ``Undefined``."""
    known = fields_of(thing)
    if not known:
        raise Undefined(f"{told(thing)} has no {name!r}: it has no fields")
    if name not in known:
        raise Missing(f"{told(thing)} has no {name!r}: it has {', '.join(known)}")
    return seen(thing.__dict__[name])


def item(thing: Any, at: Any) -> Any:
    """``thing[at]``, of a tuple, a text, a table or a sparse table. Raises ``Undefined``."""
    if not isinstance(at, int):
        raise Undefined(f"{at!r} is no index: it must be a whole number")
    if isinstance(thing, Sparse):
        return seen(next((value for index, value in thing.used if index == at), None))
    if isinstance(thing, (tuple, str, Table)):
        if not 0 <= at < len(thing):
            raise Undefined(f"index {at} is outside of {len(thing)}")
        return seen(thing[at])
    raise Undefined(f"{told(thing)} has no items")


def told(value: Any) -> str:
    """A value as it is printed."""
    if isinstance(value, int) and abs(value) >= ADDRESS:
        return hex(value)
    if value is None or isinstance(value, (int, str)):
        return str(value)
    if isinstance(value, tuple):
        return f"({', '.join(map(told, value))})"
    name = getattr(value, "name", None)
    return name if isinstance(name, str) else type(value).__name__.lower()
