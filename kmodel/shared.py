"""State that two CPUs can see, written as ordinary attributes.

``@shared`` on a class makes each annotated field *state*: its reads and writes
are recorded while a search runs, and cost nothing extra otherwise (a recorded
object changes its class, an unrecorded one is plain Python). Three exceptions
are said in the annotation:

    name: Final[str]     a constant, set while the scenario is built
    nfail: Statistic     counted, never read by model code, not part of the state
    owner: Atomic[...]   touched by operations only; never a data race

A *stamp* (compared for equality only) is a ``table.Stamp`` held in a ``Final`` field.
Fields hold whole numbers, strings, enums, shared objects, tasks, ``None``, and tuples
of those; anything mutable is refused. Technique and cost: class swap with
generated properties, 60-100 ns an access when recording.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any, ParamSpec, TypeVar

from kmodel.point import RUN
from kmodel.recorder import Recorder, SharedStateError

P = ParamSpec("P")
T = TypeVar("T")
C = TypeVar("C", bound=type)

Statistic = Annotated[int, "statistic"]
Atomic = Annotated[T, "atomic"]
Hidden = Annotated[T, "hidden"]
"""Book-keeping of the model that no kernel field stands for: part of the state,
no part of a data race, and read by code that tells its task less (``observe``)."""

REGISTER: list[list[Any]] = []
"""The objects of the world that is being built, innermost last."""


def register(thing: Any) -> None:
    if RUN.task is not None:
        raise SharedStateError(
            f"{type(thing).__name__} was made during a step: shared objects are made while "
            "the scenario is built, so that each has the same identity in every schedule. Make "
            "as many as a run can need there, and take them from a Table or a tuple of them"
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
    if hasattr(thing, "attach"):  # a container that knows its own cells
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
    names = {"__module__": cls.__module__, "__qualname__": cls.__qualname__}  # so messages agree
    body: dict[str, Any] = {"_shared": False, "__setattr__": _set_field, **names}
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
