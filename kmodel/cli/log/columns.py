"""Tables in plain, aligned text: the same on a terminal, in a pipe and in a file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

GAP = "  "


def aligned(head: Sequence[str], rows: Sequence[Sequence[Any]], widest: int = 60) -> list[str]:
    """Lines of a table with a line under its head. Numbers stand to the right.

    What is wider than ``widest`` is cut, and says so with ``...``."""
    cells = [[cut(shown(value), widest) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(head, *cells)]
    numeric = [
        all(isinstance(row[index], (int, float, type(None))) for row in rows)
        for index in range(len(head))
    ]

    def line(texts: Sequence[str]) -> str:
        padded = [
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(texts, widths, numeric)
        ]
        return GAP.join(padded).rstrip()

    return [line(head), "-" * len(GAP.join("-" * width for width in widths)), *map(line, cells)]


def shown(value: Any) -> str:
    """A value in a cell: nothing for ``None``, and nothing that could move a cursor."""
    from kmodel.log.show import printable

    return "" if value is None else printable(str(value))


def cut(text: str, widest: int) -> str:
    return text if len(text) <= widest else text[: widest - 3] + "..."
