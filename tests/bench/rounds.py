"""Rounds that interleave what is compared, so that a machine which slows down slows all of it."""

from __future__ import annotations

import gc
import random
from collections.abc import Callable
from statistics import median

Measured = dict[str, Callable[[], tuple[float, int]]]
"""Name -> something that does work and says how long it took and how much it was."""


def medians(measured: Measured, rounds: int) -> dict[str, float]:
    """Seconds for one unit of each, in rounds that run them in shuffled order. The cycle
    collector stays off meanwhile, as in a search."""
    gc.disable()
    found: dict[str, list[float]] = {name: [] for name in measured}
    order, dice = list(measured), random.Random(1)
    for _ in range(rounds):
        dice.shuffle(order)
        for name in order:
            gc.collect()
            taken, units = measured[name]()
            found[name].append(taken / units)
    return {name: median(times) for name, times in found.items()}
