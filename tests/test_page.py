"""The matrix as a page: every cell is linked to its story, and nothing else is asked for."""

from __future__ import annotations

import re
from functools import cache
from html.parser import HTMLParser

from kmodel.budget import not_begun
from kmodel.compare import Cell, cells, judge, units
from kmodel.explore.graph import Limits
from kmodel.page import page

VOID = {"meta", "br", "link", "img", "input"}
REASON = {"fix": "wait", "situation": "intrsafe-full", "reason": "no <such> map"}


@cache
def matrix() -> tuple[Cell, ...]:
    todo = units(["wait", "populate"], ["contention", "fragmented"], {"cpus": 1, "lap": "wakes"})
    found = [judge(unit, Limits()) for unit in todo[:-1]]
    return tuple(cells([*found, not_begun(todo[-1])], todo))


@cache
def made() -> str:
    return page(list(matrix()), [REASON])


class Reader(HTMLParser):
    """Checks that what is opened is closed; collects ids, links, and what would load something."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: set[str] = set()
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            elif name == "href":
                self.links.add(value or "")
            elif name == "src":
                self.loads.append(value or "")
        if tag == "script":
            self.loads.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def read() -> Reader:
    reader = Reader()
    reader.feed(made())
    assert reader.open == []
    return reader


def test_the_page_stands_alone() -> None:
    """No script, nothing to load, and a policy that allows none of it."""
    reader = read()
    assert reader.loads == []
    assert all(link.startswith("#") for link in reader.links)
    assert "default-src 'none'; style-src 'unsafe-inline'\"" in made()
    assert not re.search(r"url\((?!#)|@import", made())


def test_every_cell_leads_to_its_story() -> None:
    """One id each; what pictures refer to is there once, outside of what may be hidden."""
    reader = read()
    stories = {f"{cell.fix}.{cell.situation}" for cell in matrix()}
    assert {link[1:] for link in reader.links} == stories | {"top"}
    assert stories <= set(reader.ids)
    assert len(reader.ids) == len(set(reader.ids))
    assert made().index('id="hatch"') < made().index("<section")


def test_a_story_is_evidence_or_a_run_with_a_lane_for_each_cpu() -> None:
    """What holds says within which bounds; what breaks is drawn, told, and can be replayed."""
    holds = section("populate.contention")
    assert "No schedule within the bounds breaks anything." in holds
    assert "Bounds: cpus=1" in holds
    assert "Assumed: sequential consistency" in holds
    broken = section("wait.contention")
    for lane in ("A", "K", "pagedaemon"):
        assert f'">{lane}</text>' in broken
    assert "<svg" not in holds
    assert broken.count("<svg") == 1
    assert "what it sleeps for is true, and nobody tells it" in broken
    assert broken.count("kmodel replay k2-") >= 2


def section(name: str) -> str:
    found = re.search(rf'<section id="{re.escape(name)}">.*?</section>', made(), re.DOTALL)
    assert found
    return found[0]


def test_what_was_not_begun_is_told_as_that() -> None:
    """And a reason is text, whatever is in it."""
    assert "not begun: no time was left" in section("populate.fragmented")
    assert 'title="no &lt;such&gt; map"' in made() or "no &lt;such&gt; map" in made()


def test_the_page_is_the_same_each_time() -> None:
    """Nothing in it depends on when it was made."""
    assert page(list(matrix()), [REASON]) == made()
