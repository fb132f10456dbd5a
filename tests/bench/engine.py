"""Measures the engine, in one run: CPU time, medians of interleaved rounds.

    python tests/bench/engine.py [PART ...] [--quick] [--rounds N] [--states N] [--json FILE]

Parts: ``step`` (what a step costs, by accesses), ``aim`` (against bare round robin), ``rates`` (so
much a second), ``growth`` (CPUs and faults raised), ``fuzz`` (examples and steps a second, and what
Hypothesis takes). Compare ratios, not absolute numbers.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parents[2]))

import aim
import fuzzing
import growth
import rates
import step
import story

PARTS: Final = {"step": step, "aim": aim, "rates": rates, "growth": growth, "fuzz": fuzzing}


def measure(part: str, options: argparse.Namespace) -> Any:
    quick = options.quick
    rounds = options.rounds or (1 if quick else 7)
    if part == "step":
        return step.measure(rounds)
    if part == "fuzz":
        return fuzzing.measure(20 if quick else 500)
    if part == "growth":
        cells = [("populate", 2, 1), ("populate", 3, 1)] if quick else growth.every()
        return growth.measure(10_000 if quick else options.states, cells)
    stories = list(story.STORIES)[2:] if quick else list(story.STORIES)
    return (aim if part == "aim" else rates).measure(rounds, stories)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS) + " (all)")
    parser.add_argument("--quick", action="store_true", help="a look: few rounds, small cells")
    parser.add_argument("--rounds", type=int, help="rounds of what is interleaved (7)")
    parser.add_argument("--states", type=int, default=300_000, help="limit of a growth cell")
    parser.add_argument("--json", type=Path, help="also write all figures to this file")
    options = parser.parse_args()
    if unknown := [part for part in options.parts if part not in PARTS]:
        parser.error(f"no part {unknown[0]!r}; there are {', '.join(PARTS)}")
    if (options.rounds is not None and options.rounds < 1) or options.states < 1:
        parser.error("--rounds and --states are at least 1")
    found = {}
    for part in options.parts or PARTS:
        found[part] = measure(part, options)
        PARTS[part].show(found[part])
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
