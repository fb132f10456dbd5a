"""'A step goes from point to point' is sound exactly where there is no data race.

Each program runs as it is and with a point before every single access. Where the
judge of races finds none, the finer points may reach nothing new.
"""

from __future__ import annotations

from collections import Counter

import attrs
import pytest
from enumeration import facts_of, searched
from programs import Program, build, program

from kmodel.explore.graph import Graph, Limits
from kmodel.explore.race import races

PROGRAMS = 500


def obliged_only(seed: int, tries: bool) -> Program:
    """A program without background tasks: those are cut anywhere, so finer points cut
    them at more places, race or no race."""
    made = program(seed, tries=tries)
    return attrs.evolve(made, obliged=(True,) * len(made.tasks))


def both(tried: Program) -> tuple[Graph, Graph]:
    fine = searched(build(tried, fine=True), limits=Limits(states=30_000), batch=2000)
    return searched(build(tried)), fine


def differ(tried: Program) -> tuple[bool, bool]:
    """Is a race reported, and do finer points reach something else?"""
    coarse, fine = both(tried)
    return bool(races(coarse)), fine.complete and facts_of(coarse) != facts_of(fine)


@pytest.mark.parametrize("tries", [False, True])
def test_without_a_race_finer_points_reach_nothing_new(
    tries: bool, fuzz_seed: int, fuzz_scale: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Race-free programs end alike however fine their points are, and racy ones often do
    not, so the test can tell."""
    tally: Counter[str] = Counter()
    for seed in range(fuzz_seed, fuzz_seed + PROGRAMS * fuzz_scale):
        racy, different = differ(obliged_only(seed, tries))
        assert racy or not different, f"program {seed} (tries={tries}): no race, and differs"
        tally[("racy" if racy else "free") + (" differs" if different else "")] += 1
    with capsys.disabled():
        print(f"\n  tries={tries}: {dict(sorted(tally.items()))}")
    assert tally["free"] > PROGRAMS // 4
    assert tally["racy differs"] > PROGRAMS // 20
