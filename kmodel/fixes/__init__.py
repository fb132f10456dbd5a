"""Ways out: what the fault path does when ``pmap_enter`` fails.

One small file a fix, found by its name. Each has ``SUMMARY`` (one line, cites the
thread) and ``async def after_failure(kernel, space, va)``: called with no lock
held, after the swap-full test; when it returns, the fault is restarted.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Coroutine
from typing import Any

import attrs

AfterFailure = Callable[[Any, Any, int], Coroutine[Any, Any, None]]


@attrs.frozen
class Fix:
    """A named way out, with one line about it."""

    name: str
    summary: str
    after_failure: AfterFailure


def names() -> list[str]:
    """Every fix there is: the modules of this package, in the order of the thread."""
    found = [module.name for module in pkgutil.iter_modules(__path__)]
    order = {name: rank for rank, name in enumerate(("wait", "lock_retry", "populate"))}
    found.sort(key=lambda name: (order.get(name, len(order)), name))
    return [name.replace("_", "-") for name in found]


def load(name: str) -> Fix:
    """The fix called ``name``; ``KeyError`` if there is none."""
    if name not in names():
        raise KeyError(name)
    module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
    return Fix(name, module.SUMMARY, module.after_failure)
