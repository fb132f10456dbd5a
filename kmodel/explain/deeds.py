"""What one record of a log tells in a sentence of its own: paging, an exit, a fault; and in
stories of locks alone, who held which."""

from __future__ import annotations

from typing import Any, Final

from kmodel.log.record import Record
from kmodel.log.span import Span

DEEDS: Final[dict[str, tuple[int, str]]] = {
    "fault.begin": (2, "{task} faults at {va} in {obj} (step {step})."),
    "page.wait": (3, "{task} waits for memory at step {step} ({why})."),
    "page.out": (3, "{task} begins to page out page {page} of {obj} at {va}, at step {step}."),
    "page.in": (3, "{task} reads page {page} of {obj} at {va} back from swap, at step {step}."),
    "page.free": (1, "{task} frees {pages} at step {step}."),
    "swap.written": (3, "{task} sees a write to swap done at step {step}."),
    "map.unmap": (3, "{task} unmaps {va} (pages: {n}) in {obj}, at step {step}."),
    "map.map": (3, "{task} maps anew in {obj}, at step {step}."),
    "space.free": (3, "{task} gives back all of {obj} at step {step}."),
}
"""Event -> how much it matters, and the sentence."""

ANSWERS: Final[dict[tuple[str, bool], tuple[int, str]]] = {
    ("swap.full", True): (4, "{task} finds that swap is full, at step {step}."),
    ("proc.exit", False): (2, "{task} leaves {obj} at step {step}."),
    ("proc.exit", True): (3, "{task} leaves {obj} at step {step}, the last of its threads."),
    ("swap.alloc", False): (4, "{task} finds no room on swap, at step {step}."),
}
"""The same for those whose result says it."""


def deed(record: Record) -> tuple[int, str] | None:
    """How much ``record`` matters, and its sentence; ``None`` if it needs no telling."""
    found = DEEDS.get(record.event) or ANSWERS.get((record.event, record.result is True))
    if found is None:
        return None
    weight, text = found
    values = _Values(record.row())
    pages = str(values["pages"])
    values["pages"] = f"page{'s' * (' ' in pages)} {pages}"
    return weight, text.format_map(values)


def holding(span: Span) -> str:
    """``P holds a from step 1 to 6``: a lock that was held for more than a step."""
    if span.until is None:
        return f"{span.task} takes {span.obj} at step {span.since} and keeps it."
    return f"{span.task} holds {span.obj} from step {span.since} to {span.until}."


class _Values(dict[str, Any]):
    """A log of another version may lack a field."""

    def __missing__(self, key: str) -> str:
        return "?"
