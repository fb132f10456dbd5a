"""Scenarios: stories in files, with parameters that are checked before anything runs.

A scenario file is Python: a docstring that tells the story and one function marked
``@scenario`` that gets a ``Machine`` and its own parameters. Loading one runs it.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

import attrs
import cattrs

from kmodel.fixes import Fix
from kmodel.machine import Machine
from kmodel.param import KernelParams, contradictions
from kmodel.world import ScenarioError, World

Function = Callable[..., None]


class UsageError(Exception):
    """The user asked for something that is not there or not possible; one paragraph."""


@attrs.frozen
class Parameter:
    """A scenario's own parameter, as written in its signature."""

    default: Any
    low: int = 0
    high: int = 1000
    text: str = ""


def parameter(default: int, low: int, high: int, text: str = "") -> Any:
    """A whole-number parameter of a scenario, with its range."""
    return Parameter(default, low, high, text)


@attrs.frozen
class Scenario:
    """A loaded scenario. ``own`` is an attrs class of its parameters, ``digest`` of its
    file's text; ``name`` is what finds it again (a name or a path)."""

    name: str
    function: Function
    story: str
    own: type
    digest: str

    @property
    def summary(self) -> str:
        return self.story.strip().splitlines()[0] if self.story.strip() else ""

    def build(self, params: dict[str, Any], kernel: KernelParams, fix: Fix) -> World:
        """Boot a machine, play the scenario on it, return the world.

        Raises ``ScenarioError`` if the scenario does.
        """
        try:
            machine = Machine(kernel, fix)
            with machine.world:
                self.function(machine, **params)
            return machine.finish()
        except ScenarioError:
            raise
        except Exception as error:
            raise ScenarioError(
                f"scenario {self.name} failed while it was being built: "
                f"{type(error).__name__}: {error}{_where(error)}"
            ) from error


def scenario(function: Function) -> Function:
    """Mark the function of a scenario file that builds the scenario."""
    function.is_scenario = True  # type: ignore[attr-defined]
    return function


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
            raise UsageError(f"No scenario file {name}: there is no such file.")
    else:
        raise UsageError(f"No scenario {name!r}.{did_you_mean(name, names())}")
    return _read(name, path)


def did_you_mean(word: str, options: list[str]) -> str:
    """A hint to add to "no such thing": the nearest options, or all of them."""
    near = difflib.get_close_matches(word, options, n=3, cutoff=0.5)
    if near:
        return f" Did you mean {' or '.join(map(repr, near))}?"
    return f" There are: {', '.join(options)}." if options else ""


def _read(name: str, path: Path) -> Scenario:
    try:
        text = path.read_bytes()
    except OSError as error:
        raise UsageError(f"Cannot read scenario {path}: {error.strerror}.") from error
    module_name = f"kmodel_scenario_{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} is not a Python file: a scenario's name ends in .py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ScenarioError(
            f"scenario file {path} cannot be loaded: {type(error).__name__}: {error}{_where(error)}"
        ) from error
    marked = [f for f in vars(module).values() if getattr(f, "is_scenario", False)]
    if len(marked) != 1:
        raise ScenarioError(
            f"scenario file {path} has {len(marked)} functions marked @scenario, and needs one: "
            "put '@scenario' above the function that takes the machine"
        )
    digest = hashlib.blake2b(text, digest_size=8).hexdigest()
    story = inspect.getdoc(module) or ""
    return Scenario(name, marked[0], story, _own_class(path, marked[0]), digest)


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
        meta = {"range": (said.low, said.high)}
    elif hint in (bool, str):
        validator, meta = None, {}
    else:
        raise ScenarioError(
            f"scenario file {path}: parameter {name!r} has type {hint}; use int, bool, str or a "
            "Literal of strings"
        )
    meta["text"] = said.text
    return attrs.field(default=said.default, type=hint, validator=validator, metadata=meta)


def structure(loaded: Scenario, given: dict[str, Any]) -> tuple[dict[str, Any], KernelParams]:
    """Split ``given`` into the scenario's own parameters and the machine's, checked.

    Raises ``UsageError`` naming every wrong one at once.
    """
    own = {f.name: f for f in attrs.fields(loaded.own)}
    kernel = {f.name: f for f in attrs.fields(KernelParams)}
    wrong: list[str] = []
    values: list[Any] = []
    for known, cls in ((own, loaded.own), (kernel, KernelParams)):
        part = {key: value for key, value in given.items() if key in known}
        values.append(_instance(cls, part, wrong))
    for key in given:
        if key not in own and key not in kernel:
            hint = did_you_mean(key, [*own, *kernel])
            wrong.append(f"{key}: no such parameter.{hint}")
    if values[1] is not None:
        wrong += contradictions(values[1])
    if wrong:
        raise UsageError("Parameters that cannot be:\n  " + "\n  ".join(wrong))
    return attrs.asdict(values[0]), values[1]


def _instance(cls: Any, part: dict[str, Any], wrong: list[str]) -> Any:
    """``part`` as a ``cls``; what is wrong with it goes to ``wrong``, all of it."""
    before = len(wrong)
    made: Any = None
    with attrs.validators.disabled():
        try:
            made = _converter().structure(part, cls)
        except cattrs.ClassValidationError as error:
            wrong += [_tidy(text) for text in cattrs.transform_error(error, format_exception=_say)]
    for field in attrs.fields(cls):
        value = part.get(field.name, field.default)
        if field.validator is not None and type(value) is type(field.default):
            try:
                field.validator(made, field, value)
            except (ValueError, TypeError):
                wrong.append(f"{field.name}: {value!r} {_allowed(field)}")
    return made if len(wrong) == before else None


def _allowed(field: attrs.Attribute[Any]) -> str:
    if "range" in field.metadata:
        low, high = field.metadata["range"]
        return f"is out of range: {low} to {high}"
    return f"is none of: {', '.join(map(str, field.metadata['options']))}"


def _converter() -> cattrs.Converter:
    """cattrs without its coercions: ``"3"`` is no number and ``1`` no truth value."""
    converter = cattrs.Converter(forbid_extra_keys=True)
    for cls in (int, bool, str):
        converter.register_structure_hook(cls, _strict)
    return converter


_NAMES: Final = {int: "a whole number", bool: "true or false", str: "a word"}


def _strict(value: Any, cls: type) -> Any:
    if type(value) is not cls:
        raise TypeError(f"{value!r} is not {_NAMES[cls]}")
    return value


def _say(error: BaseException, _: type | None) -> str:
    return str(error)


def _tidy(text: str) -> str:
    """cattrs says ``problem @ $.name``; say ``name: problem``."""
    problem, _, place = text.rpartition(" @ ")
    return f"{place.removeprefix('$.')}: {problem}" if problem else text


def parse_sets(sets: tuple[str, ...]) -> dict[str, Any]:
    """``K=V`` words to values: numbers (also 0x...), true, false, else words."""
    given: dict[str, Any] = {}
    for word in sets:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise UsageError(f"--set {word}: write it as NAME=VALUE, for example --set faults=2.")
        given[key] = _literal(value)
    return given


def _literal(text: str) -> Any:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return int(text, 0)
    except ValueError:
        return text
