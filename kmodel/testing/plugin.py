"""The pytest plugin: what the command line asks of every ``kmodel.check``.

Found by pytest through its entry point; it loads nothing of kmodel unless asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import pytest

PROFILES: Final = {"quick": 2.0, "ci": 10.0, "night": 600.0}
"""Seconds of each search."""


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
        "--kmodel-replay", metavar="SCHEDULE", help="Run this schedule of one test again."
    )


def pytest_configure(config: pytest.Config) -> None:
    asked: dict[str, Any] = {
        "seconds": PROFILES.get(config.getoption("--kmodel-profile") or "ci"),
        "runs": config.getoption("--kmodel-runs"),
        "seed": config.getoption("--kmodel-seed"),
        "replay": config.getoption("--kmodel-replay"),
    }
    if asked != {"seconds": PROFILES["ci"], "runs": None, "seed": 0, "replay": None}:
        from kmodel.testing import checked

        for name, value in asked.items():
            setattr(checked.CHOSEN, name, value)


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(f"{text} is no number of runs")
    return number


def _seed(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError(f"{text} is no seed")
    return number
