"""The loop that a token tells of is marked in every view of its run."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import attrs
import pytest
from recorded import HEADER, record

from kmodel.explore.schedule import Block, Token
from kmodel.log import sequence
from kmodel.log.grid import lines
from kmodel.log.loop import Loop, loop_of
from kmodel.log.picture import Picture
from kmodel.log.reader import Reader
from kmodel.log.show import lines as columns
from kmodel.log.timeline import Timeline, timeline
from kmodel.log.tracks import THE_LOOP, Slice, tracks

LOOP = Loop(3, 6)

TOKEN = Token(
    *("two_cpus", {}, "", ("A", "B"), (Block(0, 3),), (Block(1), Block(0, 2)), "0" * 32),
    *("livelock", "termination", "0" * 16, "0" * 8, "0.1.0"),
)


@pytest.fixture
def path(logs: Path) -> Path:
    found = record(logs, attrs.evolve(HEADER, token=TOKEN.word())).path
    assert found is not None
    return found


def drawn(path: Path, since: int = 0, until: int | None = None) -> Timeline:
    with Reader.open(path) as log:
        return timeline(log, log.tasks, {}, since, until, loop_of(log.header))


def test_the_loop_is_read_off_the_token(path: Path) -> None:
    with Reader.open(path) as log:
        assert loop_of(log.header) == LOOP
    assert loop_of({"token": attrs.evolve(TOKEN, loop=()).word()}) is None
    assert loop_of({"token": "k1-nonsense"}) is None
    assert loop_of({"token": None}) is None


def test_every_view_marks_where_it_begins_and_ends(path: Path) -> None:
    found = drawn(path)
    with Reader.open(path) as log:
        shown = [line.text for line in columns(log, log.tasks, mark_steps=LOOP.marks())]
    for rows in (shown, [line.text for line in lines(found, 80)]):
        marks = [at for at, row in enumerate(rows) if row.startswith("---")]
        assert [int(rows[at + 1].split()[0]) for at in marks] == [3, 6]
        assert "(3 steps)" in rows[marks[0]]
    svg = Picture(found, "a loop").svg()
    ElementTree.fromstring(svg)
    assert "steps 3-5 go round for ever" in svg
    text = list(sequence.mermaid(found))
    assert "    loop steps 3-5, for ever" in text
    assert text[-1] == "    end"
    with Reader.open(path) as log:
        items = list(tracks(log, {}, loop_of(log.header)))
    (turn,) = [item for item in items if isinstance(item, Slice) and item.track == THE_LOOP]
    assert (turn.since, turn.until) == (3, 6)


def test_a_loop_that_is_not_in_the_log_or_the_window_is_not_drawn(path: Path) -> None:
    early = [line.text for line in lines(drawn(path, 0, 1), 80)]
    assert not [row for row in early if row.startswith("---")]
    assert "for ever" not in Picture(drawn(path, 0, 1), "").svg()
    short = path.with_name("short.jsonl")
    short.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:6]))
    assert drawn(short).loop is None
    with Reader.open(short) as log:
        items = list(tracks(log, {}, LOOP))
    assert not [item for item in items if isinstance(item, Slice) and item.track == THE_LOOP]
