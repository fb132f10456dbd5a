"""Situations: the worlds that a fix is put in.

One small file a situation, found by its name. Each has ``SUMMARY`` (one line),
``SCENARIO`` (the story that plays in it), ``PARAMS`` (the machine's parameters),
``VARIANTS`` (parameters that are tried in every combination; the worst counts) and
``PROPERTIES`` (what is judged, of ``properties.PROPERTIES``). Where some fixes cannot be
in it, ``cannot(fix)`` says why.
"""

from __future__ import annotations

import importlib
import itertools
import pkgutil
from collections.abc import Callable
from functools import cache
from typing import Any, Final

import attrs

THREAD: Final = ("contention",)
"""What the thread's question is about."""

ORDER: Final = (*THREAD, "contention-no-swap", "oom-swap", "oom", "kva", "intrsafe-full")


@attrs.frozen
class Situation:
    """A named world for a fix. ``cannot`` says why a fix cannot be in it, or ``None``."""

    name: str
    summary: str
    scenario: str
    params: dict[str, Any]
    variants: dict[str, tuple[Any, ...]]
    properties: tuple[str, ...]
    cannot: Callable[[str], str | None]

    def first(self) -> dict[str, Any]:
        """All that it sets, in its first variant."""
        return self.params | {name: values[0] for name, values in self.variants.items()}

    def combinations(self) -> list[dict[str, Any]]:
        """Every variant of the world, as parameters."""
        names = list(self.variants)
        return [dict(zip(names, values)) for values in itertools.product(*self.variants.values())]


def names() -> list[str]:
    """Every situation there is, the thread's own and its relatives first."""
    return list(_names())


@cache
def _names() -> tuple[str, ...]:
    found = [module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__)]
    order = {name: rank for rank, name in enumerate(ORDER)}
    return tuple(sorted(found, key=lambda name: (order.get(name, len(order)), name)))


def load(name: str) -> Situation:
    """The situation called ``name``; ``KeyError`` if there is none."""
    if name not in names():
        raise KeyError(name)
    module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
    return Situation(
        name,
        module.SUMMARY,
        module.SCENARIO,
        module.PARAMS,
        module.VARIANTS,
        module.PROPERTIES,
        getattr(module, "cannot", _can),
    )


def _can(fix: str) -> str | None:
    return None
