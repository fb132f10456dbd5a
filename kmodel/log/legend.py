"""What the colours and shapes of a picture mean: rows of small samples under its lanes."""

from __future__ import annotations

import zlib
from typing import Final

from kmodel.log.lettering import markup, wide
from kmodel.log.timeline import Timeline

COLOURS: Final = 8
"""Colours for locks; of more locks some share one."""

SPREAD: Final = 25
"""Which bits of a name's sum choose its colour: those that tell a kernel's locks well apart."""

ROW: Final = 18

SHAPES: Final = (
    *(
        ("run", "steps"),
        ("rest", "asleep, spinning, stuck"),
        ("ready", "can go again"),
        ("bad", "✕ refused, failed"),
    ),
    *(("bad", "! a check failed"), ("again", "↻ begins anew"), ("tip", "lets go")),
)


class Legend:
    """Of what is in a timeline, as wide as ``room`` pixels. ``colours`` are the locks'."""

    def __init__(self, found: Timeline, room: float) -> None:
        self.colours = _colours(found)
        self._rows: list[list[tuple[str, str]]] = [[]]
        left = room
        for item in [*((f"c{n}", name) for name, n in self.colours.items()), *SHAPES]:
            left -= _wide(item[1])
            if left < 0 and self._rows[-1]:
                self._rows.append([])
                left = room - _wide(item[1])
            self._rows[-1].append(item)

    @property
    def height(self) -> int:
        return ROW * len(self._rows)

    def svg(self, left: float, top: float) -> list[str]:
        parts = []
        for number, row in enumerate(self._rows):
            x, y = left, top + ROW * number
            for kind, name in row:
                text = f'<text x="{x + 18:.0f}" y="{y + 9.5:.1f}">{markup(name)}</text>'
                parts.append(_shape(kind, x, y) + text)
                x += _wide(name)
        return parts


def _shape(kind: str, x: float, y: float) -> str:
    if kind == "tip":
        return f'<path class="arrow" marker-end="url(#tip)" d="M{x:.0f} {y + 6:.0f}h14"/>'
    return f'<rect class="{kind}" x="{x:.0f}" y="{y:.0f}" width="14" height="11" rx="2"/>'


def _wide(name: str) -> float:
    return 30 + wide(name)


def _colours(found: Timeline) -> dict[str, int]:
    """A colour for each lock that has a bar, by its name, so that it has the same in every run;
    one that another of the picture has goes to the next that is free, mutexes last."""
    held = [s for cpu in range(len(found.tasks)) for s in found.bars(cpu)]
    taken: dict[int, str] = {}
    colours: dict[str, int] = {}
    for _, name in sorted({(span.write is None, span.obj) for span in held}):
        wanted = zlib.crc32(name.encode(errors="replace")) >> SPREAD
        places = [(wanted + n) % COLOURS for n in range(COLOURS)]
        colour = next((place for place in places if place not in taken), places[0])
        colours[name] = colour
        taken[colour] = name
    return colours
