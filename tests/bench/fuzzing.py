"""How much a second a fuzzer does, and what of its time is Hypothesis' own."""

from __future__ import annotations

import time
from typing import Any, Final

from kmodel.fuzz.campaign import Campaign
from kmodel.fuzz.target import load, names

WARM: Final = 5
"""Examples of a target before its time is taken: what is imported and compiled once is nobody's
share."""


def measure(examples: int) -> dict[str, Any]:
    """Each target alone. ``own`` is the time outside of searches and of making bugs smaller: what
    Hypothesis takes to draw an example, and what is kept of it."""
    found = {}
    for name in names():
        Campaign([load(name)], seed=1, examples=WARM).run()
        made = Campaign([load(name)], examples=examples)
        began = time.process_time()
        made.run()
        seconds, tally = time.process_time() - began, made.tallies[name]
        searching, smaller = tally.judging / tally.seconds, tally.reducing / tally.seconds
        own = 1 - searching - smaller
        found[name] = {
            "examples a second": tally.examples / seconds,
            "steps a second": tally.steps / seconds,
            "examples": tally.examples,
            "too large": tally.cut,
            "searching, share": searching,
            "smaller, share": smaller,
            "own, share": own,
            "own, ms an example": 1000 * seconds * own / tally.drawn,
        }
    return found


def show(found: dict[str, Any]) -> None:
    print("\nfuzzing, per target (Hypothesis: all that is neither a search nor making smaller)")
    print("         examples/s    steps/s  searching  making smaller  Hypothesis   ms an example")
    for name, row in found.items():
        print(
            f"  {name:6} {row['examples a second']:10.1f} {row['steps a second']:10,.0f} "
            f"{row['searching, share']:10.0%} {row['smaller, share']:15.0%} "
            f"{row['own, share']:11.1%} {row['own, ms an example']:15.2f}"
        )
