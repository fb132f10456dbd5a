"""The decision matrix: every fix in every situation, each variant judged, the worst
one in front.

A *unit* of work is one fix in one variant of one situation: a pure function of plain
data, so that units can be judged by several processes with the same result.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, Final

import attrs

from kmodel import fixes, situations, story
from kmodel.asked import Asked
from kmodel.asleep import Asleep, asleep
from kmodel.case import Case
from kmodel.explore.graph import Limits
from kmodel.explore.purity import pure
from kmodel.explore.schedule import parse
from kmodel.explore.tree import Divergence
from kmodel.joint import explore
from kmodel.param import KernelParams
from kmodel.sampling import sample
from kmodel.settings import CANNOT_BE, UsageError
from kmodel.shown import show, undecided
from kmodel.verdict import Finding, Verdict

_MACHINE: Final = frozenset(field.name for field in attrs.fields(KernelParams))
SCHEMA: Final = "kmodel.matrix/1"
RANDOM_RUNS: Final = 100
RANDOM_SEED: Final = 0


@attrs.frozen
class Unit:
    """One fix in one variant of one situation."""

    fix: str
    situation: str
    variant: dict[str, Any]
    given: dict[str, Any]

    def case(self, asked: Asked | None = None) -> Case:
        """What is searched. ``UsageError`` if it cannot be."""
        place = situations.load(self.situation)
        case = Case.of(place.scenario, self.given | self.variant, self.fix, self.situation)
        return attrs.evolve(case, asked=asked)

    def of(self, other: Unit) -> bool:
        """Are both variants of one cell?"""
        return (self.fix, self.situation) == (other.fix, other.situation)

    @property
    def properties(self) -> tuple[str, ...]:
        return situations.load(self.situation).properties


@attrs.frozen
class Judged:
    """A unit's verdict, and one verdict for each property of the situation, from a search
    of up to ``states`` states. ``asked`` is all that they depend on, ``asleep`` who sleeps
    where in it; ``searched`` is the unit whose search it was, if not this one's."""

    unit: Unit
    verdict: Verdict
    properties: dict[str, Verdict]
    states: int
    asked: Asked
    asleep: tuple[Asleep, ...] = ()
    searched: Unit | None = None

    @property
    def complete(self) -> bool:
        return self.verdict.evidence.complete

    @property
    def repeatable(self) -> bool:
        """Did no clock have a part in it? Then the same search ends the same anywhere."""
        return self.complete or self.verdict.evidence.bound == f"{self.states} states"

    def better(self, other: Judged | None) -> bool:
        """Does it say more than ``other`` does?"""
        if other is None or other.verdict.verdict == "inconclusive":
            return True
        return self.repeatable and self.verdict.verdict != "inconclusive"


def units(chosen: list[str], places: list[str], given: dict[str, Any]) -> list[Unit]:
    """What there is to judge: each fix in each situation, in every variant of both. A
    parameter that is ``given`` is no variant any more; one that only the scenarios of other
    situations have is left out.

    Raises ``UsageError`` for parameters that cannot be, and says of each in which situations.
    """
    found: list[Unit] = []
    wrong: dict[str, list[str]] = {}
    loaded = [situations.load(place) for place in places]
    owned = {one.name: _own(one.scenario) for one in loaded}
    for situation in loaded:
        others = frozenset[str]().union(*owned.values()) - owned[situation.name]
        here = {key: value for key, value in given.items() if key not in others}
        for key in [key for key in here if key not in owned[situation.name] | _MACHINE]:
            if elsewhere := _with(key):
                del here[key]
                error = f"{CANNOT_BE}  {key}: no such parameter here; {elsewhere}."
                wrong.setdefault(error, []).append(situation.name)
        for fix in chosen:
            if situation.cannot(fix) is not None:
                continue
            pairs = itertools.product(situation.combinations(), fixes.load(fix).combinations())
            for where, how in pairs:
                variant = {key: here.get(key, value) for key, value in (where | how).items()}
                unit = Unit(fix, situation.name, variant, here)
                if unit in found:
                    continue
                found.append(unit)
                try:
                    case = unit.case()
                    if here:
                        case.build()  # boot may have no room for what was given
                except UsageError as error:
                    wrong.setdefault(str(error), []).append(situation.name)
    if wrong:
        raise UsageError("\n".join(_all_that_is(wrong, places)))
    return found


def _all_that_is(wrong: dict[str, list[str]], places: list[str]) -> Iterator[str]:
    """Each error once; where not all situations have it, with those that do."""
    for error, where in wrong.items():
        here = list(dict.fromkeys(where))
        yield error if here == places else f"In {', '.join(here)}: {error}"


def _own(scenario: str) -> frozenset[str]:
    """The parameters that are the scenario's own."""
    return frozenset(field.name for field in attrs.fields(story.load(scenario).own))


def _with(name: str) -> str:
    """In which situations the scenario has a parameter of that name; nothing if in none."""
    every = map(situations.load, situations.names())
    places = [place.name for place in every if name in _own(place.scenario)]
    return f"there is in {' and '.join(places)}" if places else ""


def left_out(chosen: list[str], where: list[str]) -> list[dict[str, str]]:
    """The cells that cannot be, each with its reason."""
    return [
        {"fix": fix, "situation": situation.name, "reason": reason}
        for situation in map(situations.load, where)
        for fix in chosen
        if (reason := situation.cannot(fix)) is not None
    ]


def judge(unit: Unit, limits: Limits) -> Judged:
    """Search and judge one unit; sample it if the search ended."""
    asked, properties = Asked(), unit.properties
    with pure():
        judged = explore(unit.case(asked), limits)
        verdict = judged.cell(properties)
        if "interrupted" in verdict.evidence.bound:
            raise KeyboardInterrupt  # half a unit is no unit
        each = {name: judged.cell((name,)) for name in properties}
        counts = dict(verdict.counts)
        if judged.graph.complete:
            counts["random"] = sample(judged.found, RANDOM_SEED, RANDOM_RUNS)
        sleeping = asleep(judged.graph)
        asked.searched(judged.graph)
    verdict = attrs.evolve(verdict, counts=counts)
    return Judged(unit, verdict, each, limits.states, asked, sleeping)


def adopt(unit: Unit, judged: Judged) -> Judged:
    """What was found of another unit that answers all that was asked the same, as found of
    this one. The runs that show it are run again, here.

    Raises ``Divergence`` if one of them does something else.
    """
    case, words = unit.case(), dict[str, str]()

    def again(word: str | None) -> str | None:
        if word is not None and word not in words:
            token = attrs.evolve(parse(word), params=case.differing(), fix=case.fix or "")
            if show(case, token) != token.digest:
                raise Divergence(f"not deterministic: {word} is another run of {case.called}")
            words[word] = token.word()
        return None if word is None else words[word]

    def of_this(one: Finding) -> Finding:
        return attrs.evolve(one, replay=again(one.replay))

    def moved(verdict: Verdict) -> Verdict:
        evidence, own = verdict.evidence, case.assumptions
        assumptions = (*own, *evidence.assumptions[len(own) :])
        return attrs.evolve(
            verdict,
            params=case.params,
            fix=case.fix,
            evidence=attrs.evolve(evidence, assumptions=assumptions),
            replay=again(verdict.replay),
            findings=tuple(map(of_this, verdict.findings)),
            excluded=tuple(map(of_this, verdict.excluded)),
        )

    with pure():
        properties = {name: moved(verdict) for name, verdict in judged.properties.items()}
        return attrs.evolve(
            judged,
            unit=unit,
            verdict=moved(judged.verdict),
            properties=properties,
            searched=judged.searched or judged.unit,
        )


def not_begun(unit: Unit) -> Judged:
    """What is known of a unit that there was no time for."""
    none = undecided(unit.case(), "dfs", "", "not begun: no time was left")
    evidence = attrs.evolve(none.evidence, bound="not begun: no time was left")
    verdict = attrs.evolve(none, kind=None, evidence=evidence)
    return Judged(unit, verdict, dict.fromkeys(unit.properties, verdict), 0, Asked())


def everything() -> tuple[list[str], list[str]]:
    """All fixes and all situations."""
    return fixes.names(), situations.names()
