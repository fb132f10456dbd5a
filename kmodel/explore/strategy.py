"""Strategies: who steps next in a sampled run, and in a replayed one."""

from __future__ import annotations

import random
from collections.abc import Callable


class Random:
    """Each enabled task is equally likely, at every step. Same seed, same choices."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def choose(self, enabled: list[int], current: int | None) -> int:
        # random() is the one method whose sequence is promised across versions
        return enabled[int(self._random.random() * len(enabled))]


class RoundRobin:
    """Each task in turn, for a time slice: what a plain scheduler would show, and so the
    baseline. The seed draws who is first and the slice, of 1 to ``LONGEST`` steps."""

    LONGEST = 16

    def __init__(self, seed: int) -> None:
        draw = random.Random(seed).random
        self._slice, self._first = 1 + int(draw() * self.LONGEST), draw()
        self._left = 0

    def choose(self, enabled: list[int], current: int | None) -> int:
        if current in enabled and self._left:
            self._left -= 1
            return current
        self._left = self._slice - 1
        if current is None:
            return enabled[int(self._first * len(enabled))]
        return next((task for task in enabled if task > current), enabled[0])


class ReplayDiverged(Exception):
    """A recorded choice is not possible: the model or the scenario has changed, or
    is not deterministic. ``step`` is where."""

    def __init__(self, step: int, chosen: int, enabled: list[int]) -> None:
        super().__init__(
            f"step {step}: the recorded schedule lets task {chosen} step, and only {enabled} can"
        )
        self.step = step


class Replay:
    """Follow recorded choices, to their end. ``reached`` is called before the step of
    number ``at`` (where the loop of a lasso begins)."""

    def __init__(
        self, choices: bytes, at: int = -1, reached: Callable[[], None] | None = None
    ) -> None:
        self._choices, self._at, self._reached = choices, at, reached
        self._step = 0

    def choose(self, enabled: list[int], current: int | None) -> int:
        step = self._step
        chosen = self._choices[step] if step < len(self._choices) else -1
        if chosen not in enabled:
            raise ReplayDiverged(step, chosen, enabled)
        if step == self._at and self._reached:
            self._reached()
        self._step += 1
        return chosen


STRATEGIES = {
    "random": "each enabled task equally likely at every step",
    "pct": "random priorities, and d-1 random places where they change (Burckhardt 2010)",
    "pos": "random priorities on operations, redrawn where they conflict (Yuan 2018)",
    "fair": "random among those that a fair scheduler allows (Musuvathi, Qadeer 2008)",
    "round-robin": "each task in turn, for a time slice; the baseline",
    "replay": "follow the schedule of a token (kmodel replay)",
}
