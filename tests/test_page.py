"""The matrix as a page: every cell is linked to its story, and nothing else is asked for."""

from __future__ import annotations

import html
import re
from functools import cache
from html.parser import HTMLParser

import attrs

from kmodel import fixes, situations
from kmodel.budget import not_begun
from kmodel.cell import Cell, cells
from kmodel.compare import judge, units
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


def test_a_page_says_what_its_rows_and_columns_are() -> None:
    """In words that are there without pointing at anything; of columns left out too."""
    for name in ("contention", "fragmented", "intrsafe-full"):
        summary = html.escape(situations.load(name).summary, quote=False)
        assert f"<dt>{name}</dt><dd>{summary}</dd>" in made()
    for fix in ("wait", "populate"):
        assert f'<h3>{fix} <span class="soft">{fixes.load(fix).summary}</span></h3>' in made()
    assert "<li>Of 2 situations: " in made()


def test_a_story_is_evidence_or_a_run_with_a_lane_for_each_cpu() -> None:
    """What holds says within which bounds; what breaks is drawn, told, and can be replayed."""
    holds = section("populate.contention")
    assert "No schedule within the bounds breaks anything." in holds
    for bound in ("cpus=1", "faults=1", "npages=64", "kva_pages=24", "pted_stock=4", "levels=3"):
        assert f"{bound}" in re.findall(r"Bounds: (.*?)\.</li>", holds)[0].split(", ")
    assert "Kernel variants: lap wakes; rwlock wake-all | wake-one-writer." in holds
    assert "Assumed: sequential consistency" in holds
    policies = "lock policy wake-all or lock policy wake-one-writer, as the variant says"
    assert policies in holds
    broken = section("wait.contention")
    for lane in ("A", "K", "pagedaemon"):
        assert f'">{lane}</text>' in broken
    assert "<svg" not in holds
    assert broken.count("<svg") == 2, "a picture for each property that is broken"
    for name in ("no refault livelock", "ends"):
        assert f"({name})</h3>" in broken
    assert "what it sleeps for is true, and nobody tells it" in broken
    assert broken.count("kmodel replay k2-") >= 2


def section(name: str) -> str:
    found = re.search(rf'<section id="{re.escape(name)}">.*?</section>', made(), re.DOTALL)
    assert found
    return found[0]


def test_what_was_not_begun_is_told_as_that() -> None:
    """And a reason is text, whatever is in it."""
    assert "~ 1 of 2 variants not begun: no time was left." in section("populate.fragmented")
    assert 'title="no &lt;such&gt; map"' in made() or "no &lt;such&gt; map" in made()


def test_the_page_is_the_same_each_time() -> None:
    """Nothing in it depends on when it was made."""
    assert page(list(matrix()), [REASON]) == made()


def test_the_findings_of_every_variant_are_told() -> None:
    """Also those that the worst does not show, with where they were found."""
    (cell, *_) = matrix()
    worst = cell.worst
    (other,) = [judged for judged in cell.variants if judged is not worst]
    seen = attrs.evolve(worst.verdict.findings[0], kind="data-race", property="no <other>")
    verdict = attrs.evolve(other.verdict, findings=(*other.verdict.findings, seen))
    changed = attrs.evolve(other, verdict=verdict)
    variants = tuple(changed if one is other else one for one in cell.variants)
    told = page([attrs.evolve(cell, variants=variants)], [])
    where = ", ".join(f"{key}={value}" for key, value in other.unit.variant.items())
    assert f"data-race (no &lt;other&gt;) in 1 of 2 variants, first {where}: " in told
    assert "data-race" not in made()
