"""A window of a run as bars, marks and arrows; in characters, as SVG and as a page."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from recorded import HEADER, STORY, record

from kmodel.explore.execution import Outcome
from kmodel.log.grid import lines
from kmodel.log.legend import Legend
from kmodel.log.lettering import cut, wide
from kmodel.log.picture import Picture
from kmodel.log.reader import Reader
from kmodel.log.record import Header
from kmodel.log.recorder import Recorder
from kmodel.log.state import changes
from kmodel.log.timeline import Timeline, timeline
from kmodel.log.webpage import webpage

EVIL = '"></svg><script>alert(1)</script>&\x1b[31m'


def of(path: Path | None, since: int = 0, until: int | None = None) -> Timeline:
    assert path is not None
    with Reader.open(path) as log:
        return timeline(log, log.tasks, log.pools, since, until)


@pytest.fixture
def evil(logs: Path) -> Timeline:
    """Everything that a scenario can name is called something that breaks out of markup."""
    header = Header(scenario="evil", tasks=(EVIL, "B"))
    with Recorder.start(header, logs) as recorder:
        for step, task, cause, event, fields in STORY:
            hurt = {key: EVIL if isinstance(value, str) else value for key, value in fields.items()}
            recorder(step, task, cause, event, hurt)
        recorder.close(Outcome("done", 7))
    return of(recorder.path)


def test_what_was_held_and_waited_for_and_who_let_whom_go(logs: Path) -> None:
    found = of(record(logs).path)
    assert [(s.obj, s.since, s.until) for s in found.bars(0)] == [("kernel_map", 1, 4)]
    assert [(s.obj, s.since, s.until) for s in found.rests(1)] == [("kernel_map", 3, 5)]
    assert [(a.giver, a.since, a.taker, a.until) for a in found.arrows] == [(0, 4, 1, 5)]
    assert found.turns == {0: 0, 1: 0, 2: 1, 3: 1, 4: 0, 5: 1, 6: 0}
    assert (found.steps, found.whole) == (7, True)


def test_a_window_knows_what_was_taken_before_it(logs: Path) -> None:
    found = of(record(logs).path, 2, 3)
    assert [(s.since, s.until) for s in found.bars(0)] == [(1, 4)]
    assert [record.step for record in found.records] == [2, 3]
    assert (found.last(), found.whole) == (3, False)
    assert [2, "lock kernel_map", "held by A"] in changes(found)


def test_the_state_of_locks_and_threads_by_step(logs: Path) -> None:
    told = changes(of(record(logs).path))
    assert [(step, value) for step, key, value in told if key == "lock kernel_map"] == [
        (0, "free"),
        (1, "held by A"),
        (3, "held by A; B waits"),
        (4, "free; B woken"),
        (5, "held by B"),
    ]
    assert [(step, value) for step, key, value in told if key == "thread B"] == [
        (0, "runs, or can"),
        (3, "asleep on lock kernel_map"),
        (4, "woken from lock kernel_map, ready"),
        (5, "runs, or can"),
    ]


def test_columns_of_characters(logs: Path) -> None:
    text = "\n".join(line.text for line in lines(of(record(logs).path), 60))
    rows = text.splitlines()
    assert rows[4].split() == ["3", "│", "●", "waits", "kernel_map"]
    assert rows[5].split() == ["4", "●└", "-kernel_map", rows[5].split()[3]]
    assert rows[5].rstrip().endswith("▶"), "the arrow ends at B"
    assert all(len(row) <= 60 for row in rows[:8])


def test_a_lock_has_the_same_colour_in_every_run(logs: Path) -> None:
    """Whatever else is held there, and whoever came first."""
    names = [["kernel_map"], ["fpageqlock", "kernel_map"], ["p0 amap", "kernel_map", "fpageqlock"]]
    seen = []
    for locks in names:
        with Recorder.start(HEADER, logs) as recorder:
            for step, lock in enumerate(locks):
                recorder(step, 0, None, "lock.acquire", {"obj": lock, "result": True})
            recorder(9, 0, None, "mark", {"text": "later"})
            recorder.close(Outcome("done", 10))
        seen.append(Legend(of(recorder.path), 600).colours)
    assert len({colours["kernel_map"] for colours in seen}) == 1
    assert seen[1]["fpageqlock"] == seen[2]["fpageqlock"]
    assert len(set(seen[2].values())) == 3


def test_a_label_takes_no_more_than_its_room() -> None:
    """Widths of DejaVu Sans at 10 px, the widest of the fonts that a picture asks for."""
    assert cut("&uvm.pagedaemon", 62) == "&uvm.pa…"
    assert 54 < wide("&uvm.pa…") <= 62, "it is 55.5"
    assert cut("&uvm.pagedaemon", 54) == "&uvm.p…"
    assert cut("kernel_map", 70) == "kernel_map"
    assert cut("mmmmm", 20) == ""


def test_too_many_cpus_for_the_columns_are_said(logs: Path) -> None:
    header = Header(scenario="many", tasks=tuple(f"cpu{n}" for n in range(40)))
    (said,) = list(lines(of(record(logs, header).path), 100))
    assert "40 CPUs do not fit 100 columns" in said.text


def test_the_picture_is_well_formed_and_asks_for_nothing(logs: Path) -> None:
    svg = Picture(of(record(logs).path), "two CPUs").svg()
    ElementTree.fromstring(svg)
    assert set(re.findall(r"\w+://[^\"' ]+", svg)) == {"http://www.w3.org/2000/svg"}
    assert "prefers-color-scheme" in svg
    assert "A holds kernel_map, from step 1 to step 4" in svg


class Scripts(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not {name for name, _ in attrs} & {"src", "href", "onload", "onerror"}


def test_no_name_can_break_out_of_a_picture_or_a_page(evil: Timeline) -> None:
    svg = Picture(evil, EVIL).svg()
    tree = ElementTree.fromstring(svg)
    assert not [node for node in tree.iter() if node.tag.endswith("script")]
    page = webpage(evil, EVIL, EVIL)
    parser = Scripts()
    parser.feed(page)
    assert parser.tags.count("script") == 2
    assert "\x1b" not in svg + page
    assert "".join(line.text for line in lines(evil, 100)).isprintable()
    found = re.search(r'id="data">(.*?)</script>', page)
    assert found
    assert json.loads(found[1])["last"] == 6


def test_an_empty_run_is_drawn_too(logs: Path) -> None:
    with Recorder.start(HEADER, logs) as recorder:
        recorder.close(Outcome("done", 0))
    found = of(recorder.path)
    assert list(lines(found, 100)) == []
    ElementTree.fromstring(Picture(found, "nothing").svg())
    assert "<svg" in webpage(found, "nothing")
