"""The pytest plugin: what the command line asks of every test of kmodel's.

Found by pytest through its entry point; it loads nothing of kmodel unless asked for.
"""

from __future__ import annotations

import os
import re
from argparse import ArgumentTypeError
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import pytest

PROFILES: Final = {"quick": 2.0, "ci": 10.0, "night": 600.0}
"""Seconds of each search."""


WHERE: Final[dict[str, Path]] = {}
"""``root``: what the names of tests begin from; ``begun``: where pytest was called."""


def called(test: str) -> str:
    """The test as one calls it from where pytest was called. ``test`` is its name (nodeid)."""
    if not WHERE:
        return test
    path, colons, name = test.partition("::")
    return os.path.relpath(WHERE["root"] / path, WHERE["begun"]) + colons + name


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("kmodel", "kmodel: tests that explore schedules")
    group.addoption(
        "--kmodel-profile",
        choices=list(PROFILES),
        help="How long each search may take: quick 2 s, ci 10 s (default), night 10 min.",
    )
    group.addoption("--kmodel-runs", type=_count, metavar="N", help="Sample N runs instead.")
    group.addoption(
        "--kmodel-seed", type=_seed, default=0, metavar="N", help="Of the first sampled run."
    )
    group.addoption(
        "--kmodel-replay",
        type=_schedule,
        metavar="SCHEDULE",
        help="Run this schedule of one test again: what its failure says after this option.",
    )


def pytest_configure(config: pytest.Config) -> None:
    WHERE.update(root=config.rootpath, begun=config.invocation_params.dir)
    asked: dict[str, Any] = {
        "seconds": PROFILES.get(config.getoption("--kmodel-profile") or "ci"),
        "runs": config.getoption("--kmodel-runs"),
        "seed": config.getoption("--kmodel-seed"),
        "replay": config.getoption("--kmodel-replay"),
    }
    if asked != {"seconds": PROFILES["ci"], "runs": None, "seed": 0, "replay": None}:
        from kmodel.testing.chosen import CHOSEN

        for name, value in asked.items():
            setattr(CHOSEN, name, value)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is no number of runs: it is 1 or more")
    return int(text)


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise ArgumentTypeError(f"{text!r} is no seed: it is 0 or more")
    return int(text)


def _schedule(text: str) -> str:
    if not re.fullmatch(r"(\[.*\] )?\d+(,\d+)*(\(\d+(,\d+)*\))?", text, re.ASCII):
        raise ArgumentTypeError(f"{text!r} is no schedule: it looks like 0,0,1 or 0,0,1(0,1)")
    return text
