"""A timeline as one HTML file: the picture, and what all is like at the step under the pointer."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from typing import Any, Final

from kmodel.log.lettering import markup
from kmodel.log.picture import LEFT, Picture
from kmodel.log.show import printable, text_of
from kmodel.log.state import changes
from kmodel.log.timeline import Timeline

TEMPLATE: Final = "timeline.html"


def webpage(found: Timeline, caption: str, note: str = "") -> str:
    """The page. It asks nothing of any network, and its policy lets it ask nothing."""
    picture = Picture(found, caption)
    slots = {
        "TITLE": markup(caption),
        "NOTE": markup(f"The run: {note}" if note else ""),
        "FIRST": str(found.first),
        "LAST": str(max(found.last(), found.first)),
        "SVG": picture.svg(),
        "DATA": _json(data(found, picture)),
    }
    template = files("kmodel.log").joinpath(TEMPLATE).read_text(encoding="utf-8")
    # in one go: what is put in may look like a place to put something in
    return re.sub("@([A-Z]+)@", lambda place: slots[place[1]], template)


def data(found: Timeline, picture: Picture) -> dict[str, Any]:
    """What the page's script reads."""
    return {
        "first": found.first,
        "last": max(found.last(), found.first),
        "left": LEFT,
        "scale": picture.scale,
        "bottom": picture.bottom,
        "marks": sorted({mark.step for mark in found.marks}),
        "events": _events(found),
        "changes": changes(found),
    }


def _events(found: Timeline) -> list[list[list[str]]]:
    """By step of the window: who did what."""
    steps: list[list[list[str]]] = [[] for _ in range(found.first, found.last() + 1)]
    for record in found.records:
        if record.cpu is not None:
            steps[record.step - found.first].append([printable(record.task or ""), text_of(record)])
    return steps


def _json(value: Any) -> str:
    """JSON that no text in it can end the script with."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c").replace("&", "\\u0026")
