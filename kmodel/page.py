"""The decision matrix as one HTML file: the table, and behind each cell its story.

It asks nothing of any network and runs no script: a cell's story is the target of its link.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.resources import files
from typing import Any, Final

from kmodel import fixes, situations
from kmodel.compare import Cell, Judged
from kmodel.explain.ran import Ran
from kmodel.explain.story import story
from kmodel.explore.execution import run
from kmodel.explore.moment import Watch
from kmodel.explore.purity import pure
from kmodel.explore.schedule import Token, parse
from kmodel.log.lettering import markup as text
from kmodel.log.picture import DEFS, STYLE, Picture
from kmodel.log.timeline import timeline
from kmodel.paragraph import paragraph
from kmodel.properties import PROPERTIES
from kmodel.shown import Shown
from kmodel.verdict import Finding, Verdict

TITLE: Final = "kmodel: the decision matrix"
MOST: Final = 400
"""Steps of a picture; with more it says that it is cut."""
SHARED: Final = f"<style>{STYLE}</style>{DEFS}"
"""What all pictures begin with; a page has it once, and where it is not hidden."""


def page(found: list[Cell], cannot: list[dict[str, str]]) -> str:
    """The whole file."""
    rows = list(dict.fromkeys(cell.fix for cell in found))
    slots = {
        "TITLE": TITLE,
        "PICTURES": f'<svg class="shared" aria-hidden="true">{SHARED}</svg>',
        "TABLE": _table(found, rows, cannot),
        "CELLS": "\n".join(map(_cell, found)),
        "SUMMARIES": "\n".join(_summary(fix, found) for fix in rows),
        "LEFTOUT": _left_out(cannot),
        "FOOT": text("; ".join(_assumed(found))),
    }
    template = files("kmodel").joinpath("matrix.html").read_text(encoding="utf-8")
    # in one go: what is put in may look like a place to put something in
    return re.sub("@([A-Z]+)@", lambda place: slots[place[1]], template)


def _table(found: list[Cell], rows: list[str], cannot: list[dict[str, str]]) -> str:
    places = list(dict.fromkeys(cell.situation for cell in found))
    by = {(cell.fix, cell.situation): cell for cell in found}
    why = {(one["fix"], one["situation"]): one["reason"] for one in cannot}
    heads = "".join(
        f'<th title="{text(situations.load(place).summary)}">{text(place)}</th>' for place in places
    )
    lines = []
    for fix in rows:
        cells = "".join(
            f"<td>{_link(by.get((fix, place)), why.get((fix, place), ''))}</td>" for place in places
        )
        lines.append(
            f'<tr><th title="{text(fixes.load(fix).summary)}">{text(fix)}</th>{cells}</tr>'
        )
    head = f"<thead><tr><th>fix</th>{heads}</tr></thead>"
    return f'<table class="matrix">{head}<tbody>{"".join(lines)}</tbody></table>'


def _link(cell: Cell | None, why: str) -> str:
    if cell is None:
        return f'<span class="soft" title="{text(why)}">-</span>'
    verdict = cell.worst.verdict
    whole = all(judged.complete for judged in cell.variants)
    return (
        f'<a class="{verdict.verdict}" href="#{_name(cell)}">{_kind(verdict)}'
        f"{'' if whole else '~'}</a>"
    )


def _name(cell: Cell) -> str:
    return f"{cell.fix}.{cell.situation}"


def _kind(verdict: Verdict) -> str:
    return text(verdict.kind or verdict.verdict)


def _cell(cell: Cell) -> str:
    """The story of a cell."""
    verdict = cell.worst.verdict
    situation = situations.load(cell.situation)
    parts = [
        f'<section id="{_name(cell)}"><h2>{text(cell.fix)} in {text(cell.situation)}: '
        f'<span class="{verdict.verdict}">{_kind(verdict)}</span></h2>',
        f'<p class="soft">{text(fixes.load(cell.fix).summary)}. In: {text(situation.summary)}.</p>',
        _variants(cell),
        *_evidence(cell),
        *_broken(cell),
    ]
    return "".join(parts) + '<p><a href="#top">Back to the table</a></p></section>'


def _variants(cell: Cell) -> str:
    names = list(cell.worst.properties)
    heads = ["variant", *names, "states", "steps", "refaults", "random runs ended"]
    rows = "".join(_row(judged, names) for judged in cell.variants)
    head = "".join(f"<th>{text(name)}</th>" for name in heads)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead>{rows}</table></div>'


def _row(judged: Judged, names: list[str]) -> str:
    evidence, counts = judged.verdict.evidence, judged.verdict.counts
    variant = ", ".join(f"{key}={value}" for key, value in judged.unit.variant.items())
    marks = "".join(
        f'<td class="{judged.properties[name].verdict}">{_kind(judged.properties[name])}</td>'
        for name in names
    )
    most = counts.get("refaults", "?")
    means = counts.get("random")
    ended = f"{means['ended'].get('done', 0)} of {means['runs']}" if means else ""
    numbers = [
        f"{evidence.states:,}{'' if evidence.complete else '~'}",
        f"{evidence.steps:,}",
        "unbounded" if most is None else str(most),
        ended,
    ]
    told = "".join(f'<td class="n">{text(number)}</td>' for number in numbers)
    return f"<tr><td>{text(variant)}</td>{marks}{told}</tr>"


def _evidence(cell: Cell) -> list[str]:
    """Properties, bounds, assumptions, and what ended a search early."""
    worst = cell.worst.verdict
    sentences = [f"{name}: {PROPERTIES[name].sentence}." for name in cell.worst.properties]
    stops = dict.fromkeys(
        judged.verdict.evidence.bound for judged in cell.variants if not judged.complete
    )
    told = [f"~ A search ended early: {stop}." for stop in stops]
    told += [f"Bounds: {', '.join(_bounds(cell))}."]
    told += [f"Assumed: {'; '.join(worst.evidence.assumptions)}."]
    told += [] if worst.kind else [worst.message[0].upper() + worst.message[1:] + "."]
    items = "".join(f"<li>{text(one)}</li>" for one in [*sentences, *told])
    return [f'<ul class="soft">{items}</ul>']


def _bounds(cell: Cell) -> list[str]:
    params = cell.worst.verdict.params
    varied = cell.worst.unit.variant
    names = ("cpus", "faults", *situations.load(cell.situation).params, *cell.worst.unit.given)
    return [f"{n}={params[n]}" for n in dict.fromkeys(names) if n in params and n not in varied]


def _broken(cell: Cell) -> list[str]:
    """What breaks each property, the worst with its run; and what else was found."""
    worst = cell.worst
    bad = [one for one in map(cell.on, worst.properties) if one.verdict == "violated"]
    bad = sorted(bad, key=Verdict.badness)
    found: list[str] = []
    drawn = False
    for one in bad:
        found.append(f"<h3>{text(one.kind or '')} ({text(_property(cell, one))})</h3>")
        found.append(f"<p>{text(one.message)}</p>")
        if one.replay:
            found += [] if drawn else _run(cell, one.replay)
            found.append(f"<p><code>kmodel replay {text(one.replay)}</code></p>")
            drawn = True
    others = [
        one
        for one in (*worst.verdict.findings, *worst.verdict.excluded)
        if one.property not in worst.properties or one in worst.verdict.excluded
    ]
    return found + ([f"<h3>Also found</h3><ul>{_items(others)}</ul>"] if others else [])


def _property(cell: Cell, one: Verdict) -> str:
    return next(name for name in cell.worst.properties if cell.on(name) is one)


def _items(findings: Iterable[Finding]) -> str:
    return "".join(
        f"<li>{text(one.kind)} ({text(one.property)}): {text(one.message)}"
        + (f"<br><code>kmodel replay {text(one.replay)}</code>" if one.replay else "")
        + "</li>"
        for one in findings
    )


def _run(cell: Cell, word: str) -> list[str]:
    """A run as a picture and as a story."""
    token = parse(word)
    judged = next(one for one in cell.variants if _shows(one, word))
    with pure():
        case = judged.unit.case()
        shown = Shown(case, token, keep=True)
        watch = Watch(shown.execution, shown.strategy)
        shown.close(run(shown.execution, watch, shown.max_steps))
        told = story(Ran(token, shown.execution, watch, shown.recorder.records), case.build)
        header = case.header(case.build(), "replay", None, word)
    records = shown.recorder.records
    drawn = timeline(records, header.tasks, dict(header.pools), 0, min(shown.max_steps, MOST) - 1)
    svg = Picture(drawn, _caption(cell, token, shown.max_steps)).svg().replace(SHARED, "")
    sentences = "".join(f"<li>{text(sentence)}</li>" for sentence in told)
    return [f'<div class="picture">{svg}</div>', f"<ol>{sentences}</ol>"]


def _shows(judged: Judged, word: str) -> bool:
    return any(one.replay == word for one in (judged.verdict, *judged.properties.values()))


def _caption(cell: Cell, token: Token, steps: int) -> str:
    stem, loop = token.schedule()
    told = f"{cell.fix} in {cell.situation}: {token.kind}"
    if loop:
        told += f"; from step {len(stem)} on it goes round for ever"
    return told + (f" (the first {MOST} steps of {steps})" if steps > MOST else "")


def _summary(fix: str, found: list[Cell]) -> str:
    told = paragraph([cell for cell in found if cell.fix == fix])
    name, _, rest = told.partition(" ")
    what = f'<br><span class="soft">{text(fixes.load(fix).summary)}</span>'
    return f"<p><b>{text(name)}</b> {text(rest)}{what}</p>"


def _left_out(cannot: list[dict[str, str]]) -> str:
    told: dict[tuple[str, str], list[str]] = {}
    for one in cannot:
        told.setdefault((one["situation"], one["reason"]), []).append(one["fix"])
    return "".join(
        f'<p class="soft">Left out of {text(place)} ({text(", ".join(who))}): {text(why)}.</p>'
        for (place, why), who in told.items()
    )


def _assumed(found: list[Cell]) -> list[str]:
    """What all cells assume."""
    every: list[tuple[Any, ...]] = [
        judged.verdict.evidence.assumptions for cell in found for judged in cell.variants
    ]
    shared = [one for one in (every[0] if every else ()) if all(one in each for each in every)]
    return [f"Assumed of all: {shared[0]}", *shared[1:]] if shared else []
