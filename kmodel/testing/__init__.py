"""For tests of one's own code: ``check`` and ``ConcurrentStateMachine``."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kmodel.testing.checked import check
    from kmodel.testing.failed import Broken, Undecided, Wrong
    from kmodel.testing.machine import ConcurrentStateMachine, concurrent

_FROM = {
    "Broken": "failed",
    "ConcurrentStateMachine": "machine",
    "Undecided": "failed",
    "Wrong": "failed",
    "check": "checked",
    "concurrent": "machine",
}
__all__ = ["Broken", "ConcurrentStateMachine", "Undecided", "Wrong", "check", "concurrent"]


def __getattr__(name: str) -> Any:
    if name in _FROM:
        return getattr(import_module(f"kmodel.testing.{_FROM[name]}"), name)
    raise AttributeError(f"module 'kmodel.testing' has no attribute {name!r}")
