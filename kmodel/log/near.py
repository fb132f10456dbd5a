"""Names that were asked for and are not there: which ones are near."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Final

from kmodel.log.record import Record
from kmodel.log.show import printable

FEW: Final = 8
"""Names that are listed where none is near."""

MOST: Final = 10_000
"""Names of a log that are kept: no model has as many objects."""


def near(wanted: str, known: Iterable[str]) -> str:
    """`` Did you mean a or b?``; nothing where no name is near."""
    names = sorted(set(known))
    found = [name for name in names if name.casefold() == wanted.casefold()]
    found = found or difflib.get_close_matches(wanted, names, n=3)
    return printable(f" Did you mean {' or '.join(found)}?") if found else ""


def hint(wanted: str, known: Iterable[str]) -> str:
    """The same, or else what there is."""
    names = sorted(set(known))
    if said := near(wanted, names):
        return said.strip()
    more = f" and {len(names) - FEW:,} more" if len(names) > FEW else ""
    return printable(f"There are {', '.join(names[:FEW])}{more}.") if names else "There are none."


class Seen:
    """Which events and objects a log has, told apart from those that somebody asks for."""

    def __init__(self) -> None:
        self.events: set[str] = set()
        self.objects: set[str] = set()

    def add(self, record: Record) -> None:
        self.events.add(record.event)
        if record.obj is not None and len(self.objects) < MOST:
            self.objects.add(str(record.obj))


def lacking(globs: Iterable[str], names: set[str]) -> list[str]:
    """Those of ``globs`` that none of ``names`` fits."""
    return [glob for glob in globs if not any(fnmatchcase(name, glob) for name in names)]
