"""What a matrix says of one fix, in words that are made from its cells alone."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Final

from kmodel.asleep import Asleep
from kmodel.cell import Cell
from kmodel.compare import Judged
from kmodel.hand import PAGES
from kmodel.properties import NO_LIVELOCK

_NEVER: Final = (3, "never")


def paragraph(cells: list[Cell]) -> tuple[str, ...]:
    """Of the cells of one fix, a line for each thing that is asked: where it holds and where it
    is worst; what else breaks where; what is not known; how often a fault is restarted;
    who sleeps where, with which locks."""
    lines = (_holds(cells), _breaks(cells), _open(cells), _restarts(cells), _sleeps(cells))
    return tuple(line for line in lines if line)


def _decided(cells: list[Cell], verdict: str) -> list[Cell]:
    return [cell for cell in cells if cell.worst.verdict.verdict == verdict]


def _holds(cells: list[Cell]) -> str:
    good, broken, undecided = (
        [cell.situation for cell in _decided(cells, verdict)]
        for verdict in ("holds", "violated", "inconclusive")
    )
    said = [f"holds in {len(good)} ({', '.join(good)})"] if good else []
    said += [f"breaks in {len(broken)}"] if broken else []
    said += [f"is undecided in {len(undecided)}"] if undecided else []
    several = "" if len(cells) == 1 else "s"
    told = f"{cells[0].fix}, of {len(cells)} situation{several}: {_and(said)}."
    if not broken:
        return told
    worst = min(_decided(cells, "violated"), key=lambda cell: cell.worst.verdict.badness())
    verdict = worst.worst.verdict
    what = f"{verdict.kind}: {verdict.message}"
    return f"{told} Worst in {worst.situation}, {_where(worst)}: {what}."


def _breaks(cells: list[Cell]) -> str:
    """Each kind, with all cells where any variant shows it."""
    by: dict[str, list[str]] = {}
    for cell in _decided(cells, "violated"):
        for kind in _kinds(cell):
            by.setdefault(kind, []).append(cell.situation)
    told = [f"{kind} in {_and(places)}" for kind, places in by.items()]
    return f"Breaks: {'; '.join(told)}." if told else ""


def _kinds(cell: Cell) -> list[str]:
    """What breaks in any variant, the worst first."""
    bad = [v for judged in cell.variants for v in judged.properties.values() if v.kind]
    return list(dict.fromkeys(str(v.kind) for v in sorted(bad, key=lambda v: v.badness())))


def _where(cell: Cell) -> str:
    """In which of its variants a cell is as bad as it is, by what sets them apart."""
    kind = cell.worst.verdict.kind
    bad = [judged for judged in cell.variants if judged.verdict.kind == kind]
    if len(bad) == len(cell.variants):
        return "whatever the variant" if len(bad) > 1 else "as it is"
    many = f"in {len(bad)} of {len(cell.variants)} variants"
    if not cell.complete:
        return f"so far {many}"
    for key, value in cell.worst.unit.variant.items():
        if bad == [judged for judged in cell.variants if judged.unit.variant.get(key) == value]:
            return f"with {key}={value}"
    return many


def _open(cells: list[Cell]) -> str:
    """Cells without a verdict, and those of which a variant was not searched to its end."""
    without = _decided(cells, "inconclusive")
    undecided = [f"{cell.situation} ({_seen(cell)})" for cell in without if _begun(cell)]
    later = [cell.situation for cell in without if not _begun(cell)]
    partly = [
        f"{cell.situation} ({sum(not v.complete for v in cell.variants)} of {len(cell.variants)})"
        for cell in _decided(cells, "violated")
        if not cell.complete
    ]
    told = [f"undecided in {_and(undecided)}"] if undecided else []
    told += [f"there was no time for {_and(later)}"] if later else []
    worse = "there may be worse in variants that were not searched to the end, of"
    told += [f"{worse} {_and(partly)}"] if partly else []
    return f"Not known: {'; '.join(told)}." if told else ""


def _begun(cell: Cell) -> bool:
    return any(judged.verdict.evidence.states for judged in cell.variants)


def _seen(cell: Cell) -> str:
    """How far it came; searched to the end, why that says nothing."""
    if cell.complete:
        return str(cell.worst.verdict.kind)
    return f"{max(judged.verdict.evidence.states for judged in cell.variants):,} states seen"


def _restarts(cells: list[Cell]) -> str:
    """How often one fault is restarted. What a search saw before it ended early is a lower
    bound; that there is no more, or none at all, takes every variant."""
    by: dict[tuple[int, str], list[str]] = {}
    for cell in filter(_begun, cells):
        by.setdefault(_restarted(cell), []).append(cell.situation)
    if not by:
        return ""
    if list(by) == [_NEVER]:
        return "Restarts: no fault is ever restarted."
    told = [f"{word} in {_and(by[rank, word])}" for rank, word in sorted(by)]
    return f"Restarts of one fault: {'; '.join(told)}."


def _restarted(cell: Cell) -> tuple[int, str]:
    """The words for it, with their place among others."""
    counted = [judged.verdict.counts.get("refaults", 0) for judged in cell.variants]
    if None in counted or any(map(_livelocked, cell.variants)):
        return 0, "without bound"
    most = max(counted)
    times = f"{most} time{'' if most == 1 else 's'}"
    if all(one.complete and "refaults" in one.verdict.counts for one in cell.variants):
        return (1, f"at most {times}") if most else _NEVER
    return (2, f"at least {times}") if most else (4, "not known")


def _livelocked(judged: Judged) -> bool:
    return NO_LIVELOCK in judged.properties and judged.properties[NO_LIVELOCK].kind is not None


def _sleeps(cells: list[Cell]) -> str:
    """Where faults and daemons sleep in any state that was seen. A daemon's own channel, where
    it waits for work, is left out."""
    every = [one for cell in cells for judged in cell.variants for one in judged.asleep]
    told = []
    for who in sorted({one.who for one in every}, key=lambda who: (who != "fault", who)):
        places = _places(one for one in every if one.who == who and not one.at.endswith(who))
        if places:
            told.append(f"{'a fault' if who == 'fault' else who} on {_and(places)}")
    seen = "" if all(cell.complete for cell in cells) else ", as far as seen"
    return f"Asleep{seen}: {'; '.join(told)}." if told else ""


def _places(ways: Iterable[Asleep]) -> list[str]:
    """Each with the locks held there, and the most of each kind that anybody has in hand."""
    found: dict[str, set[str]] = {}
    most: dict[str, Counter[str]] = {}
    for one in ways:
        at = _plain(one.at)
        holds = " and ".join(map(_plain, one.holds)) or "no lock"
        found.setdefault(at, set()).add(holds)
        most[at] = most.get(at, Counter()) | Counter(dict(one.in_hand))
    return [
        f"{at} (holding {_or(holds)}{_in_hand(most[at])})" for at, holds in sorted(found.items())
    ]


def _in_hand(most: Counter[str]) -> str:
    """A pool's items by its name, and pages."""
    told = [
        f"{n} {'page' if (kind, n) == (PAGES, 1) else kind}" for kind, n in sorted(most.items())
    ]
    return f"; in hand up to {_and(told)}" if told else ""


def _or(names: Iterable[str]) -> str:
    return " or ".join(sorted(names))


def _plain(name: str) -> str:
    """Without which process it is."""
    return re.sub(r"^(p\d+|other|idle) ", "", name)


def _and(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)
