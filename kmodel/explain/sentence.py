"""What is told of a log, a sentence at a time: what happens again is told once, and counted."""

from __future__ import annotations

import re
from typing import Final

import attrs

MOST: Final = 400
"""Different sentences that are kept; a run of more is told by those that came first."""

AGAIN: Final = 3
"""Steps named of what happens again."""


@attrs.define
class Sentence:
    """``weight`` says how much it matters: what matters least is left out first."""

    step: int
    weight: int
    text: str
    again: list[int] = attrs.field(factory=list)
    count: int = 0

    def __str__(self) -> str:
        if not self.count:
            return self.text
        steps = ", ".join(map(str, self.again))
        rest = self.count - len(self.again)
        times = "" if not rest else f" and {rest:,} time{'s' if rest > 1 else ''} more"
        return f"{self.text} So again at step{'s' if self.count > 1 else ''} {steps}{times}."


class Sentences:
    """Sentences that differ in more than their numbers. ``lost`` were too many."""

    def __init__(self) -> None:
        self._kept: dict[str, Sentence] = {}
        self.lost = 0

    def __len__(self) -> int:
        return len(self._kept)

    def say(self, step: int, weight: int, text: str) -> None:
        key = re.sub(r"\b\d+\b", "#", text)
        known = self._kept.get(key)
        if known is not None:
            known.count += 1
            if len(known.again) < AGAIN:
                known.again.append(step)
        elif len(self._kept) < MOST:
            self._kept[key] = Sentence(step, weight, text)
        else:
            self.lost += 1

    def in_order(self) -> list[Sentence]:
        return sorted(self._kept.values(), key=lambda sentence: sentence.step)
