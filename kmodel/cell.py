"""A cell of the matrix: a fix in a situation, with all its variants, and what they say
together."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

import attrs

from kmodel import fixes, situations, story
from kmodel.compare import Judged, Unit
from kmodel.properties import ENDS, NO_LIVELOCK
from kmodel.verdict import Finding, Verdict

BOUNDS: Final = (
    *("cpus", "faults", "levels", "npages", "swap_pages", "swap_used", "kva_pages", "km_pages"),
    *("vp_stock", "pted_stock", "pool_cache"),
)
"""What a verdict is complete within, of every story that has it: CPUs and faults, table levels,
memory and swap, kernel addresses, pools. The rest are those that the situation, the fix or
the user set."""


@attrs.frozen
class Cell:
    """One fix in one situation: its variants, in the order of the situation."""

    fix: str
    situation: str
    variants: tuple[Judged, ...]

    @property
    def worst(self) -> Judged:
        return min(self.variants, key=lambda judged: judged.verdict.badness())

    @property
    def complete(self) -> bool:
        """Was every variant searched to its end?"""
        return all(judged.complete for judged in self.variants)

    @property
    def headline(self) -> str:
        """What the worst variant shows. ``>=`` where a search that did not end may yet show
        something worse."""
        verdict = self.worst.verdict
        return at_least(verdict.kind or verdict.verdict, verdict, self.complete)

    @property
    def bounds(self) -> dict[str, Any]:
        """The parameters that the verdict is complete within, but for those that vary."""
        unit, params = self.worst.unit, self.worst.verdict.params
        set_by = (situations.load(self.situation).params, fixes.load(self.fix).params, unit.given)
        names = dict.fromkeys([*BOUNDS, *(name for some in set_by for name in some)])
        return {n: params[n] for n in names if n in params and n not in unit.variant}

    @property
    def set_by_hand(self) -> str:
        """What the user made of the machine: then what the situation says of it may not be so."""
        own = {
            f.name for f in attrs.fields(story.load(situations.load(self.situation).scenario).own)
        }
        given = {k: v for k, v in self.worst.unit.given.items() if k not in own}
        told = ", ".join(f"{key}={value}" for key, value in given.items())
        return told and f"set: {told} (what is said of {self.situation} is of the defaults)"

    @property
    def kernels(self) -> dict[str, list[Any]]:
        """The variants of the kernel and of the situation: each parameter with its values."""
        every = [judged.unit.variant for judged in self.variants]
        return {name: list(dict.fromkeys(one[name] for one in every)) for name in every[0]}

    @property
    def assumed(self) -> list[str]:
        """What the verdicts rest on; what only some variants assume comes last, together."""
        every = [judged.verdict.evidence.assumptions for judged in self.variants]
        of_all = [one for one in every[0] if all(one in each for each in every)]
        some = list(dict.fromkeys(one for each in every for one in each if one not in of_all))
        return of_all + ([f"{' or '.join(some)}, as the variant says"] if some else [])

    def others(self, of: str) -> list[tuple[Finding, list[Judged]]]:
        """What else is broken, the worst first: of all variants their ``findings``, or what is
        ``excluded``, each with the variants that show it. What decides a property is none, and
        a loop of restarts that is also a hang is told of once."""
        told = [self.on(name) for name in self.worst.properties if of == "findings"]
        shown = {(one.kind, one.property) for one in told}
        shown |= {(kind, ENDS) for kind, name in shown if name == NO_LIVELOCK}
        found: dict[Any, tuple[Finding, list[Judged]]] = {}
        for judged in self.variants:
            every = [getattr(v, of) for v in (judged.verdict, *judged.properties.values())]
            for one in itertools.chain(*every):
                key = one.kind, one.property, one.culprits or one.message
                if (one.kind, one.property) not in shown:
                    _, who = found.setdefault(key, (one, []))
                    who += [judged] if judged not in who else []
        return sorted(found.values(), key=lambda pair: pair[0].rank())

    def on(self, name: str) -> Verdict:
        """The worst verdict on ``name`` of any variant."""
        return min((v.properties[name] for v in self.variants), key=Verdict.badness)

    def document(self) -> dict[str, Any]:
        """The verdict document of the worst variant, with all under ``variants``."""
        found = self.worst.verdict.document()
        found["complete"] = self.complete
        found["bounds"] = self.bounds
        found["properties"] = _short({n: self.on(n) for n in self.worst.properties})
        found["variants"] = [
            judged.verdict.document()
            | {
                "variant": judged.unit.variant,
                "complete": judged.complete,
                "states": judged.verdict.evidence.states,
                "seconds": judged.verdict.evidence.seconds,
                "properties": _short(judged.properties),
                "asleep": [one.document() for one in judged.asleep],
            }
            | _searched(judged.searched)
            for judged in self.variants
        ]
        return found


def _searched(other: Unit | None) -> dict[str, Any]:
    """Whose search it was, where nothing that was asked tells that unit from this one."""
    return {} if other is None else {"searched": {"fix": other.fix, "variant": other.variant}}


def stops(variants: Iterable[Judged]) -> list[tuple[str, int]]:
    """What ended searches early, each with the number of ``variants``. When their common time
    was over, how much of it a variant had had says nothing."""
    why = Counter(_stop(one.verdict.evidence.bound) for one in variants if not one.complete)
    return list(why.items())


def _stop(bound: str) -> str:
    if re.search(r"\d s \(|out of time", bound):
        return "no time was left"
    return re.sub(r"^(\d+) states", lambda found: f"{int(found[1]):,} states", bound)


def at_least(word: str, verdict: Verdict, complete: bool) -> str:
    """What was found broken, and may be worse if not all was searched."""
    return word if complete or verdict.verdict != "violated" else f">= {word}"


def _short(properties: dict[str, Verdict]) -> dict[str, Any]:
    keys = ("verdict", "kind", "message", "survives", "can_end", "replay", "digest")
    return {name: {key: getattr(v, key) for key in keys} for name, v in properties.items()}


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
