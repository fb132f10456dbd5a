"""Tasks that look alike: which of them may change places, judged by how they were started.

Tasks look alike if they run the same function, on arguments that are the same once the
tasks have changed places: numbers and strings are equal, and a shared object of one (its
CPU, a cell of its own) stands where the other has its counterpart. Names may differ.

This is a guess from the outside. What the code then does is not looked at here, so nobody
may rely on it unchecked: ``orbit`` compares every step (Ip and Dill 1996; Emerson and
Sistla 1996 on what may be concluded).
"""

from __future__ import annotations

import enum
import types
from collections.abc import Iterator
from itertools import pairwise, permutations, product
from math import factorial, prod
from typing import Any, Final

import attrs

from kmodel import shared
from kmodel.point import Task
from kmodel.table import Table
from kmodel.world import World

MOST: Final = 24
"""Ways to change places that are used: all those of 4 like tasks."""

TRIED: Final = 720
"""Ways that are looked at to find them."""

Places = tuple[int, ...]
"""By number (``_oid``) of each task and shared object: the number of the one in whose place
it comes."""

_PLAIN = (int, bool, str, bytes, float, complex, range, type(None), type(...), enum.Enum)


class Unlike(Exception):
    """Tasks cannot change places; the message says which and why."""


def changes(world: World, most: int = MOST) -> list[Places]:
    """Every way in which like tasks can change places, a group; that of staying first.

    At most ``most``: of too many like tasks only the first few are taken. Raises
    ``Unlike`` if there is no way but staying. Call it before the world is recorded.
    """
    world.seal()
    alike = _classes(world)
    while prod(factorial(len(tasks)) for tasks in alike) > TRIED:
        max(alike, key=len).pop()
    while True:
        found = [places for order in _orders(world, alike) if (places := _places(world, order))]
        if len(found) <= most:
            break
        max(alike, key=len).pop()
    if len(found) == 1:
        raise Unlike(_why_not(world))
    known = set(found)
    if any(then(one, other) not in known for one in found for other in found):
        raise Unlike("like tasks share objects of their own in a way that is no symmetry")
    return found


def then(first: Places, second: Places) -> Places:
    """One change of places after the other."""
    return tuple(second[place] for place in first)


def _classes(world: World) -> list[list[int]]:
    """The tasks, with each the ones that could take its place."""
    alike: list[list[int]] = []
    for task in world.tasks:
        for tasks in alike:
            if _difference(world, {task.index: tasks[0]}) is None:
                tasks.append(task.index)
                break
        else:
            alike.append([task.index])
    return alike


def _orders(world: World, alike: list[list[int]]) -> Iterator[dict[int, int]]:
    """Each task, and the one whose place it takes: every way within each of ``alike``."""
    stay = {task.index: task.index for task in world.tasks}
    for orders in product(*map(permutations, alike)):
        moved = [dict(zip(tasks, order)) for tasks, order in zip(alike, orders)]
        yield stay | {task: place for some in moved for task, place in some.items()}


def _places(world: World, order: dict[int, int]) -> Places | None:
    """What moves along if the tasks move as in ``order``; ``None`` if that cannot be."""
    pairing = _Pairing()
    try:
        for task, place in order.items():
            pairing.tasks(world, world.tasks[task], world.tasks[place])
    except Unlike:
        return None
    if set(pairing.place) != set(pairing.place.values()):
        return None
    everything = len(world.tasks) + len(world.objects)
    return tuple(pairing.place.get(oid, oid) for oid in range(everything))


def _difference(world: World, order: dict[int, int]) -> str | None:
    pairing = _Pairing()
    try:
        for task, place in order.items():
            pairing.tasks(world, world.tasks[task], world.tasks[place])
    except Unlike as unlike:
        return str(unlike)
    return None


def _why_not(world: World) -> str:
    """In what the first two tasks of the same kind differ."""
    for one, other in pairwise(world.tasks):
        why = _difference(world, {one.index: other.index, other.index: one.index})
        if why is not None:
            return why
    return "there are no two tasks to change places"


class _Pairing:
    """Things of one task, and those of the task in whose place it comes."""

    def __init__(self) -> None:
        self.place: dict[int, int] = {}
        self._from: dict[int, int] = {}
        self._seen: dict[tuple[int, int], tuple[Any, Any]] = {}

    def tasks(self, world: World, one: Task, other: Task) -> None:
        who = f"{one.name} and {other.name}"
        if one is not other and (one.daemon or other.daemon or one.obliged != other.obliged):
            raise Unlike(f"{who} are not both obliged to end, or one is a daemon")
        self._note(one._oid, other._oid, who)
        self.pair(one.cpu, other.cpu, who)
        start, counterpart = world.starts[one.index], world.starts[other.index]
        assert isinstance(start, types.FunctionType)
        assert isinstance(counterpart, types.FunctionType)
        self._function(start, counterpart, who)

    def _note(self, one: int, other: int, who: str) -> None:
        if self.place.setdefault(one, other) != other or self._from.setdefault(other, one) != one:
            raise Unlike(f"{who} use the same shared objects, but not in corresponding places")

    def pair(self, one: Any, other: Any, who: str) -> None:
        """``other`` takes the place of ``one``, with all that is below them."""
        if getattr(one, "_oid", -1) >= 0 and getattr(other, "_oid", -1) >= 0:
            if self.place.get(one._oid) != other._oid:
                self._note(one._oid, other._oid, who)
                if one is not other:
                    self._shared(one, other, who)
        elif one is not other and (id(one), id(other)) not in self._seen:
            # kept, so that no later thing gets the same id
            self._seen[id(one), id(other)] = one, other
            self._plain(one, other, who)

    def _shared(self, one: Any, other: Any, who: str) -> None:
        if isinstance(one, Task) or type(one) is not type(other):
            raise Unlike(f"{who} have {_told(one)} and {_told(other)} in corresponding places")
        if isinstance(one, Table):
            self.pair(tuple(one._cells), tuple(other._cells), who)
            return
        for name, kind in shared.fields(type(one)).items():
            if kind != "statistic" and not (kind == "const" and name == "name"):
                self.pair(getattr(one, name), getattr(other, name), who)

    def _plain(self, one: Any, other: Any, who: str) -> None:
        if type(one) is not type(other) or isinstance(one, _PLAIN):
            if type(one) is not type(other) or one != other:
                raise Unlike(f"{who} are given different things: {_told(one)} and {_told(other)}")
        elif isinstance(one, dict):
            self.pair(tuple(one), tuple(other), who)
            self.pair(tuple(one.values()), tuple(other.values()), who)
        elif isinstance(one, (tuple, list)):
            self._items(one, other, who)
        elif isinstance(one, types.MethodType):
            self.pair(one.__self__, other.__self__, who)
            self.pair(one.__func__, other.__func__, who)
        elif isinstance(one, types.FunctionType):
            self._function(one, other, who)
        elif attrs.has(type(one)):
            for field in attrs.fields(type(one)):
                self.pair(getattr(one, field.name), getattr(other, field.name), who)
        else:
            self._object(one, other, who)

    def _function(self, one: types.FunctionType, other: types.FunctionType, who: str) -> None:
        if one.__code__ is not other.__code__:
            raise Unlike(f"{who} run different functions: {one.__name__} and {other.__name__}")
        self.pair(one.__defaults__, other.__defaults__, who)
        self.pair(one.__kwdefaults__, other.__kwdefaults__, who)
        ours = one.__module__ == World.__module__
        names = one.__code__.co_freevars
        for name, mine, theirs in zip(names, one.__closure__ or (), other.__closure__ or ()):
            given, counterpart = _content(mine), _content(theirs)
            if ours and isinstance(given, (tuple, list)):
                self._items(given, counterpart, who)  # what the task is given, also if it stays
            elif not (ours and name == "name"):
                self.pair(given, counterpart, who)

    def _items(self, some: Any, others: Any, who: str) -> None:
        if len(some) != len(others):
            raise Unlike(f"{who} are given different things: {_told(some)} and {_told(others)}")
        for one, other in zip(some, others):
            self.pair(one, other, who)

    def _object(self, one: Any, other: Any, who: str) -> None:
        if not hasattr(one, "__dict__"):
            raise Unlike(f"{who} are given different things: {_told(one)} and {_told(other)}")
        self.pair(vars(one), vars(other), who)


def _told(thing: Any) -> str:
    """In words that are the same in each process: the ``repr`` of an object has its address."""
    if isinstance(thing, _PLAIN):
        return repr(thing)
    if isinstance(thing, (tuple, list)):
        return f"({', '.join(map(_told, thing))})"
    name = getattr(thing, "name", None)
    return " ".join([type(thing).__name__, *([name] if isinstance(name, str) else [])])


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return None  # nothing assigned yet
