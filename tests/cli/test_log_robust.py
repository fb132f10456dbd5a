"""Every log command on every kind of harm: a message with its place, 5, and all before it shown."""

from __future__ import annotations

import gzip
import importlib.util
import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import ROOT, Commands, Ran

EXAMPLE = ROOT / "logs" / "example-contended_kernel_map-populate" / "events.jsonl"
COUNT = "SELECT count(*) AS n FROM events"
EXPORTS = ("perfetto", "chrome", "csv", "sqlite", "mermaid", "shiviz", "lnav")

COMMANDS = {
    "show": ("show", "BAD"),
    "show, filtered": ("show", "BAD", "--event", "lock.*", "--cpu", "K"),
    "show --json": ("show", "BAD", "--json"),
    "stats": ("stats", "BAD"),
    "stats --json": ("stats", "BAD", "--json"),
    "query": ("query", "BAD", COUNT),
    "query --json": ("query", "BAD", COUNT, "--json"),
    "query, duckdb": ("query", "BAD", COUNT, "--engine", "duckdb"),
    "eval": ("eval", "BAD", "kernel_map.writer"),
    "eval --json": ("eval", "BAD", "kernel_map.writer", "--json"),
    "timeline": ("timeline", "BAD"),
    "timeline --svg": ("timeline", "BAD", "--svg", "OUT"),
    "timeline --html": ("timeline", "BAD", "--html", "OUT"),
    "explain": ("explain", "BAD"),
    "explain --json": ("explain", "BAD", "--json"),
    "diff, left": ("diff", "BAD", str(EXAMPLE)),
    "diff, right": ("diff", str(EXAMPLE), "BAD"),
    "diff --json": ("diff", "BAD", str(EXAMPLE), "--json"),
    "diff --nearest-passing": ("diff", "BAD", "--nearest-passing", "--logs", "LOGS"),
    **{f"export, {kind}": ("export", "BAD", "--to", kind, "-o", "OUT") for kind in EXPORTS},
    "export, parquet by duckdb": ("export", "BAD", "--to", "parquet", "-o", "OUT"),
}

AT: int = 100
"""Here the log is harmed: its 100th line."""


def lines(change: Callable[[list[bytes]], list[bytes]]) -> bytes:
    return b"".join(change(EXAMPLE.read_bytes().splitlines(keepends=True)))


def flipped() -> bytes:
    def change(rows: list[bytes]) -> list[bytes]:
        row = bytearray(rows[AT - 1])
        row[12] ^= 4
        return [*rows[: AT - 1], bytes(row), *rows[AT:]]

    return lines(change)


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def spoilt(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 255]) + data[middle + 1 :]


PLACED = {
    "torn tail": lambda: lines(lambda rows: [*rows[: AT - 1], rows[AT - 1][:20]]),
    "flipped bit": flipped,
    "missing record": lambda: lines(lambda rows: rows[: AT - 1] + rows[AT:]),
    "doubled record": lambda: lines(lambda rows: rows[: AT - 1] + rows[AT - 2 :]),
    "swapped records": lambda: lines(
        lambda rows: [*rows[: AT - 1], rows[AT], rows[AT - 1], *rows[AT + 1 :]]
    ),
    "zeroes at the end": lambda: lines(lambda rows: [*rows[: AT - 1], bytes(500)]),
    "another log behind": lambda: lines(lambda rows: [*rows[: AT - 1], rows[0], *rows[AT - 1 :]]),
}
"""Harm at line ``AT``; the records before it are good."""

PACKED = {
    "torn gzip": lambda: half(gzip.compress(EXAMPLE.read_bytes())),
    "spoilt gzip": lambda: spoilt(gzip.compress(EXAMPLE.read_bytes())),
    "gzip of a torn log": lambda: gzip.compress(half(EXAMPLE.read_bytes())),
}
"""Harm somewhere; there may be good records before it."""

NOTHING = {
    "empty": lambda: b"",
    "no log": lambda: b"Dear list,\n",
    "binary": lambda: bytes(range(256)) * 100,
    "header torn": lambda: lines(lambda rows: [rows[0][:50]]),
    "header missing": lambda: lines(lambda rows: rows[1:]),
    "gzip of nothing": lambda: gzip.compress(b""),
    "three bytes of gzip": lambda: b"\x1f\x8b\x08",
}
"""There is nothing that could be shown."""


def ran(call: Commands, name: str, bad: Path, tmp_path: Path) -> Ran:
    if "duckdb" in name and not importlib.util.find_spec("duckdb"):
        pytest.skip("DuckDB is not installed")
    places = {"BAD": str(bad), "OUT": str(tmp_path / "out"), "LOGS": str(tmp_path / "logs")}
    found = call("log", *(places.get(word, word) for word in COMMANDS[name]))
    assert "Traceback" not in found.err
    return found


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Commands:
    return Commands(capsys)


def shown(found: Ran, tmp_path: Path) -> int:
    """How much came out."""
    out = tmp_path / "out"
    return out.stat().st_size if out.exists() else len(found.out)


@pytest.mark.parametrize("harm", PLACED)
@pytest.mark.parametrize("name", COMMANDS)
def test_harm_is_named_with_its_place_and_all_before_it_is_shown(
    call: Commands, name: str, harm: str, tmp_path: Path
) -> None:
    bad = tmp_path / "events.jsonl"
    bad.write_bytes(PLACED[harm]())
    found = ran(call, name, bad, tmp_path)
    assert found.status == 5
    assert re.search(rf"{re.escape(str(bad))}, line {AT}, byte \d+: ", found.err)
    assert f"The {AT - 2} events before it are good" in found.err
    assert shown(found, tmp_path) > 5 or name == "diff --nearest-passing"
    if name.endswith("--json"):
        document = found.document
        harmed = document["damage"][0] if name.startswith("diff") else document["damage"]
        assert (harmed["line"], harmed["records"]) == (AT, AT - 2)


@pytest.mark.parametrize("harm", PACKED)
@pytest.mark.parametrize("name", COMMANDS)
def test_a_packed_log_that_is_harmed_is_told(
    call: Commands, name: str, harm: str, tmp_path: Path
) -> None:
    bad = tmp_path / "events.jsonl.gz"
    bad.write_bytes(PACKED[harm]())
    found = ran(call, name, bad, tmp_path)
    assert found.status == 5
    assert re.search(rf"{re.escape(str(bad))}, line \d+, byte \d+: ", found.err)


@pytest.mark.parametrize("harm", [*NOTHING, "directory", "no permission"])
@pytest.mark.parametrize("name", COMMANDS)
def test_where_there_is_nothing_to_show_nothing_is_made(
    call: Commands, name: str, harm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = tmp_path / "bad"
    if harm == "directory":
        bad.mkdir()
    else:
        bad.write_bytes(NOTHING.get(harm, EXAMPLE.read_bytes)())
    if harm == "no permission":
        refuse(bad, monkeypatch)
    found = ran(call, name, bad, tmp_path)
    assert found.status == 5
    assert str(bad) in found.err
    assert not (tmp_path / "out").exists()
    assert harm != "no permission" or "permission denied" in found.err


def refuse(bad: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the system does; whoever runs the tests may be root, who is never refused."""
    really = os.open

    def refused(path: str, *more: int) -> int:
        if str(path) == str(bad):
            raise PermissionError(13, "Permission denied", str(path))
        return really(path, *more)

    monkeypatch.setattr("kmodel.log.reader.os.open", refused)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_packed_log_and_an_unfinished_one_are_no_harm(
    call: Commands, name: str, tmp_path: Path
) -> None:
    packed, cut = tmp_path / "a.gz", tmp_path / "b"
    packed.write_bytes(gzip.compress(EXAMPLE.read_bytes()))
    cut.write_bytes(lines(lambda rows: rows[:-1]))
    for good in (packed, cut):
        found = ran(call, name, good, tmp_path)
        # the run did not fail, or is not over: there is nothing nearer that passes
        assert (found.status, shown(found, tmp_path) > 5) == (0, True) or "nearest" in name


@pytest.mark.parametrize("name", [name for name in COMMANDS if "OUT" in COMMANDS[name]])
def test_a_disk_that_is_full_leaves_no_half_written_file(name: str, tmp_path: Path) -> None:
    """What a view is written to is there whole or not at all."""
    if "duckdb" in name and not importlib.util.find_spec("duckdb"):
        pytest.skip("DuckDB is not installed")
    out = tmp_path / "out"
    out.write_text("what was there before")
    places = {"BAD": str(EXAMPLE), "OUT": str(out)}
    done = subprocess.run(
        [sys.executable, "-m", "kmodel", "log", *(places.get(w, w) for w in COMMANDS[name])],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500)),
    )
    assert done.returncode == 2, done.stderr
    assert "Error: " in done.stderr
    assert "Traceback" not in done.stderr
    assert os.listdir(tmp_path) == ["out"]
    assert out.read_text() == "what was there before"
