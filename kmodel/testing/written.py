"""The workload of a state machine as one word of a command line."""

from __future__ import annotations

import json
from typing import Any

from kmodel.testing.smaller import Operation
from kmodel.world import ScenarioError


def written(workload: list[Operation]) -> str | None:
    """JSON; ``None`` where that cannot hold its arguments."""
    try:
        word = json.dumps(workload, separators=(",", ":"))
        return word if read(word) == workload else None
    except (TypeError, ValueError):
        return None


def read(word: str) -> list[Operation]:
    """Raises ``ScenarioError`` for what is no such word."""
    try:
        return [(int(cpu), str(name), dict(_plain(args))) for cpu, name, args in json.loads(word)]
    except (TypeError, ValueError, RecursionError) as error:
        raise ScenarioError(
            f"this is no workload of a state machine: {word[:60]!r}. It looks like "
            '[[0,"push",{"item":1}]].'
        ) from error


def _plain(value: Any) -> Any:
    """JSON has lists where an operation has tuples."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return tuple(map(_plain, value)) if isinstance(value, list) else value
