"""SQL over a log: the same table under both engines, and nothing but looking."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from recorded import record

from kmodel.log import query
from kmodel.log.duck import Duck
from kmodel.log.query import COLUMNS, QueryError, Sqlite
from kmodel.log.record import Record

Ask = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture(params=["sqlite", "duckdb"])
def engine(request: pytest.FixtureRequest) -> Iterator[Any]:
    if request.param == "duckdb":
        pytest.importorskip("duckdb")
    made = {"sqlite": Sqlite, "duckdb": Duck}[request.param]()
    with made as engine:
        engine.load(record(None, keep=True).records)
        yield engine


@pytest.fixture
def ask(engine: Any) -> Ask:
    def ask(sql: str, seconds: float = 30.0) -> list[tuple[Any, ...]]:
        _, rows = engine.ask(sql, seconds)
        return list(rows)

    return ask


def test_the_columns_are_the_documented_ones(engine: Any) -> None:
    columns, rows = engine.ask("SELECT * FROM events ORDER BY seq", 30.0)
    assert columns == list(COLUMNS)
    found = list(rows)
    assert len(found) == 10
    assert found[4][:8] == (3, 4, 1, "B", "lock.acquire", None, "kernel_map", "false")
    assert found[6][5:8] == (5, "kernel_map", "true")


def test_an_event_s_own_keys_are_reached(ask: Ask) -> None:
    assert ask("SELECT fields->>'va', fields->>'$.n' FROM events WHERE event = 'kva.alloc'") in (
        [("0xffffff8000008000", 2)],
        [("0xffffff8000008000", "2")],
    )
    assert ask("SELECT json_extract(fields, '$.text') IS NOT NULL FROM events WHERE event='mark'")


def test_several_questions_may_be_asked(ask: Ask) -> None:
    assert ask("SELECT count(*) FROM events") == [(10,)]
    assert ask("WITH a AS (SELECT 1 AS x) SELECT x FROM a") == [(1,)]


def test_rows_let_go_early_are_no_error(engine: Any) -> None:
    _, rows = engine.ask("SELECT * FROM events", 30.0)
    next(rows)
    engine.close()
    del rows


WRONG = {
    "attach": "ATTACH '{new}' AS other",
    "write a file": "COPY events TO '{new}'",
    "vacuum": "VACUUM INTO '{new}'",
    "read text": "SELECT * FROM read_text('{old}')",
    "read json": "SELECT * FROM read_json('{old}')",
    "read by name": "SELECT * FROM '{old}'",
    "readfile": "SELECT readfile('{old}')",
    "writefile": "SELECT writefile('{new}', 'x')",
    "insert": "INSERT INTO events SELECT * FROM events",
    "insert behind WITH": "WITH a AS (SELECT 1) DELETE FROM events",
    "update": "UPDATE events SET step = 0",
    "drop": "DROP TABLE events",
    "create": "CREATE TABLE mine (x)",
    "temp table": "CREATE TEMP TABLE mine (x INTEGER)",
    "virtual table": "CREATE VIRTUAL TABLE mine USING fts5(x)",
    "pragma": "PRAGMA writable_schema = 1",
    "pragma as a table": "SELECT * FROM pragma_function_list",
    "pages of the file": "SELECT * FROM sqlite_dbpage",
    "log to a file": "SELECT * FROM enable_logging('QueryLog', storage_path='{new}')",
    "profile to a file": "SELECT * FROM enable_profiling(save_location='{new}')",
    "attach memory": "ATTACH ':memory:' AS other",
    "detach": "DETACH main",
    "read csv": "SELECT * FROM read_csv('{old}')",
    "sniff csv": "SELECT * FROM sniff_csv('{old}')",
    "list files": "SELECT * FROM glob('{old}*')",
    "a database": "SELECT * FROM read_duckdb('{old}')",
    "a query in a text": "SELECT * FROM query('COPY events TO ''{new}''')",
    "a table in a text": "SELECT * FROM query_table('{old}')",
    "over the network": "SELECT * FROM 'https://localhost/x.csv'",
    "a variable of ours": "SELECT * FROM WRONG",
    "export all": "EXPORT DATABASE '{new}'",
    "call": "CALL enable_logging()",
    "unlock": "RESET lock_configuration",
    "unlock by pragma": "PRAGMA lock_configuration=false",
    "tokenizer": "SELECT fts3_tokenizer('simple', x'00')",
    "setting": "SET enable_external_access = true",
    "extension": "SELECT load_extension('{old}')",
    "install": "INSTALL httpfs",
    "load": "LOAD httpfs",
    "begin": "BEGIN",
    "two": "SELECT 1; SELECT 2",
    "two, the second harmful": "SELECT 1; DROP TABLE events",
    "nothing": "",
    "a comment": "-- hello",
    "no SQL": "who held the lock?",
    "NUL": "SELECT 1\0",
    "surrogate": "SELECT '\ud800'",
    "unknown column": "SELECT lock FROM events",
    "unknown table": "SELECT * FROM runs",
}


@pytest.mark.parametrize("name", WRONG)
def test_anything_but_looking_is_refused(ask: Ask, tmp_path: Path, name: str) -> None:
    """No file is read or written, and the events stay what they are."""
    old = tmp_path / "old"
    old.write_text("secret")
    before = ask("SELECT * FROM events")
    with pytest.raises(QueryError) as refused:
        ask(WRONG[name].format(new=tmp_path / "new", old=old))
    assert "secret" not in str(refused.value)
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
    assert ask("SELECT * FROM events") == before


ENDLESS = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c"


def test_an_endless_question_is_stopped(ask: Ask) -> None:
    began = time.monotonic()
    with pytest.raises(QueryError, match="took too long"):
        ask(ENDLESS, 0.3)
    assert time.monotonic() - began < 20
    assert ask("SELECT count(*) FROM events") == [(10,)]


def test_a_question_that_needs_too_much_memory_is_refused() -> None:
    with Sqlite() as engine:
        engine.load([])
        for sql in (
            "SELECT hex(zeroblob(1000000000))",
            "WITH RECURSIVE c(x) AS (SELECT 'x' UNION ALL SELECT x || x FROM c) SELECT x FROM c",
        ):
            with pytest.raises(QueryError, match=r"too big|too much memory"):
                list(engine.ask(sql, 30.0)[1])


def test_numbers_beyond_the_table_are_no_traceback() -> None:
    huge = Record(10**30, 0, 0, "A", "mark", None, None, None, {})
    with Sqlite() as engine, pytest.raises(QueryError, match="could not be put into a table"):
        engine.load([huge])


def test_without_duckdb_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(QueryError, match=r"pip install 'kmodel\[sql\]'"):
        Duck()


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tempfile

    pytest.importorskip("duckdb")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with Duck() as engine:
        engine.load(record(None, keep=True).records)
        assert list(tmp_path.iterdir())
    assert not list(tmp_path.iterdir())


def test_the_authorizer_is_what_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it a question could change what is asked about: the test above is not idle."""
    import sqlite3

    monkeypatch.setattr(query, "_authorize", lambda *_: sqlite3.SQLITE_OK)
    with Sqlite() as engine:
        engine.load([])
        with pytest.raises(QueryError, match="begin with SELECT"):
            # a statement without rows is told after it has run
            engine.ask("DROP TABLE events", 1.0)
        with pytest.raises(QueryError, match="no such table"):
            engine.ask("SELECT * FROM events", 1.0)
