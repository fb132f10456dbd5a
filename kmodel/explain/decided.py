"""The one pair of events whose order decides, in a sentence and as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kmodel.explore.decisive import Decisive, Event, Search


def decided(search: Search, names: Sequence[str], loop: bool) -> list[str]:
    """One sentence, if there is something to say."""
    pair = search.pair
    if pair is None:
        if not search.tried:
            return []
        others = "" if search.all else ", and there are more"
        return [
            f"No one pair of events decides: none of {search.tried:,} pairs the other way round "
            f"made it end well{others}."
        ]
    each = ", in each lap," if pair.every_lap else ""
    end = "the same run would have ended well"
    if loop:
        end = "the loop would have come to a good end"
    return [
        f"Had {_event(pair.late, names)}{each} come before {_event(pair.early, names)}, {end} "
        "(this was run)."
    ]


def _event(event: Event, names: Sequence[str]) -> str:
    what = f"{event.event} {event.thing}".rstrip()
    where = f"step {event.step}" + (" of the next lap" if event.next_lap else "")
    if event.step is None:
        where = "at which it stands in the end" if event.stands else "which it never came to"
    return f"{names[event.task]}'s `{what}` ({where})"


def document(pair: Decisive | None, names: Sequence[str]) -> dict[str, Any] | None:
    """``had`` should have come before ``before``; ``step`` is null for what never came."""
    if pair is None:
        return None
    return {
        "had": _plain(pair.late, names),
        "before": _plain(pair.early, names),
        "every_lap": pair.every_lap,
    }


def _plain(event: Event, names: Sequence[str]) -> dict[str, Any]:
    return {
        "task": names[event.task],
        "event": event.event,
        "obj": event.thing or None,
        "step": event.step,
        "next_lap": event.next_lap,
    }
