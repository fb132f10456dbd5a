"""What happened in a run, in numbers: the observer behind ``counts``."""

from __future__ import annotations

from collections import Counter
from typing import Any

from kmodel.explore.execution import Observer
from kmodel.judge import RESTART, failure, killed


class Counting:
    """An observer that only counts what the verdict's ``counts`` are about."""

    def __init__(self, total: Counter[str] | None = None) -> None:
        self.total: Counter[str] = Counter() if total is None else total
        self.reached: set[str] = set()

    def __call__(
        self, step: int, task: int, cause: int | None, event: str, fields: dict[str, Any]
    ) -> int:
        self.hear(event, fields)
        return 0

    def hear(self, event: str, fields: dict[str, Any]) -> None:
        """Count what was said, whenever and by whomever."""
        if event == RESTART:
            self.total["refaults"] += 1
        elif event == "pool.fail":
            self.total[f"pool: {failure(fields)}"] += 1
        elif event == "daemon.lap":
            self.total["daemon_laps"] += 1
        elif event == "mark":
            self.reached.add(fields["text"])
        elif killed(event, fields) if event == "fault.end" else False:
            self.total["kills"] += 1


def pool_failures(total: Counter[str]) -> dict[str, int]:
    """Those of ``Counting.total``, by pool and cause."""
    return {
        key.removeprefix("pool: "): value
        for key, value in sorted(total.items())
        if key.startswith("pool: ")
    }


def of_kernel(total: Counter[str]) -> dict[str, Any]:
    """``Counting.total`` as the verdict's counts."""
    return {
        "refaults": total["refaults"],
        "pool_failures": pool_failures(total),
        "daemon_laps": total["daemon_laps"],
        "kills": total["kills"],
    }


def both(one: Observer, other: Observer) -> Observer:
    """Tell both; the events are numbered by ``other``."""

    def observe(step: int, task: int, cause: int | None, event: str, fields: dict[str, Any]) -> int:
        one(step, task, cause, event, fields)
        return other(step, task, cause, event, fields)

    return observe
