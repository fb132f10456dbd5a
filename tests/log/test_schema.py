"""What stands in a log is what the schema and the page say, and stays so."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pinned
import pytest
from kernels import CASES, recorded
from recorded import HEADER, record

import kmodel
from kmodel.event import EVENTS
from kmodel.log import schema as made
from kmodel.log.reader import Reader
from kmodel.log.record import SCHEMA
from kmodel.log.vocabulary import _TABLE, words

ROOT = Path(kmodel.__file__).parent
PINNED = Path(__file__).with_name("events-1.txt")
FIELDS = {word.event: {field.name: field for field in word.fields} for word in words()}

REMAKE = """make them again:
kmodel log schema > kmodel/log/events.schema.json; kmodel log schema --page > docs/events.md"""


def test_every_event_is_in_the_table_and_nothing_else_is() -> None:
    assert list(EVENTS) == [word.event for word in words()]
    assert set(_TABLE) == set(EVENTS)


def test_the_file_and_the_page_are_made_from_the_table() -> None:
    assert made.FILE.read_text() == made.text(), REMAKE
    assert (ROOT.parent / "docs" / "events.md").read_text() == made.page(), REMAKE


def test_the_page_explains_every_event() -> None:
    page = made.page()
    for word in words():
        assert f"| `{word.event}` | {word.meaning} |" in page
        assert not word.file or f"`{word.function}` ({word.file})" in page


def test_names_and_fields_are_those_of_this_version_of_the_schema() -> None:
    """What was pinned and is gone breaks everybody's scripts: that is a new version. What is
    new is pinned with it."""
    assert SCHEMA == "kmodel.events/1", "a new version: pin it in a file of its own"
    was, now = PINNED.read_text().splitlines(), pinned.lines()
    gone = pairs(was) - pairs(now)
    assert not gone, f"renamed or removed: raise SCHEMA to kmodel.events/2: {sorted(gone)}"
    assert was == now, "something is new: python tests/log/pinned.py > tests/log/events-1.txt"


def pairs(lines: list[str]) -> set[tuple[str, str]]:
    """(event, field); an event stands for itself too."""
    return {(line.split()[0], part) for line in lines for part in line.split()}


def said() -> list[tuple[str, str, set[str]]]:
    """Every ``say`` in the model: the file, the event, the fields."""
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            if node.func.id == "say" and node.args and isinstance(node.args[0], ast.Constant):
                names = {word.arg for word in node.keywords if word.arg}
                found.append((path.name, str(node.args[0].value), names))
    return found


def test_what_the_model_says_has_the_fields_of_the_table() -> None:
    """Also where no run of the tests comes by."""
    assert len(said()) > 20
    for where, event, names in said():
        known = FIELDS[event]
        assert names <= set(known), (where, event)
        assert {name for name in known if known[name].required} <= names, (where, event)


@pytest.mark.parametrize(("scenario", "fix"), CASES)
def test_real_logs_have_no_event_and_no_field_that_the_table_lacks(
    scenario: str, fix: str, logs: Path
) -> None:
    for seed in range(4):
        path = recorded(scenario, fix, seed, logs).path
        assert path is not None
        with Reader.open(path) as log:
            for event in log:
                known = FIELDS[event.event]
                own = set(event.fields) | {k for k in ("obj", "result") if k in event.row()}
                assert own <= set(known), event
                assert {name for name in known if known[name].required} <= own, event
            assert log.finished


def test_the_header_has_the_keys_of_the_schema_in_their_order() -> None:
    assert list(json.loads(HEADER.line())) == list(made._HEADER)


def validator() -> Any:
    jsonschema = pytest.importorskip("jsonschema")
    kind = jsonschema.Draft202012Validator
    kind.check_schema(made.schema())
    return kind(json.loads(made.FILE.read_text()))


@pytest.mark.parametrize(("scenario", "fix"), CASES)
def test_real_logs_are_valid(scenario: str, fix: str, logs: Path) -> None:
    """By a validator that is not ours."""
    valid = validator()
    path = recorded(scenario, fix, 7, logs).path
    assert path is not None
    lines = path.read_text().splitlines()
    assert len(lines) > 20
    for line in lines:
        valid.validate(json.loads(line))


def spoilt(row: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {key: value for key, value in (row | changes).items() if value is not ...}


def test_the_schema_can_say_no(logs: Path) -> None:
    valid = validator()
    path = record(logs).path
    assert path is not None
    header, *rows = map(json.loads, path.read_text().splitlines())
    assert valid.is_valid(header)
    assert valid.is_valid(spoilt(rows[0], event="toaster.pop", colour="brown"))
    trying, ending = spoilt(rows[1], write=True), rows[-1]
    assert valid.is_valid(trying)
    for wrong in (
        spoilt(trying, result=...),
        spoilt(trying, obj=...),
        spoilt(trying, write="yes"),
        spoilt(trying, cpu=-1),
        spoilt(trying, seq=...),
        spoilt(trying, sum="short"),
        spoilt(trying, extra=[1]),
        spoilt(ending, digest=...),
        spoilt(header, schema="kmodel.events/0"),
        spoilt(header, tasks="A"),
        spoilt(header, started=...),
        spoilt(rows[0], event="toaster.pop", deep={"er": 1}),
        [],
    ):
        assert not valid.is_valid(wrong), wrong
