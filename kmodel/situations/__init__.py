"""Situations: the worlds that a fix is put in.

One small file a situation, found by its name. Each has ``SUMMARY`` (one line),
``SCENARIO`` (the story that plays in it), ``PARAMS`` (the machine's parameters),
``VARIANTS`` (parameters that are tried in every combination; the worst counts) and
``PROPERTIES`` (what is judged, of ``judge.PROPERTIES``).
"""

from __future__ import annotations

import importlib
import itertools
import pkgutil
from typing import Any

import attrs


@attrs.frozen
class Situation:
    """A named world for a fix."""

    name: str
    summary: str
    scenario: str
    params: dict[str, Any]
    variants: dict[str, tuple[Any, ...]]
    properties: tuple[str, ...]

    def combinations(self) -> list[dict[str, Any]]:
        """Every variant of the world, as parameters."""
        names = list(self.variants)
        return [dict(zip(names, values)) for values in itertools.product(*self.variants.values())]


def names() -> list[str]:
    """Every situation there is."""
    return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__))


def load(name: str) -> Situation:
    """The situation called ``name``; ``KeyError`` if there is none."""
    if name not in names():
        raise KeyError(name)
    module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
    return Situation(
        name, module.SUMMARY, module.SCENARIO, module.PARAMS, module.VARIANTS, module.PROPERTIES
    )
