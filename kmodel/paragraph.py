"""What a matrix says of one fix, in a paragraph that is made from its cells alone."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from kmodel.asleep import Asleep
from kmodel.compare import Cell, Judged


def paragraph(cells: list[Cell]) -> str:
    """Of the cells of one fix: where it holds, where it breaks worst and how, how often
    its faults are restarted, where they sleep and what they hold meanwhile."""
    told = [_holds(cells), *_breaks(cells), *_open(cells), *_refaults(cells), *_sleeps(cells)]
    return f"{cells[0].fix} {' '.join(told)}"


def _holds(cells: list[Cell]) -> str:
    good = [cell.situation for cell in cells if cell.worst.verdict.verdict == "holds"]
    if len(good) == len(cells):
        return f"holds in {'all ' if len(good) > 1 else ''}{_situations(len(good))}."
    what = f"holds in {len(good) or 'none'} of {_situations(len(cells))}"
    return f"{what}{_listed(good)}."


def _situations(number: int) -> str:
    return f"{number} situation{'' if number == 1 else 's'}"


def _listed(names: list[str]) -> str:
    return f" ({', '.join(names)})" if names else ""


def _breaks(cells: list[Cell]) -> list[str]:
    broken = [cell for cell in cells if cell.worst.verdict.verdict == "violated"]
    if not broken:
        return []
    worst = min(broken, key=lambda cell: cell.worst.verdict.badness())
    verdict = worst.worst.verdict
    what = f"{verdict.kind}: {verdict.message}"
    told = [f"It is worst in {worst.situation}, {_where(worst)}: {what}."]
    others = [
        f"{', '.join(_kinds(cell))} in {cell.situation}" for cell in broken if cell is not worst
    ]
    return told + ([f"Also {'; '.join(others)}."] if others else [])


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
    for key, value in cell.worst.unit.variant.items():
        if bad == [judged for judged in cell.variants if judged.unit.variant.get(key) == value]:
            return f"with {key}={value}"
    return f"in {len(bad)} of {len(cell.variants)} variants"


def _open(cells: list[Cell]) -> list[str]:
    """What is not known: cells without a verdict, and variants that were not searched to
    their end."""
    undecided = [
        f"{cell.situation} ({_seen(cell)})"
        for cell in cells
        if cell.worst.verdict.verdict == "inconclusive"
    ]
    partly = [
        f"{cell.situation} ({sum(not v.complete for v in cell.variants)} of {len(cell.variants)} "
        "variants)"
        for cell in cells
        if cell.worst.verdict.verdict == "violated" and not all(v.complete for v in cell.variants)
    ]
    told = [f"Undecided in {', '.join(undecided)}."] if undecided else []
    return told + ([f"Not searched to the end in {', '.join(partly)}."] if partly else [])


def _seen(cell: Cell) -> str:
    return f"{max(judged.verdict.evidence.states for judged in cell.variants):,} states seen"


def _refaults(cells: list[Cell]) -> list[str]:
    """How often one fault may be restarted, of the variants that were searched to their end."""
    by: dict[int | None, list[str]] = {}
    for cell in cells:
        most = [m for judged in cell.variants for m in _most(judged)]
        if most:
            by.setdefault(None if None in most else max(filter(None, most), default=0), []).append(
                cell.situation
            )
    words = {
        number: f"at most {number} time{'' if number == 1 else 's'} in"
        for number in sorted(n for n in by if n)
    }
    told = [f"{word} {_and(by[number])}" for number, word in words.items()]
    if None in by:
        told.insert(0, f"without bound in {_and(by[None])}")
    whole = all(judged.complete for cell in cells for judged in cell.variants)
    of = "" if whole else " (of what was searched to its end)"
    if not told:
        return [f"No fault is ever restarted{of}."] if by else []
    if 0 in by:
        told.append(f"never in {_and(by[0])}")
    return [f"A fault is restarted{of} {'; '.join(told)}."]


def _most(judged: Judged) -> list[int | None]:
    counts: dict[str, Any] = judged.verdict.counts
    return [counts["refaults"]] if judged.complete and "refaults" in counts else []


def _sleeps(cells: list[Cell]) -> list[str]:
    """Where faults and daemons sleep in any state that was seen. A daemon's own channel, where
    it waits for work, is left out."""
    every = [one for cell in cells for judged in cell.variants for one in judged.asleep]
    told = []
    for who in sorted({one.who for one in every}, key=lambda who: (who != "fault", who)):
        places = _places(one for one in every if one.who == who and not one.at.endswith(who))
        if places:
            name = "Its faults sleep" if who == "fault" else f"The {who} sleeps"
            told.append(f"{name} on {'; '.join(places)}.")
    return told


def _places(ways: Iterable[Asleep]) -> list[str]:
    found: dict[str, set[str]] = {}
    for one in ways:
        holds = ", ".join(map(_plain, one.holds)) or "nothing"
        found.setdefault(_plain(one.at), set()).add(holds)
    return [f"{at} (holding {' or '.join(sorted(holds))})" for at, holds in sorted(found.items())]


def _plain(name: str) -> str:
    """Without which process it is."""
    return re.sub(r"^(p\d+|other|idle) ", "", name)


def _and(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)
