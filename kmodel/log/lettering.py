"""Text in pictures and pages: how wide it is, and what no name can break out of."""

from __future__ import annotations

from typing import Final
from xml.sax.saxutils import escape

from kmodel.log.show import printable

LETTER: Final = 5.9
"""Width of a letter in a bar, on average, in pixels."""


def cut(text: str, room: float, letter: float = LETTER) -> str:
    """``text`` in so many pixels; nothing where hardly a letter fits."""
    most = int(room / letter)
    if len(text) <= most:
        return text
    return text[: most - 1] + "…" if most >= 4 else ""


def markup(text: str) -> str:
    """``text`` as it stands between two tags, or in quotes in one."""
    return escape(printable(text), {'"': "&quot;"})
