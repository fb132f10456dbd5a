"""Scenarios: stories in files, with parameters that are checked before anything runs.

A scenario file is Python: a docstring that tells the story and one function marked
``@scenario`` that gets a ``Machine`` (or, for a story without a kernel, a bare ``World``)
and its own parameters. Loading one runs it.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, get_args, get_origin, get_type_hints, overload

import attrs

from kmodel.fixes import Fix
from kmodel.machine import Machine
from kmodel.param import KernelParams
from kmodel.settings import UsageError, did_you_mean
from kmodel.world import ScenarioError, World

Function = Callable[..., None]


@attrs.frozen
class Parameter:
    """A scenario's own parameter, as written in its signature."""

    default: Any
    low: int = 0
    high: int = 1000
    text: str = ""


def parameter(default: Any, low: int = 0, high: int = 1000, text: str = "") -> Any:
    """A parameter of a scenario, with a line that says what it is; a whole number has a
    range."""
    return Parameter(default, low, high, text)


@attrs.frozen
class Scenario:
    """A loaded scenario. ``own`` is an attrs class of its parameters, ``digest`` of its
    file's text; ``name`` is what finds it again (a name or a path). A ``bare`` one asks for
    a ``World`` and gets no kernel. ``machine`` is what the story needs of a machine, unless
    somebody says otherwise; a function there gets those of ``own`` that it names."""

    name: str
    function: Function
    story: str
    own: type
    digest: str
    bare: bool = False
    machine: Mapping[str, Any] = MappingProxyType({})

    @property
    def summary(self) -> str:
        return self.story.strip().splitlines()[0] if self.story.strip() else ""

    def needs(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """What the story needs of a machine when its own parameters are those ``given`` (the
        others as they are by default). Nothing where they cannot be: who checks them says so."""
        own = {f.name: given.get(f.name, f.default) for f in attrs.fields(self.own)}
        cannot = [f.name for f in attrs.fields(self.own) if not _within(f, own[f.name])]
        found: dict[str, Any] = {}
        for name, need in self.machine.items():
            if callable(need):
                asked = {key: own[key] for key in inspect.signature(need).parameters}
                if not any(name in asked for name in cannot):
                    found[name] = need(**asked)
            else:
                found[name] = need
        return found

    def build(
        self, params: dict[str, Any], kernel: KernelParams | None = None, fix: Fix | None = None
    ) -> World:
        """Boot a machine (unless it is ``bare``), play the scenario on it, return the world.

        Raises ``ScenarioError`` if the scenario does.
        """
        try:
            if kernel is None or fix is None:
                with World() as world:
                    self.function(world, **params)
                return world
            machine = Machine(kernel, fix)
            with machine.world:
                self.function(machine, **params)
            return machine.finish()
        except (ScenarioError, UsageError):
            raise
        except (Exception, SystemExit) as error:
            raise ScenarioError(
                f"scenario {self.name} failed while it was being built: "
                f"{type(error).__name__}: {error}{_where(error)}"
            ) from error


@overload
def scenario(function: Function) -> Function: ...
@overload
def scenario(**machine: Any) -> Callable[[Function], Function]: ...


def scenario(
    function: Function | None = None, **machine: Any
) -> Function | Callable[[Function], Function]:
    """Mark the function of a scenario file that builds the scenario. In brackets stand
    the machine's parameters without which there is no story: ``@scenario(km_lowat=1)``. One
    that depends on the story's own is a function of those:
    ``@scenario(anon_stock=lambda cpus: 4 * cpus)``."""

    def mark(function: Function) -> Function:
        function.is_scenario, function.machine = True, machine  # type: ignore[attr-defined]
        return function

    return mark if function is None else mark(function)


def folder() -> Path:
    """Where the packaged scenarios are: in the wheel, or beside the package."""
    here = Path(__file__).parent
    packaged = here / "_scenarios"
    return packaged if packaged.is_dir() else here.parent / "scenarios"


def names() -> list[str]:
    """Every packaged scenario."""
    return sorted(path.stem for path in folder().glob("*.py") if not path.stem.startswith("_"))


def load(name: str) -> Scenario:
    """A packaged scenario by name, or one's own by path. ``UsageError`` if neither."""
    if name in names():
        path = folder() / f"{name}.py"
    elif name.endswith(".py") or "/" in name:
        path = Path(name)
        if not path.is_file():
            raise UsageError(_missing(name, path))
    else:
        raise UsageError(f"No scenario {name!r}.{did_you_mean(name, names())}")
    return _read(name, path)


def _missing(name: str, path: Path) -> str:
    said = f"No scenario file {name}: there is no such file."
    if ".kmodel" not in path.parts or path.is_absolute():
        return said
    return (
        f"{said} Looked for in {Path.cwd()}: go to the folder where 'kmodel fuzz' ran, or bring "
        "along the file that it wrote there."
    )


def _read(name: str, path: Path) -> Scenario:
    try:
        text = path.read_bytes()
    except OSError as error:
        raise UsageError(f"Cannot read scenario {path}: {error.strerror}.") from error
    return _loaded(name, path, text)


@lru_cache(maxsize=64)
def _loaded(name: str, path: Path, text: bytes) -> Scenario:
    """The same text is loaded once: a matrix has hundreds of cases of a few stories."""
    module_name = f"kmodel_scenario_{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} is not a Python file: a scenario's name ends in .py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise ScenarioError(
            f"scenario file {path} cannot be loaded: {type(error).__name__}: {error}{_where(error)}"
        ) from error
    marked: list[Any] = [f for f in vars(module).values() if getattr(f, "is_scenario", False)]
    if len(marked) != 1:
        raise ScenarioError(
            f"scenario file {path} has {len(marked)} functions marked @scenario, and needs one: "
            "put '@scenario' above the function that takes the machine"
        )
    digest = hashlib.blake2b(text, digest_size=8).hexdigest()
    story = inspect.getdoc(module) or ""
    own = _own_class(path, marked[0])
    return Scenario(name, marked[0], story, own, digest, _is_bare(marked[0]), marked[0].machine)


def _within(field: attrs.Attribute[Any], value: Any) -> bool:
    """Is it a value that a whole-number parameter may have?"""
    low, high = field.metadata.get("range", (0, 0))
    return type(value) is int and low <= value <= high


def _is_bare(function: Function) -> bool:
    """Does its first parameter ask for a ``World``?"""
    first = next(iter(inspect.signature(function).parameters), "")
    return get_type_hints(function).get(first) is World


def _where(error: BaseException) -> str:
    """The last line of the user's file in the traceback, if there is one."""
    place, trace = "", error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if "kmodel_scenario" in trace.tb_frame.f_globals.get("__name__", ""):
            place = f" ({Path(file).name}, line {trace.tb_lineno})"
        trace = trace.tb_next
    return place


def _own_class(path: Path, function: Function) -> type:
    """An attrs class with one field for each parameter after the machine."""
    hints = get_type_hints(function)
    fields: dict[str, Any] = {}
    for name, given in list(inspect.signature(function).parameters.items())[1:]:
        if given.default is inspect.Parameter.empty:
            raise ScenarioError(
                f"scenario file {path}: parameter {name!r} has no default; write "
                f"{name}: int = 1, or {name}: int = parameter(1, low, high, 'what it is')"
            )
        fields[name] = _field(path, name, hints.get(name), given.default)
    own: type = attrs.make_class("Own", fields, frozen=True, kw_only=True)
    return own


def _field(path: Path, name: str, hint: Any, default: Any) -> Any:
    said = default if isinstance(default, Parameter) else Parameter(default)
    hint = hint or type(said.default)
    if get_origin(hint) is Literal:
        validator: Any = attrs.validators.in_(get_args(hint))
        meta: dict[str, Any] = {"options": get_args(hint)}
        hint = type(said.default)
    elif hint is int:
        validator = [attrs.validators.ge(said.low), attrs.validators.le(said.high)]
        # a plain default says nothing about what may be: it is no size to make smaller
        meta = {"range": (said.low, said.high), "size": isinstance(default, Parameter)}
    elif hint in (bool, str):
        validator, meta = None, {}
    else:
        raise ScenarioError(
            f"scenario file {path}: parameter {name!r} has type {hint}; use int, bool, str or a "
            "Literal of strings"
        )
    meta["text"] = said.text
    return attrs.field(default=said.default, type=hint, validator=validator, metadata=meta)
