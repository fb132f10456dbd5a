"""Where in the model's code a lock was wanted: witness(4) keeps file and line of each order.

Asked for while a step is run, of the Python stack: the innermost function that is not a
lock's own, nor of the ground that all model code stands on.
"""

from __future__ import annotations

import sys
from typing import Any, Final

ORDER: Final = "witness.order"
"""The event that says in which order locks are wanted."""

OWN: Final = ("kmodel.sync", "kmodel.point", "kmodel.event", "kmodel.world", "kmodel.explore")


def with_site(event: str, fields: dict[str, Any]) -> dict[str, Any]:
    """``fields`` of an event that is being said; of an order of locks also its site, ``at``."""
    return {**fields, "at": site()} if event == ORDER else fields


def site() -> str:
    """Function, file and line that the running task stands in; nothing if that is not known."""
    frame = sys._getframe(1)
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if not module.startswith(OWN):
            code = frame.f_code
            file = code.co_filename.rpartition("/")[2]
            return f"{code.co_qualname} ({file}:{frame.f_lineno})"
        frame = frame.f_back  # type: ignore[assignment]
    return ""
