"""What can be wrong with a log, and telling one harm from another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, Literal

import attrs

from kmodel.log.record import HEADER, SCHEMA, Row

Harm = Literal[
    "torn",  # the last line stops in the middle
    "changed",  # a line is not what was written
    "missing",  # records are gone
    "doubled",  # a record comes twice
    "moved",  # records have changed places
    "trailing",  # something stands after run.end
    "empty",  # no byte at all
    "foreign",  # not a log of kmodel
    "schema",  # a log of another version of kmodel
    "no-events",  # a directory without an events file
    "unreadable",  # the system does not let us read
]

_AGAIN: Final = "The seed or token in the header gives the same run again."

ADVICE: Final[dict[Harm, str]] = {
    "torn": f"The run was killed, ran out of disk, or is still being written. {_AGAIN}",
    "changed": f"Take the file again from where it was copied. {_AGAIN}",
    "missing": f"Take the file again from where it was copied. {_AGAIN}",
    "doubled": f"Remove the second copy, or take the file again from its source. {_AGAIN}",
    "moved": f"A log must not be sorted or merged. {_AGAIN}",
    "trailing": "Keep each run in a file of its own.",
    "empty": "Name the log of a run, or run it again.",
    "foreign": "Name a run under the log directory, or the events.jsonl of one.",
    "schema": "Read it with the version of kmodel that wrote it, or run it again with this one.",
    "no-events": "Name the directory of one run, or its events.jsonl.",
    "unreadable": "Check the path and its permissions.",
}
"""What to do about each harm: the last sentence of its message."""


CRLF: Final = b"\r\n"
REWRITTEN: Final = "lines end in CR LF, where kmodel writes LF: something has rewritten the file"


@attrs.frozen
class Damage:
    """What is wrong with a log, and from where on it cannot be read.

    ``line`` counts from 1, ``byte`` from 0 (in the unpacked text of a packed log);
    both are ``None`` where no line is to blame. ``records`` events before it are
    good. ``message`` says all of this, and what to do.
    """

    harm: Harm
    path: str
    line: int | None
    byte: int | None
    records: int
    message: str


@attrs.frozen
class Line:
    """A line as it stands in the file, its newline included; where it begins."""

    raw: bytes
    number: int
    byte: int


class Broken(Exception):
    """A log cannot be read on; ``what`` is wrong, in words that follow the position."""

    def __init__(self, harm: Harm, what: str, line: Line | None = None) -> None:
        super().__init__(what)
        self.harm, self.what, self.line = harm, what, line

    def damage(self, path: Path, records: int) -> Damage:
        """The same as a report about the file at ``path``."""
        harm, line = self.harm, self.line
        where = f", line {line.number}, byte {line.byte}" if line else ""
        good = "1 event before it is" if records == 1 else f"{records} events before it are"
        sentences = [f"{path}{where}: {self.what}."]
        if line:
            sentences.append(f"The {good} good; nothing after that was read.")
        message = " ".join([*sentences, ADVICE[harm]])
        number, byte = (line.number, line.byte) if line else (None, None)
        return Damage(harm, str(path), number, byte, records, message)


def parse(raw: bytes) -> Row | None:
    """The JSON object on a line, or ``None`` where there is none."""
    try:
        row = json.loads(raw.decode())
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def bad_header(line: Line) -> Broken:
    """Why the first line, whose sum does not fit or which is no header, is not read."""
    row = parse(line.raw)
    if row is not None and row.get("event") == HEADER and line.raw.endswith(CRLF):
        return Broken("changed", REWRITTEN, line)
    if row is None:
        if line.raw.startswith(b'{"event":"' + HEADER.encode()):
            return Broken(*_not_json(line), line)
        return Broken("foreign", "it is not a log of kmodel: its first line is no record", line)
    schema = row.get("schema")
    if row.get("event") == HEADER and isinstance(schema, str):
        family = SCHEMA.partition("/")[0]
        if schema == SCHEMA:
            return Broken("changed", "the header is not what was written: its sum differs", line)
        if schema.partition("/")[0] == family:
            what = f"it is a log of schema {schema}, and this kmodel reads {SCHEMA}"
            return Broken("schema", what, line)
    if _seq(row) is not None and "step" in row and "sum" in row:
        return Broken("missing", "the header is missing: an event comes first", line)
    return Broken("foreign", "it is not a log of kmodel: its first line is no header", line)


def bad_event(line: Line, following: Line | None, expected: int, before: bytes) -> Broken:
    """Why a line that does not continue the chain does not.

    ``expected`` is the ``seq`` that should have come, ``before`` the line above,
    ``following`` the one below: together they tell a record that was changed from
    one that is genuine but in the wrong place.
    """
    if line.raw.endswith(CRLF):
        return Broken("changed", REWRITTEN, line)
    if line.raw == before:
        return Broken("doubled", "this record is the same as the one before it", line)
    row = parse(line.raw)
    if row is None or not line.raw.endswith(b"\n"):
        return Broken(*_not_json(line), line)
    if row.get("event") == HEADER:
        return Broken("foreign", "a header: another log begins in the middle of this one", line)
    seq = _seq(row)
    after = _seq(parse(following.raw) or {}) if following else None
    if seq is None or seq == expected or after == expected + 1:
        return Broken("changed", "this record is not what was written: its sum differs", line)
    if seq < expected:
        return Broken("doubled", f"record {seq} comes a second time, and {expected} does not", line)
    if after == expected:
        what = f"records {expected} and {seq} have changed places"
        return Broken("moved", what, line)
    gone = f"record {expected} is" if seq == expected + 1 else f"records {expected}-{seq - 1} are"
    return Broken("missing", f"{gone} missing: record {seq} stands here", line)


def _not_json(line: Line) -> tuple[Harm, str]:
    if line.raw.endswith(b"\n"):
        return "changed", "this line is not what was written: it is not JSON any more"
    written = len(line.raw.rstrip(b"\0"))
    zeros = len(line.raw) - written
    if not zeros:
        return "torn", f"the last line stops in the middle, after {written} bytes"
    what = f"{zeros} zero bytes, room that the file system gave and nothing was written to"
    half = f"the last line stops in the middle, after {written} bytes; then come "
    return "torn", (half if written else "here come ") + what


def _seq(row: dict[str, Any]) -> int | None:
    seq = row.get("seq")
    return seq if type(seq) is int else None
