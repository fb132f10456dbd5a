"""Fuzzing: Hypothesis makes up the workload, a search the schedule.

``holds(Workload.of(...))`` is what the tests call that ``kmodel fuzz`` prints.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kmodel.fuzz.paste import holds
    from kmodel.fuzz.workload import Workload

_FROM = {"holds": "paste", "Workload": "workload"}
__all__ = ["Workload", "holds"]


def __getattr__(name: str) -> Any:
    if name in _FROM:
        return getattr(import_module(f"kmodel.fuzz.{_FROM[name]}"), name)
    raise AttributeError(f"module 'kmodel.fuzz' has no attribute {name!r}")
