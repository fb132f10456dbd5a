"""Fuzzing: Hypothesis makes up the workload, a search the schedule.

``holds`` and ``play`` are what the files call that ``kmodel fuzz`` writes.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kmodel.fuzz.paste import holds, play
    from kmodel.fuzz.workload import Workload

_FROM = {"holds": "paste", "play": "paste", "Workload": "workload"}
__all__ = ["Workload", "holds", "play"]


def __getattr__(name: str) -> Any:
    if name in _FROM:
        return getattr(import_module(f"kmodel.fuzz.{_FROM[name]}"), name)
    raise AttributeError(f"module 'kmodel.fuzz' has no attribute {name!r}")
