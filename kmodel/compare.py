"""The decision matrix: every fix in every situation, each variant judged, the worst
one in front.

A *unit* of work is one fix in one variant of one situation: a pure function of plain
data, so that units can be judged by several processes with the same result.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
from collections.abc import Iterator
from typing import Any, Final

import attrs

from kmodel import fixes, situations
from kmodel.case import Case
from kmodel.explore.graph import Limits
from kmodel.explore.purity import pure
from kmodel.joint import explore
from kmodel.sampling import sample
from kmodel.verdict import Verdict

SCHEMA: Final = "kmodel.matrix/1"
RANDOM_RUNS: Final = 100
RANDOM_SEED: Final = 0


@attrs.frozen
class Unit:
    """One fix in one variant of one situation, within ``limits``."""

    fix: str
    situation: str
    variant: dict[str, Any]
    given: dict[str, Any]
    limits: Limits


@attrs.frozen
class Judged:
    """A unit's verdict, and one verdict for each property of the situation."""

    unit: Unit
    verdict: Verdict
    properties: dict[str, Verdict]


@attrs.frozen
class Cell:
    """One fix in one situation: its variants, in the order of the situation."""

    fix: str
    situation: str
    variants: tuple[Judged, ...]

    @property
    def worst(self) -> Judged:
        return min(self.variants, key=lambda judged: judged.verdict.badness())

    def on(self, name: str) -> Verdict:
        """The worst verdict on ``name`` of any variant."""
        return min((v.properties[name] for v in self.variants), key=Verdict.badness)

    def document(self) -> dict[str, Any]:
        """The verdict document of the worst variant, with all under ``variants``."""
        found = self.worst.verdict.document()
        found["properties"] = _short({n: self.on(n) for n in self.worst.properties})
        found["variants"] = [
            judged.verdict.document()
            | {"variant": judged.unit.variant, "properties": _short(judged.properties)}
            for judged in self.variants
        ]
        return found


def _short(properties: dict[str, Verdict]) -> dict[str, Any]:
    keys = ("verdict", "kind", "message", "survives", "can_end", "replay", "digest")
    return {name: {key: getattr(v, key) for key in keys} for name, v in properties.items()}


def units(
    chosen: list[str], places: list[str], given: dict[str, Any], limits: Limits
) -> list[Unit]:
    """What there is to judge: each fix in each situation, in every variant of both. A
    parameter that is ``given`` is no variant any more.

    Raises ``UsageError`` for parameters that cannot be.
    """
    found: list[Unit] = []
    for situation in map(situations.load, places):
        for fix in chosen:
            if situation.cannot(fix) is not None:
                continue
            pairs = itertools.product(situation.combinations(), fixes.load(fix).combinations())
            for where, how in pairs:
                variant = {key: given.get(key, value) for key, value in (where | how).items()}
                unit = Unit(fix, situation.name, variant, given, limits)
                if unit not in found:
                    Case.of(situation.scenario, given | variant, fix, situation.name)
                    found.append(unit)
    return found


def left_out(chosen: list[str], where: list[str]) -> list[dict[str, str]]:
    """The cells that cannot be, each with its reason."""
    return [
        {"fix": fix, "situation": situation.name, "reason": reason}
        for situation in map(situations.load, where)
        for fix in chosen
        if (reason := situation.cannot(fix)) is not None
    ]


def judge(unit: Unit) -> Judged:
    """Search, judge, and sample one unit."""
    situation = situations.load(unit.situation)
    with pure():
        case = Case.of(situation.scenario, unit.given | unit.variant, unit.fix, unit.situation)
        judged = explore(case, unit.limits)
        verdict = judged.cell(situation.properties)
        if "interrupted" in verdict.evidence.bound:
            raise KeyboardInterrupt  # half a unit is no unit
        means = sample(case, RANDOM_SEED, RANDOM_RUNS)
    counts = verdict.counts | {"random": means}
    properties = {name: judged.cell((name,)) for name in situation.properties}
    return Judged(unit, attrs.evolve(verdict, counts=counts), properties)


def judge_all(work: list[Unit], jobs: int) -> Iterator[Judged]:
    """Judge each unit, in as many processes, as they finish."""
    if jobs < 2 or len(work) < 2:
        yield from map(judge, work)
        return
    # forkserver: a fork of a process with threads (a progress bar's) may hang
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["kmodel.compare"])
    # leaving the pool ends its processes at once: after Ctrl-C nobody waits for the rest
    with context.Pool(min(jobs, len(work)), _leave_interrupts) as pool:
        yield from pool.imap_unordered(judge, work)


def _leave_interrupts() -> None:
    """Ctrl-C reaches every process of a terminal; it is for the one that shows results."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def cells(judged: list[Judged], work: list[Unit]) -> list[Cell]:
    """Group by fix and situation, in the order asked for; unfinished variants are missing."""
    order = [(unit.fix, unit.situation, unit.variant) for unit in work]
    judged = sorted(
        judged, key=lambda j: order.index((j.unit.fix, j.unit.situation, j.unit.variant))
    )
    found: dict[tuple[str, str], list[Judged]] = {}
    for one in judged:
        found.setdefault((one.unit.fix, one.unit.situation), []).append(one)
    return [Cell(fix, where, tuple(variants)) for (fix, where), variants in found.items()]


def default_jobs() -> int:
    return os.cpu_count() or 1


def everything() -> tuple[list[str], list[str]]:
    """All fixes and all situations."""
    return fixes.names(), situations.names()
