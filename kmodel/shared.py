"""State that two CPUs can see, written as ordinary attributes.

``@shared`` on a class makes each annotated field *state*: its reads and writes
are recorded while a search runs, and cost nothing extra otherwise (a recorded
object changes its class, an unrecorded one is plain Python). Three exceptions
are said in the annotation:

    name: Final[str]     a constant, set while the scenario is built
    nfail: Statistic     counted, never read by model code, not part of the state
    owner: Atomic[...]   touched by operations only; never a data race

A *stamp* (compared for equality only) is a ``Stamp`` held in a ``Final`` field.
Fields hold whole numbers, strings, enums, shared objects, tasks, ``None``, and tuples
of those; anything mutable is refused. Technique and cost: class swap with
generated properties, 60-100 ns an access when recording.
"""

from __future__ import annotations

import enum
import inspect
from array import array
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Annotated, Any, Generic, ParamSpec, TypeVar

from kmodel import point
from kmodel.point import RUN, Task, curtask

P = ParamSpec("P")
T = TypeVar("T")
C = TypeVar("C", bound=type)

Statistic = Annotated[int, "statistic"]
Atomic = Annotated[T, "atomic"]
Hidden = Annotated[T, "hidden"]
"""Book-keeping of the model that no kernel field stands for: part of the state,
no part of a data race, and read by code that tells its task less (``observe``)."""

MAX_CODES = 65_535


class SharedStateError(Exception):
    """A scenario or model breaks a rule of shared state; the message says which."""


class LimitReached(BaseException):
    """The engine cannot tell more states apart. Not an ``Exception``: it is no error of
    the step in which it happens, and ends the search, which keeps what it has."""


class Recorder:
    """What one recorded world holds, and what the current step read and wrote.

    ``state`` holds one code a location; equal codes mean equal values (of equal
    type: ``1`` and ``True`` differ). ``read`` maps each location that the step
    read before writing it to the code found; ``seen`` is every code read, in
    order, for the task's history. ``trace`` has each access in order (location
    twice, plus one for a write) and each release of a lock (``~oid``), for races.
    ``operating`` says whether an operation may touch atomic fields just now (and
    nothing else), or ordinary code the others; ``None`` lets a check read all.
    """

    def __init__(self) -> None:
        self.codes: dict[Any, int] = {}
        self.values: list[Any] = []
        self.state = array("H")
        self.store: list[Callable[[Any], None]] = []
        self.names: list[str] = []
        self.atomic: set[int] = set()
        self.hidden: set[int] = set()
        self.read: dict[int, int] = {}
        self.wrote: dict[int, int] = {}
        self.seen: list[int] = []
        self.trace: list[int] = []
        self.operating: bool | None = None

    def encode(self, value: Any) -> int:
        cls = value.__class__
        if isinstance(value, tuple):
            key: Any = (cls, tuple(map(self.encode, value)))
        elif cls is int or cls is bool or cls is str or value is None:
            key = (cls, value)
        elif isinstance(value, enum.Enum):
            key = (cls, value.name)
        elif getattr(value, "_oid", -1) >= 0:
            key = ("object", value._oid)
        else:
            raise SharedStateError(
                f"shared state cannot hold {value!r} of type {cls.__name__}: use whole numbers, "
                "strings, enums, shared objects, None, or tuples of those"
            )
        code = self.codes.get(key)
        if code is None:
            code = len(self.values)
            if code > MAX_CODES:
                raise LimitReached(
                    f"more than {MAX_CODES} different values in shared state (is a counter "
                    "that only grows declared as state? Make it a Statistic or a Stamp)"
                )
            self.codes[key] = code
            self.values.append(value)
        return code

    def add(self, name: str, value: Any, store: Callable[[Any], None], kind: str) -> int:
        location = len(self.state)
        self.state.append(self.encode(value))
        self.store.append(store)
        self.names.append(name)
        if kind == "atomic":
            self.atomic.add(location)
        elif kind == "hidden":
            self.hidden.add(location)
        return location

    def get(self, location: int) -> None:
        if self.operating is not None and (location in self.atomic) is not self.operating:
            self._refuse(location)
        code = self.state[location]
        if location not in self.wrote and location not in self.read:
            self.read[location] = code
        self.trace.append(location << 1)
        if location not in self.hidden:
            self.seen.append(code)

    def _refuse(self, location: int) -> None:
        name = self.names[location]
        if self.operating:
            raise SharedStateError(
                f"an operation touches {name}, which is not Atomic: declare it so, or move "
                "the access out of the operation"
            )
        raise SharedStateError(
            f"{curtask()} touches {name}, which is Atomic, outside an operation: make the "
            "access an operation of its own, so that it is a point"
        )

    def put(self, location: int, value: Any) -> None:
        if self.operating is not None and (location in self.atomic) is not self.operating:
            self._refuse(location)
        code = self.encode(value)
        self.wrote[location] = code
        self.trace.append(location << 1 | 1)
        self.state[location] = code

    def begin(self) -> None:
        """Forget what the last step read and wrote."""
        self.read.clear()
        self.wrote.clear()
        self.seen.clear()
        self.trace.clear()

    def load(self, state: array[int]) -> None:
        """Make the world's objects hold ``state``."""
        mine = self.state
        if mine != state:
            for location, (old, new) in enumerate(zip(mine, state)):
                if old != new:
                    self.store[location](self.values[new])
            self.state = array("H", state)

    def set(self, location: int, code: int) -> None:
        self.store[location](self.values[code])
        self.state[location] = code


REGISTER: list[list[Any]] = []
"""The objects of the world that is being built, innermost last."""


def register(thing: Any) -> None:
    if RUN.task is not None:
        raise SharedStateError(
            f"{type(thing).__name__} was made during a step: shared objects are made while "
            "the scenario is built, so that each has the same identity in every schedule"
        )
    if REGISTER:
        REGISTER[-1].append(thing)


def shared(cls: C) -> C:
    """Class decorator: record the annotated fields (see the module's text)."""
    init = cls.__init__  # type: ignore[misc]

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        if "_oid" not in self.__dict__:
            self.__dict__["_oid"] = -1
            register(self)
        init(self, *args, **kwargs)

    cls.__init__ = __init__  # type: ignore[misc]
    cls._shared = True  # type: ignore[attr-defined]
    return cls


def fields(cls: type) -> dict[str, str]:
    """Name -> kind (``state``, ``atomic``, ``statistic``, ``const``), bases first."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if base.__dict__.get("_shared"):
            for name, annotation in inspect.get_annotations(base).items():
                found[name] = _kind(annotation)
    return found


_KINDS = {
    "Final": "const",
    "ClassVar": "const",
    "Statistic": "statistic",
    "Atomic": "atomic",
    "Hidden": "hidden",
}


def _kind(annotation: Any) -> str:
    """What an annotation, as text or as an object, says of its field."""
    if not isinstance(annotation, str):
        marks = getattr(annotation, "__metadata__", ())
        if marks and marks[0] in _KINDS.values():
            return str(marks[0])
        annotation = getattr(annotation, "__name__", None) or repr(annotation)
    name = annotation.split("[")[0].split(".")[-1].strip()
    return _KINDS.get(name, "state")


_recorded: dict[type, type] = {}


def attach(thing: Any, recorder: Recorder, label: str) -> None:
    """Start recording ``thing``: give its fields locations and swap its class."""
    if isinstance(thing, Table):
        thing.attach(recorder, label)
        return
    if "_shared" not in type(thing).__dict__:
        raise SharedStateError(
            f"{type(thing).__name__} derives from a @shared class and is not @shared itself: "
            "decorate it too, or its own fields are not seen"
        )
    place: dict[str, int] = {}
    values = thing.__dict__
    for name, kind in fields(type(thing)).items():
        if kind in ("state", "atomic", "hidden"):
            if name not in values:
                raise SharedStateError(f"{label}.{name} is declared but was never set")
            store = _storer(values, name)
            place[name] = recorder.add(f"{label}.{name}", values[name], store, kind)
    values["_rec"], values["_place"] = recorder, place
    cls = type(thing)
    if cls not in _recorded:
        _recorded[cls] = _recorded_class(cls)
    thing.__class__ = _recorded[cls]


def _storer(values: dict[str, Any], name: str) -> Callable[[Any], None]:
    def store(value: Any) -> None:
        values[name] = value

    return store


def _recorded_class(cls: type) -> type:
    body: dict[str, Any] = {"_shared": False, "__setattr__": _set_field}
    for name, kind in fields(cls).items():
        if kind == "statistic":
            body[name] = _tally(name)
        elif kind != "const":
            body[name] = _tracked(name)
    return type(cls.__name__, (cls,), body)


def _set_field(self: Any, name: str, value: Any) -> None:
    """Refuse to set what is no location: nobody else would see the change."""
    if not isinstance(getattr(type(self), name, None), property):
        raise SharedStateError(
            f"{type(self).__name__}.{name} is set during a run, and is no field that the engine "
            "sees: annotate it in the @shared class (Final fields are constants)"
        )
    object.__setattr__(self, name, value)


def _tracked(name: str) -> property:
    def get(self: Any) -> Any:
        values = self.__dict__
        values["_rec"].get(values["_place"][name])
        return values[name]

    def put(self: Any, value: Any) -> None:
        values = self.__dict__
        values["_rec"].put(values["_place"][name], value)
        values[name] = value

    return property(get, put)


def left_mover(effect: Callable[P, None]) -> Callable[P, None]:
    """An effect on atomic fields that needs no point: it ends the step it is in.

    Only for the release of a lock that nobody *tries*: then no other task can
    tell whether it came now or at the task's next point, so making it a point
    would only multiply schedules (Lipton 1975, left movers). It reads nothing.
    """

    @wraps(effect)
    def call(*args: P.args, **kwargs: P.kwargs) -> None:
        recorder = getattr(args[0], "_rec", None)
        if recorder is None:
            effect(*args, **kwargs)
            return
        before, recorder.operating = recorder.operating, True
        effect(*args, **kwargs)
        recorder.operating = before
        recorder.trace.append(~args[0]._oid)  # type: ignore[attr-defined]

    return call


class Tally:
    """A statistic while a search records: it can be added to, and not looked at."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __add__(self, _: int) -> Tally:
        return self

    __sub__ = __add__

    def _look(self, *_: object) -> Any:
        raise SharedStateError(
            f"{self.name} is a Statistic: model code may count it but not read it. "
            "Declare it as state if a decision depends on it"
        )

    __eq__ = __lt__ = __le__ = __gt__ = __ge__ = __bool__ = __int__ = __index__ = _look
    __hash__ = None  # type: ignore[assignment]


def _tally(name: str) -> property:
    token = Tally(name)

    def get(self: Any) -> Tally:
        return token

    def put(self: Any, value: Any) -> None:
        if value is not token:
            raise SharedStateError(f"{name} is a Statistic: it can be counted up and down only")

    return property(get, put)


class Table(Generic[T]):
    """A fixed number of cells, each a location of its own: ``table[i] = child``."""

    def __init__(self, cells: list[T]) -> None:
        self._oid = -1
        self._cells = list(cells)
        register(self)

    def attach(self, recorder: Recorder, label: str) -> None:
        self._rec, self._first = recorder, len(recorder.state)
        for index, value in enumerate(self._cells):
            recorder.add(f"{label}[{index}]", value, _cell_storer(self._cells, index), "state")
        self.__class__ = RecordedTable

    def __len__(self) -> int:
        return len(self._cells)

    def __getitem__(self, index: int) -> T:
        if not 0 <= index < len(self._cells):
            raise IndexError(f"index {index} outside a table of {len(self._cells)}")
        return self._cells[index]

    def __setitem__(self, index: int, value: T) -> None:
        if not 0 <= index < len(self._cells):
            raise IndexError(f"index {index} outside a table of {len(self._cells)}")
        self._cells[index] = value

    def __iter__(self) -> Iterator[T]:
        return (self[index] for index in range(len(self._cells)))


def _cell_storer(cells: list[Any], index: int) -> Callable[[Any], None]:
    def store(value: Any) -> None:
        cells[index] = value

    return store


class RecordedTable(Table[T]):
    def __getitem__(self, index: int) -> T:
        value = super().__getitem__(index)
        self._rec.get(self._first + index)
        return value

    def __setitem__(self, index: int, value: T) -> None:
        super().__getitem__(index)
        self._rec.put(self._first + index, value)
        super().__setitem__(index, value)


@shared
class Sparse(Generic[T]):
    """A table of which few cells are in use: one location, kept sorted by index.

    For tables of hundreds of cells that one lock protects as a whole, such as a
    page-table page: a location a cell would only lengthen every state.
    """

    used: tuple[tuple[int, T], ...]

    def __init__(self) -> None:
        self.used = ()

    def __getitem__(self, index: int) -> T | None:
        for at, value in self.used:
            if at == index:
                return value
        return None

    def __setitem__(self, index: int, value: T | None) -> None:
        rest = [cell for cell in self.used if cell[0] != index]
        if value is not None:
            rest.append((index, value))
        self.used = tuple(sorted(rest, key=_by_first))


def _by_first(cell: tuple[int, Any]) -> int:
    return cell[0]


def observe(value: bool | int) -> bool | int:
    """Say what the running task learns from hidden state: ``value``, nothing else."""
    if RUN.seen is not None:
        RUN.seen.extend(point.encode_live((value,)))
    return value


@shared
class Stamp:
    """A version number of which only "still the same?" is ever asked.

    A counter that only grows would make every state new. What matters is which
    live copies equal the present value, and that is all that is kept: the tasks
    whose copy is still current. A task holds at most one copy of a stamp.
    ``value`` stands for the number itself: it carries the accesses, for races.
    """

    value: int
    current: Hidden[tuple[Task, ...]]
    stale: Hidden[tuple[Task, ...]]

    def __init__(self) -> None:
        self.value = 0
        self.current, self.stale = (), ()

    def bump(self) -> None:
        """The value changes: every copy is stale from now on."""
        self.value = 0
        if self.current:
            both = (*self.current, *self.stale)
            self.current, self.stale = (), tuple(sorted(both, key=_by_index))

    def copy(self) -> None:
        """The running task notes the present value (an older copy of its is gone)."""
        self.value  # noqa: B018  (a read, for race detection)
        self.drop()
        self.current = tuple(sorted((*self.current, curtask()), key=_by_index))

    def same(self) -> bool:
        """Is the running task's copy still the present value?"""
        self.value  # noqa: B018
        if curtask() not in self.current and curtask() not in self.stale:
            raise SharedStateError(f"{curtask()} compares a stamp of which it holds no copy")
        return bool(observe(curtask() in self.current))

    def drop(self) -> None:
        """The running task's copy is dead."""
        me = curtask()
        if me in self.current:
            self.current = tuple(task for task in self.current if task is not me)
        if me in self.stale:
            self.stale = tuple(task for task in self.stale if task is not me)


def _by_index(task: Task) -> int:
    return task.index
