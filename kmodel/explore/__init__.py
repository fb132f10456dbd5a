"""The explorer: runs tasks in every order that matters, and judges what it saw.

A library of its own: it knows points, shared state and worlds (floor 0) and nothing of
the kernel, and works on any tasks written against ``kmodel.point`` and ``kmodel.shared``.
``search``, ``sample`` and ``replay`` are its face; the rest of this package is how.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kmodel.explore.result import Result, Sample, Schedule, replay, sample, search

__all__ = ["Result", "Sample", "Schedule", "replay", "sample", "search"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("kmodel.explore.result"), name)
    raise AttributeError(f"module 'kmodel.explore' has no attribute {name!r}")
