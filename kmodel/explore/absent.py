"""Who is absent: a waker that the model leaves out.

A channel may say so with ``left_out``. Who sleeps there for ever hangs in the model alone:
that says nothing about what is modelled.
"""

from __future__ import annotations

from typing import Final

from kmodel.point import Op

LEFT_OUT: Final = "left-out"
"""The kind of such a hang: no verdict, whatever else hangs with it."""


def absent(op: Op | None) -> str:
    """Who would wake the sleeper that is about to do ``op``, if the model has nobody who does;
    mostly ``""``."""
    return getattr(op[1], "left_out", "") if op is not None and op[0].woken is not None else ""


def unwoken(op: Op | None) -> str:
    """The same of the present state: ``""`` once it is woken."""
    who = absent(op)
    if not who or op is None or op[0].woken is None or op[0].woken(op[1], *op[2]):
        return ""
    return who
