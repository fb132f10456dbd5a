"""Kinds of what can break, from the worst."""

from __future__ import annotations

from typing import Final

SEVERITY: Final = (
    "scenario-error",
    "nondeterminism",
    "panic",
    "sleep-under-mutex",
    "wait-under-lock",
    "use-after-free",
    "double-free",
    "lock-order",
    "unjustified-kill",
    "invariant",
    "not-linearizable",
    "data-race",
    "leak",
    "deadlock",
    "lost-wakeup",
    "livelock",
    "starvation",
    "left-out",
    "vacuous",
)
"""The worst first. A check may name a kind that is not here: it comes last."""


def severity(kind: str | None) -> int:
    """The place of a kind among all, 0 the worst."""
    return SEVERITY.index(kind) if kind in SEVERITY else len(SEVERITY)
