"""Strategies: who steps next in a sampled run, and in a replayed one."""

from __future__ import annotations

import random


class Random:
    """Each enabled task is equally likely, at every step. Same seed, same choices."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def choose(self, enabled: list[int], current: int | None) -> int:
        # random() is the one method whose sequence is promised across versions
        return enabled[int(self._random.random() * len(enabled))]


class ReplayDiverged(Exception):
    """A recorded choice is not possible: the model or the scenario has changed, or
    is not deterministic. ``step`` is where."""

    def __init__(self, step: int, chosen: int, enabled: list[int]) -> None:
        super().__init__(
            f"step {step}: the recorded schedule lets task {chosen} step, and only {enabled} can"
        )
        self.step = step


class Replay:
    """Follow recorded choices; ``loop`` is then gone round, as often as wanted."""

    def __init__(self, choices: bytes, loop: bytes = b"") -> None:
        self._choices, self._loop = choices, loop
        self._step = 0

    def choose(self, enabled: list[int], current: int | None) -> int:
        step, stem = self._step, len(self._choices)
        if step >= stem and not self._loop:
            raise ReplayDiverged(step, -1, enabled)
        chosen = self._choices[step] if step < stem else self._loop[(step - stem) % len(self._loop)]
        if chosen not in enabled:
            raise ReplayDiverged(step, chosen, enabled)
        self._step += 1
        return chosen


STRATEGIES = {
    "random": "each enabled task equally likely at every step",
    "replay": "follow the schedule of a token (kmodel replay)",
}
