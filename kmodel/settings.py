"""What a user sets: words to values, and values to checked parameters, every error at once."""

from __future__ import annotations

import difflib
from functools import cache
from typing import Any, Final

import attrs
import cattrs

from kmodel.param import KernelParams, contradictions

CANNOT_BE: Final = "Parameters that cannot be:\n"


class UsageError(ValueError):
    """The user asked for something that is not there or not possible; one paragraph."""


def did_you_mean(word: str, options: list[str]) -> str:
    """A hint to add to "no such thing": the nearest options, or all of them."""
    near = difflib.get_close_matches(word, options, n=3, cutoff=0.6)
    if near:
        return f" Did you mean {' or '.join(map(repr, near))}?"
    return f" There are: {', '.join(options)}." if options else ""


def structure(
    own_class: Any, given: dict[str, Any], machine: bool = True
) -> tuple[dict[str, Any], KernelParams]:
    """Split ``given`` into the scenario's own parameters and those of the ``machine``, if
    there is one, checked; it must have room for one process.

    Raises ``UsageError`` naming every wrong one at once.
    """
    own = {f.name: f for f in attrs.fields(own_class)}
    kernel = {f.name: f for f in attrs.fields(KernelParams)} if machine else {}
    wrong: list[str] = []
    values: list[Any] = []
    for known, cls in ((own, own_class), (kernel, KernelParams)):
        part = {key: value for key, value in given.items() if key in known}
        values.append(_instance(cls, part, wrong))
    for key in given:
        if key not in own and key not in kernel:
            hint = did_you_mean(key, [*own, *kernel])
            wrong.append(f"{key}: no such parameter.{hint}")
    right = {k: v for k, v in given.items() if k in kernel and not any(_about(k, w) for w in wrong)}
    wrong += contradictions(KernelParams(**right), processes=int(machine))
    if wrong:
        raise UsageError(CANNOT_BE + "  " + "\n  ".join(wrong))
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


def _about(name: str, problem: str) -> bool:
    return problem.startswith(f"{name}:")


def _allowed(field: attrs.Attribute[Any]) -> str:
    if "range" in field.metadata:
        low, high = field.metadata["range"]
        return f"is out of range: {low} to {high}"
    return f"is none of: {', '.join(map(str, field.metadata['options']))}"


@cache
def _converter() -> cattrs.Converter:
    """cattrs without its coercions: ``"3"`` is no number and ``1`` no truth value. One for all:
    what it learns of a class it writes as code, which takes as long as all the rest."""
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
    """``K=V`` words to values: numbers (also 0x...), true, false, else words. ``UsageError``
    names all that are none."""
    parts = [word.partition("=") for word in sets]
    wrong = [f"--set {''.join(part)}" for part in parts if not (part[0] and part[1])]
    if wrong:
        raise UsageError(f"{', '.join(wrong)}: write it as NAME=VALUE, for example --set faults=2.")
    return {key: _literal(value) for key, _, value in parts}


def _literal(text: str) -> Any:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return int(text, 0)
    except ValueError:
        return text
