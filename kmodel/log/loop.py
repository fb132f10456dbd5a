"""The loop of a run that a token tells of: a livelock, or a lost wakeup while others go round."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs


@attrs.frozen
class Loop:
    """Steps ``first`` up to and without ``stop``; in ``stop`` all is as it was in ``first``."""

    first: int
    stop: int

    @property
    def begins(self) -> str:
        return f"the loop begins at step {self.first} ({self.stop - self.first} steps)"

    @property
    def ends(self) -> str:
        return f"and so on for ever: all is again what it was at step {self.first}"

    def marks(self) -> dict[int, str]:
        """By the step that comes next, what to say before it."""
        return {self.first: f"--- {self.begins}", self.stop: f"--- {self.ends}"}


def loop_of(header: Mapping[str, Any]) -> Loop | None:
    """The loop of the run with this header; ``None`` if it has no token, or none with a loop."""
    from kmodel.explore.schedule import TokenError, parse

    word = header.get("token")
    if not isinstance(word, str):
        return None
    try:
        stem, turn = parse(word).schedule()
    except TokenError:
        return None
    return Loop(len(stem), len(stem) + len(turn)) if turn else None
