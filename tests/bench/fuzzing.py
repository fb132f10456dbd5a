"""How much a second a fuzzer does, and what of its time is Hypothesis' own."""

from __future__ import annotations

import time
from typing import Any

from kmodel.fuzz.campaign import Campaign
from kmodel.fuzz.target import load, names


def measure(examples: int) -> dict[str, Any]:
    """Each target alone. ``own`` is the time outside of searches and of making bugs smaller: what
    Hypothesis takes to draw an example, and what is kept of it."""
    found = {}
    for name in names():
        made = Campaign([load(name)], examples=examples)
        began = time.process_time()
        made.run()
        seconds, tally = time.process_time() - began, made.tallies[name]
        drawn = tally.examples + tally.repeated
        found[name] = {
            "examples a second": tally.examples / seconds,
            "steps a second": tally.steps / seconds,
            "examples": tally.examples,
            "too large": tally.cut,
            "searching, share": tally.judging / tally.seconds,
            "smaller, share": tally.reducing / tally.seconds,
            "own, ms an example": 1000
            * (seconds * (1 - (tally.judging + tally.reducing) / tally.seconds))
            / drawn,
        }
    return found


def show(found: dict[str, Any]) -> None:
    print("\nfuzzing, per target: examples/s, steps/s, share of searching, Hypothesis' own")
    for name, row in found.items():
        print(
            f"  {name:6} {row['examples a second']:7.1f} {row['steps a second']:10,.0f} "
            f"{100 * row['searching, share']:5.0f} % {row['own, ms an example']:6.2f} ms an example"
        )
