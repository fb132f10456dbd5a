"""A timeline as an SVG: a lane a CPU, steps from left to right. Nothing but text is needed to
make it, and nothing but the file to see it; light and dark follow the viewer's system.

A lane has, from above: the faults; who steps, with waits hatched and what went wrong marked;
and a bar for each lock held longer than a step. Arrows go from what let somebody go to
where that one stepped again.
"""

from __future__ import annotations

from typing import Final

import attrs

from kmodel.log.legend import COLOURS, Legend
from kmodel.log.lettering import cut, markup, wide
from kmodel.log.span import DOES, Part, Span
from kmodel.log.timeline import Arrow, Mark, Timeline

LEFT: Final = 106
RIGHT: Final = 16
TOP: Final = 48
STRIP: Final = 16
LOOP: Final = 16
BAR: Final = 15
FAULT: Final = 13
GAP: Final = 14
BEYOND: Final = 5
"""Steps that a wait is drawn on after the run has ended with it."""
SIGNS: Final = {"refused": "✕", "failed": "✕", "restart": "↻", "wrong": "!"}

STYLE: Final = """
svg{--bg:#ffffff;--ink:#1c2430;--soft:#64707f;--line:#dfe4ea;--lane:#f6f8fa;--run:#3d4b5c;
--wait:#9aa5b1;--bad:#c62828;--again:#b45f06;--arrow:#5b6ee1;--fault:#8a94a0;
--c0:#a8d5ff;--c1:#ffd28a;--c2:#b9e6b3;--c3:#f3b8d4;--c4:#d3c4f7;--c5:#a5e3dc;--c6:#e8d9a0;--c7:#f5b9a6}
@media (prefers-color-scheme:dark){svg{--bg:#12161c;--ink:#e4e9ef;--soft:#97a3b0;--line:#2b333d;
--lane:#181e26;--run:#a9b7c6;--wait:#5c6773;--bad:#ef5350;--again:#f0a04b;--arrow:#8f9dff;--fault:#77828e;
--c0:#1f5487;--c1:#7d5516;--c2:#2f6a3a;--c3:#7d3358;--c4:#52419a;--c5:#1d6a64;--c6:#6b5c1e;--c7:#853f2b}}
.bg{fill:var(--bg)}.lane{fill:var(--lane)}.grid{stroke:var(--line)}
text{font:10px system-ui,"Segoe UI","DejaVu Sans",sans-serif;fill:var(--ink)}
.title{font-size:13px;font-weight:600}.name{font-size:12px;font-weight:600}
.soft{fill:var(--soft)}.run{fill:var(--run)}.fault{fill:none;stroke:var(--fault)}
.rest{fill:url(#hatch);stroke:var(--wait);stroke-width:.6}.hatch{stroke:var(--wait);stroke-width:1.4}
.round{fill:var(--again);opacity:.07}.bracket{fill:none;stroke:var(--again);stroke-width:1.4}
.ready{fill:none;stroke:var(--wait);stroke-width:.8;stroke-dasharray:2 2}
.plate{fill:var(--lane);opacity:.88}
.bad{fill:var(--bad)}.again{fill:var(--again)}.sign{fill:var(--bg);font-weight:700;text-anchor:middle}
.arrow{fill:none;stroke:var(--arrow);stroke-width:1.3;opacity:.75}.head{fill:var(--arrow)}
""" + "".join(f".c{n}{{fill:var(--c{n})}}" for n in range(COLOURS))

DEFS: Final = (
    '<defs><pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" '
    'patternTransform="rotate(45)"><path d="M0 0V6" class="hatch"/></pattern>'
    '<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6" markerHeight="6" '
    'orient="auto"><path d="M0 0L8 4L0 8z" class="head"/></marker></defs>'
)
"""What a picture refers to by name: one of each in a page."""


@attrs.frozen
class _Lane:
    """Where a CPU's lane stands; ``bars`` are its locks, each with its row."""

    cpu: int
    top: float
    height: float
    bars: list[tuple[int, Span]]

    @property
    def strip(self) -> float:
        return self.top + FAULT + 3


class Picture:
    """The drawing of one timeline; ``width`` and ``height`` in pixels, ``scale`` those
    of a step, ``bottom`` where the lanes end."""

    def __init__(self, found: Timeline, caption: str) -> None:
        self._found, self._caption = found, caption
        self._beyond = BEYOND if found.kept() else 0
        self.steps = max(found.last() - found.first + 1, 1) + self._beyond
        self.scale = min(14.0, max(6.0, 1000 / self.steps))
        self.width = LEFT + max(self.steps * self.scale, 560) + RIGHT
        self._legend = Legend(found, self.width - LEFT)
        self._top = TOP + (LOOP if found.loop else 0)
        self._lanes = self._placed()
        bottom = self._lanes[-1].top + self._lanes[-1].height if self._lanes else self._top
        self.height = bottom + 26 + self._legend.height
        self.bottom = bottom

    def x(self, step: float) -> float:
        return LEFT + (step - self._found.first) * self.scale

    def svg(self) -> str:
        """The whole file."""
        size = f'width="{self.width:.0f}" height="{self.height:.0f}"'
        box = f'viewBox="0 0 {self.width:.0f} {self.height:.0f}"'
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} {box} role="img">',
            f"<title>{markup(self._caption)}</title><style>{STYLE}</style>{DEFS}",
            '<rect class="bg" width="100%" height="100%"/>',
            f'<text class="title" x="12" y="19">{markup(self._caption)}</text>',
            *self._axis(),
            *self._loop(),
        ]
        for lane in self._lanes:
            parts += self._lane(lane)
        parts += [self._arrow(arrow) for arrow in self._found.arrows]
        parts += [self._mark(mark) for mark in self._found.marks]
        return "\n".join([*parts, *self._legend.svg(LEFT, self.bottom + 18), "</svg>\n"])

    def _placed(self) -> list[_Lane]:
        lanes, top = [], float(self._top)
        for cpu in range(len(self._found.tasks)):
            bars = _rows(self._found.bars(cpu))
            rows = max([row for row, _ in bars], default=-1) + 1
            lanes.append(_Lane(cpu, top, FAULT + STRIP + 8 + BAR * max(rows, 1), bars))
            top += lanes[-1].height + GAP
        return lanes

    def _axis(self) -> list[str]:
        every = next(n for n in (5, 10, 20, 50, 100, 1000) if n * self.scale >= 50 or n == 1000)
        first, last = self._found.first, self._found.last()
        found = []
        for step in range(-(-first // every) * every, last + 1, every):
            x = self.x(step)
            found.append(f'<path class="grid" d="M{x:.1f} {self._top - 6}V{self.bottom:.0f}"/>')
            found.append(f'<text class="soft" x="{x + 2:.1f}" y="{self._top - 8}">{step}</text>')
        found.append(f'<text class="soft" x="12" y="{self._top - 8}">step</text>')
        return found

    def _loop(self) -> list[str]:
        """A bracket over the steps that go round for ever."""
        found, loop = self._found, self._found.loop
        if loop is None or loop.first > found.last() or loop.stop <= found.first:
            return []
        x, end = self.x(max(loop.first, found.first)), self.x(min(loop.stop, found.last() + 1))
        told = f"steps {loop.first}-{loop.stop - 1} go round for ever"
        said = markup(told if wide(told) <= self.width - x else f"loop of {loop.stop - loop.first}")
        return [
            f'<g><title>{markup(f"{loop.begins}, {loop.ends}")}</title><rect class="round" '
            f'x="{x:.1f}" y="{TOP - 18}" width="{end - x:.1f}" '
            f'height="{self.bottom - TOP + 18:.0f}"/>'
            f'<path class="bracket" d="M{x:.1f} {TOP - 10}V{TOP - 18}H{end:.1f}V{TOP - 10}"/>'
            f'<text class="soft" x="{x + 3:.1f}" y="{TOP - 7}">↻ {said}</text></g>'
        ]

    def _lane(self, lane: _Lane) -> list[str]:
        found, cpu = self._found, lane.cpu
        wide = self.steps * self.scale
        name = markup(cut(found.tasks[cpu], (LEFT - 16) * 0.75))
        parts = [
            f'<rect class="lane" x="{LEFT}" y="{lane.top:.0f}" width="{wide:.1f}" '
            f'height="{lane.height:.0f}" opacity=".7"/>',
            f'<text class="name" x="12" y="{lane.strip + 12:.0f}">{name}</text>',
        ]
        parts += [self._fault(lane, s) for s in found.spans if s.cpu == cpu and s.kind == "fault"]
        for span in found.rests(cpu):
            parts += [self._rest(lane, span, part) for part in self._parts(span)]
        for first, count in _runs(found, cpu):
            parts.append(
                f'<rect class="run" x="{self.x(first) + 0.5:.1f}" y="{lane.strip + 3:.0f}" '
                f'width="{count * self.scale - 1:.1f}" height="{STRIP - 6}" rx="1.5"/>'
            )
        parts += [self._bar(lane, row, span) for row, span in lane.bars]
        return parts

    def _fault(self, lane: _Lane, span: Span) -> str:
        x, width = self._extent(span)
        y = lane.top + 2
        told = f"fault {span.va}"
        return (
            f"<g><title>{markup(_story(span, 'in a fault at ' + str(span.va)))}</title>"
            f'<rect class="fault" x="{x + 0.5:.1f}" y="{y}" width="{width - 1:.1f}" '
            f'height="{FAULT - 2}" rx="2"/>{self._said(told, x, y + 9, width, "soft")}</g>'
        )

    def _rest(self, lane: _Lane, span: Span, part: Part) -> str:
        kept, since, until = part
        x, y, width = self.x(since), lane.strip, (until - since) * self.scale
        told = f"{span.task} {DOES[span.kind]} {span.obj} in steps {since}-{until - 1}"
        if not kept:
            how = "the mutex is free" if span.kind == "spin" else "woken"
            told = f"{span.task} can go again ({how}: {span.obj}) in steps {since}-{until - 1}"
            return (
                f'<g><title>{markup(told)}</title><rect class="ready" x="{x + 0.5:.1f}" '
                f'y="{y + 4:.0f}" width="{width - 1:.1f}" height="{STRIP - 8}"/></g>'
            )
        if span.until is None:
            told = f"{span.task} {DOES[span.kind]} {span.obj}, from step {since} to the end"
        label, plate = cut(span.obj, width - 8), ""
        if label:
            plate = (
                f'<rect class="plate" x="{x + 3:.1f}" y="{y + 2:.0f}" height="{STRIP - 4}" '
                f'width="{wide(label) + 3:.1f}" rx="2"/>'
            )
        return (
            f'<g><title>{markup(told)}</title><rect class="rest" x="{x:.1f}" y="{y:.0f}" '
            f'width="{width:.1f}" height="{STRIP}"/>'
            f"{plate}{self._said(span.obj, x, y + 11.5, width)}</g>"
        )

    def _parts(self, span: Span) -> list[Part]:
        """One that is kept where the run ends goes on for a little beyond that."""
        found, parts = self._found, self._found.parts(span)
        if found.kept().get(span.cpu) is span:
            stop = found.last() + 1
            since = parts.pop()[1] if parts and parts[-1][0] and parts[-1][2] == stop else stop
            parts.append((True, since, stop + self._beyond))
        return parts

    def _bar(self, lane: _Lane, row: int, span: Span) -> str:
        x, width = self._extent(span)
        y = lane.strip + STRIP + 3 + row * BAR
        shared = " (shared)" if span.write is False else ""
        told = markup(_story(span, f"holds {span.obj}{shared}"))
        colour = self._legend.colours[span.obj]
        return (
            f'<g><title>{told}</title><rect class="c{colour}" x="{x + 0.5:.1f}" '
            f'y="{y:.0f}" width="{width - 1:.1f}" height="{BAR - 2}" rx="2"/>'
            f"{self._said(span.obj, x, y + 10, width)}</g>"
        )

    def _mark(self, mark: Mark) -> str:
        lane = self._lanes[mark.cpu]
        kind = "again" if mark.kind == "restart" else "bad"
        x, y = self.x(mark.step + 0.5), lane.strip + STRIP / 2
        return (
            f"<g><title>{markup(f'step {mark.step}: {mark.text}')}</title>"
            f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="6"/>'
            f'<text class="sign" x="{x:.1f}" y="{y + 3.6:.1f}">{SIGNS[mark.kind]}</text></g>'
        )

    def _arrow(self, arrow: Arrow) -> str:
        down = arrow.taker > arrow.giver
        giver, taker = self._lanes[arrow.giver], self._lanes[arrow.taker]
        x1, x2 = self.x(arrow.since + 0.5), self.x(arrow.until + 0.5)
        y1 = giver.strip + (STRIP if down else 0)
        y2 = taker.strip + (-1 if down else STRIP + 1)
        bend = (y2 - y1) / 2
        told = markup(
            f"step {arrow.since}: {self._found.tasks[arrow.giver]} lets "
            f"{self._found.tasks[arrow.taker]} go, who steps in {arrow.until} ({arrow.text})"
        )
        return (
            f'<g><title>{told}</title><path class="arrow" marker-end="url(#tip)" d="M{x1:.1f} '
            f'{y1:.1f}C{x1:.1f} {y1 + bend:.1f} {x2:.1f} {y2 - bend:.1f} {x2:.1f} {y2:.1f}"/></g>'
        )

    def _extent(self, span: Span) -> tuple[float, float]:
        first, stop = self._found.first, self._found.last() + 1
        stop += self._beyond if span.until is None else 0
        since = max(span.since, first)
        until = stop if span.until is None else min(span.until + 1, stop)
        return self.x(since), max((until - since) * self.scale, 1.5)

    def _said(self, text: str, x: float, y: float, width: float, kind: str = "") -> str:
        text = cut(text, width - 8)
        style = f' class="{kind}"' if kind else ""
        return f'<text{style} x="{x + 4:.1f}" y="{y:.1f}">{markup(text)}</text>' if text else ""


def _rows(spans: list[Span]) -> list[tuple[int, Span]]:
    """Each bar in the highest row that is free while it lasts."""
    ends: list[float] = []
    found = []
    for span in spans:
        free = [row for row, end in enumerate(ends) if end < span.since]
        row = free[0] if free else len(ends)
        ends[row : row + 1] = [float("inf") if span.until is None else span.until]
        found.append((row, span))
    return found


def _runs(found: Timeline, cpu: int) -> list[tuple[int, int]]:
    """The stretches of steps that a CPU took with no other in between: first, and how many."""
    runs: list[tuple[int, int]] = []
    for step in sorted(step for step, who in found.turns.items() if who == cpu):
        if runs and sum(runs[-1]) == step:
            runs[-1] = runs[-1][0], runs[-1][1] + 1
        else:
            runs.append((step, 1))
    return runs


def _story(span: Span, what: str) -> str:
    until = "to the end" if span.until is None else f"to step {span.until}"
    return f"{span.task} {what}, from step {span.since} {until}"
