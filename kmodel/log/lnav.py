"""A log for lnav, which wants to know when each event was: a step is a millisecond of the
year 2000. ``FORMAT`` (a file) tells it the rest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import Final

from kmodel.log.record import END, Record, encode

FORMAT: Final = "kmodel_log.lnav.json"

LATEST: Final = 10**14
"""Steps that can be told as times; those after it share one."""

EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)


def format_file() -> str:
    """The text of the format, to be put where lnav looks for it."""
    return files("kmodel.log").joinpath(FORMAT).read_text(encoding="utf-8")


def lines(records: Iterable[Record]) -> Iterator[str]:
    """An event a line, with the time that stands for its step, and how bad it is."""
    for record in records:
        time = EPOCH + timedelta(milliseconds=min(max(record.step, 0), LATEST))
        row = {
            "timestamp": time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "severity": _severity(record),
        }
        row |= {key: value for key, value in record.row().items() if key not in row}
        yield encode(row).decode()


def _severity(record: Record) -> str:
    noun, _, verb = record.event.partition(".")
    if record.event == END:
        outcome = record.fields.get("outcome")
        return {"done": "info", "limit": "warning"}.get(str(outcome), "error")
    if record.event == "inv.violation":
        return "error"
    refused = record.result is False and noun in ("lock", "mutex")
    return "warning" if refused or verb in ("fail", "restart") else "info"
