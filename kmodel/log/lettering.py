"""Text in pictures and pages: how wide it is, and what no name can break out of."""

from __future__ import annotations

from typing import Final
from xml.sax.saxutils import escape

from kmodel.log.show import printable

LETTER: Final = 6.3
"""Width of most letters of a bar, in pixels, in the widest of the fonts that are asked for."""

WIDTHS: Final = (
    dict.fromkeys("ijl|'", 2.8)
    | dict.fromkeys(".,:;!/()[]-tfr ", 3.9)
    | dict.fromkeys("mwMW@%…→", 9.8)
)
"""Letters that are far from that."""


def wide(text: str) -> float:
    """Pixels that ``text`` takes, or a little less."""
    return sum(WIDTHS.get(char, LETTER + 1.2 * (char.isupper() or char == "&")) for char in text)


def cut(text: str, room: float) -> str:
    """``text`` in so many pixels; nothing where hardly a letter fits."""
    if wide(text) <= room:
        return text
    while text and wide(text) + WIDTHS["…"] > room:
        text = text[:-1]
    return f"{text}…" if len(text) >= 3 else ""


def markup(text: str) -> str:
    """``text`` as it stands between two tags, or in quotes in one."""
    return escape(printable(text), {'"': "&quot;"})
