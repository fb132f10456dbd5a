"""The decision matrix as one HTML file: the table, and behind each cell its story.

It asks nothing of any network and runs no script: a cell's story is the target of its link.
"""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Any, Final

from kmodel import fixes, situations
from kmodel.cell import Cell, at_least, stops
from kmodel.compare import Judged
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
        "PLACES": _places(found, cannot),
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
    verdict = cell.worst.verdict.verdict
    return f'<a class="{verdict}" href="#{_name(cell)}">{text(cell.headline)}</a>'


def _name(cell: Cell) -> str:
    return f"{cell.fix}.{cell.situation}"


def _kind(verdict: Verdict, complete: bool) -> str:
    return text(at_least(verdict.kind or verdict.verdict, verdict, complete))


def _cell(cell: Cell) -> str:
    """The story of a cell."""
    verdict = cell.worst.verdict
    situation = situations.load(cell.situation)
    parts = [
        f'<section id="{_name(cell)}"><h2>{text(cell.fix)} in {text(cell.situation)}: '
        f'<span class="{verdict.verdict}">{text(cell.headline)}</span></h2>',
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
    marks = "".join(
        f'<td class="{one.verdict}">{_kind(one, judged.complete)}</td>'
        for one in map(judged.properties.__getitem__, names)
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
    return f"<tr><td>{_said(judged)}</td>{marks}{told}</tr>"


def _evidence(cell: Cell) -> list[str]:
    """Properties, bounds, assumptions, and what ended a search early."""
    worst = cell.worst.verdict
    sentences = [f"{name}: {PROPERTIES[name].sentence}." for name in cell.worst.properties]
    told = [f"~ {stop}." for stop in _stops(cell)]
    told += [f"Bounds: {', '.join(f'{name}={value}' for name, value in cell.bounds.items())}."]
    kernels = [f"{name} {' | '.join(map(str, of))}" for name, of in cell.kernels.items()]
    told += [f"Kernel variants: {'; '.join(kernels)}."]
    told += [f"{cell.set_by_hand[0].upper()}{cell.set_by_hand[1:]}."] if cell.set_by_hand else []
    told += [f"Assumed: {'; '.join(cell.assumed)}."]
    told += [] if worst.kind else [worst.message[0].upper() + worst.message[1:] + "."]
    items = "".join(f"<li>{text(one)}</li>" for one in [*sentences, *told])
    return [f'<ul class="soft">{items}</ul>']


def _stops(cell: Cell) -> list[str]:
    """What ended searches early, each with the number of variants."""
    many = len(cell.variants)
    return [
        f"{number} of {many} variants {stop}"
        if stop.startswith("not begun")
        else f"{number} of {many} variants not searched to the end, which may show worse: {stop}"
        for stop, number in stops(cell.variants)
    ]


def _broken(cell: Cell) -> list[str]:
    """What breaks each property, each with its run; and what else was found."""
    bad = [one for one in map(cell.on, cell.worst.properties) if one.verdict == "violated"]
    found: list[str] = []
    drawn: dict[str, str] = {}
    for one in sorted(bad, key=Verdict.badness):
        heading = f"{text(one.kind or '')} ({text(_property(cell, one))})"
        found.append(f"<h3>{heading}</h3><p>{text(one.message)}</p>")
        if one.replay in drawn:
            found.append(f"<p>The run is that of {drawn[one.replay]}.</p>")
        elif one.replay:
            drawn[one.replay] = heading
            found += _run(cell, one.replay)
            found.append(f"<p><code>kmodel replay {text(one.replay)}</code></p>")
    for title, of in (("Ruled out only by lock-grant", "excluded"), ("Also found", "findings")):
        others = cell.others(of)
        found += [f"<h3>{title}</h3><ul>{_items(cell, others)}</ul>"] if others else []
    return found


def _property(cell: Cell, one: Verdict) -> str:
    return next(name for name in cell.worst.properties if cell.on(name) is one)


def _items(cell: Cell, findings: list[tuple[Finding, list[Judged]]]) -> str:
    return "".join(
        f"<li>{text(one.kind)} ({text(one.property)}){_of(cell, who)}: {text(one.message)}"
        + (f"<br><code>kmodel replay {text(one.replay)}</code>" if one.replay else "")
        + "</li>"
        for one, who in findings
    )


def _of(cell: Cell, who: list[Judged]) -> str:
    return (
        ""
        if len(who) == len(cell.variants)
        else f" in {len(who)} of {len(cell.variants)} variants, first {_said(who[0])}"
    )


def _said(judged: Judged) -> str:
    return text(", ".join(f"{key}={value}" for key, value in judged.unit.variant.items()))


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
    first, *others = paragraph([cell for cell in found if cell.fix == fix])
    rest = first.removeprefix(f"{fix}, ")
    what = f'<span class="soft">{text(fixes.load(fix).summary)}</span>'
    items = "".join(f"<li>{text(line)}</li>" for line in (rest[0].upper() + rest[1:], *others))
    return f"<h3>{text(fix)} {what}</h3><ul>{items}</ul>"


def _places(found: list[Cell], cannot: list[dict[str, str]]) -> str:
    """What the columns are."""
    places = dict.fromkeys([c.situation for c in found] + [one["situation"] for one in cannot])
    return "".join(
        f"<dt>{text(place)}</dt><dd>{text(situations.load(place).summary)}</dd>" for place in places
    )


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
