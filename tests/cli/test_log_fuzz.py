"""Logs that no kmodel wrote, with sums that fit: every command ends in an answer or a message."""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from kmodel.cli import run_command_line
from kmodel.event import EVENTS
from kmodel.log.record import CHAIN_START, HEADER, SCHEMA, chained, encode

KEYS = ("va", "n", "why", "mutex", "item", "write", "error", "text", "outcome", "held", "x", "cpu_")

TEXTS = st.text(st.characters(exclude_categories=()), max_size=8)
SCALARS = st.one_of(
    *(st.none(), st.booleans(), st.integers(), TEXTS),
    st.floats(allow_nan=False, allow_infinity=False),
)
VALUES = st.one_of(SCALARS, st.lists(SCALARS, max_size=2), st.dictionaries(st.text(), SCALARS))

ROWS = st.fixed_dictionaries(
    {"event": st.sampled_from([*EVENTS, "own.event", ""])},
    optional={
        "step": st.one_of(st.integers(0, 9), VALUES),
        "cpu": st.one_of(st.integers(0, 3), st.integers(), VALUES),
        "task": st.one_of(st.sampled_from("AB"), VALUES),
        "cause": VALUES,
        "obj": st.one_of(st.sampled_from(["kernel_map", "vp pool"]), VALUES),
        "result": VALUES,
        **dict.fromkeys(KEYS, VALUES),
    },
)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "tasks": st.one_of(st.just(["A", "B"]), VALUES),
        "pools": st.one_of(st.dictionaries(st.sampled_from(["vp pool", "x"]), VALUES), VALUES),
        "scenario": st.one_of(st.just("contended_kernel_map"), VALUES),
        "params": st.one_of(st.dictionaries(st.sampled_from(["faults", "x"]), VALUES), VALUES),
        "fix": st.one_of(st.just("wait"), VALUES),
        "seed": VALUES,
    },
)

COMMANDS = (
    ("show",),
    ("show", "--json"),
    ("show", "--cpu", "1", "--event", "lock.*", "--obj", "k*"),
    ("stats",),
    ("stats", "--json"),
    ("query", "SELECT * FROM events"),
    ("query", "--json", "SELECT * FROM events"),
    ("eval", "kernel_map.writer"),
    ("timeline",),
    ("timeline", "--svg", "OUT", "--since", "1", "--until", "5"),
    ("timeline", "--html", "OUT"),
    ("explain",),
    ("diff", "AGAIN"),
    ("diff", "--nearest-passing", "--logs", "RUNS"),
    *(
        ("export", "--to", kind, "-o", "OUT")
        for kind in ("perfetto", "chrome", "csv", "sqlite", "mermaid", "shiviz", "lnav")
    ),
)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("forged") / "events.jsonl"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example({"pools": {"vp pool": "x"}}, [{"event": "pool.get", "cpu": 0, "obj": "vp pool"}])
@example({"tasks": ["A"]}, [{"event": "pool.fail", "cpu": -7, "why": [1]}])
@example({"tasks": ["\ud800"]}, [{"event": "mark", "cpu": 0, "task": "\ud800", "text": {}}])
@example({}, [{"event": "chan.sleep", "cpu": 0, "step": 9}, {"event": "chan.woken", "cpu": 0}])
@example({}, [{"event": "fault.begin", "cpu": 0}, {"event": "fault.end", "cpu": 0, "error": []}])
@example({}, [{"event": "run.end", "outcome": None}, {"event": "run.end"}])
@example({}, [{"event": "lock.try", "cpu": 0, "obj": {"a": []}, "result": [], "write": {}}])
@example({}, [{"event": "run.end", "outcome": "deadlock"}])
@example(
    {"tasks": ["A"], "scenario": "contended_kernel_map", "params": {"faults": 1}, "fix": "wait"},
    [{"event": "task.start", "cpu": 0}, {"event": "run.end", "outcome": "deadlock"}],
)
@given(header=HEADERS, rows=st.lists(ROWS, max_size=6))
def test_no_record_makes_a_traceback(
    path: Path, header: dict[str, Any], rows: list[dict[str, Any]]
) -> None:
    first = {"event": HEADER, "schema": SCHEMA} | header
    lines, before = [chained(encode(first), HEADER.encode())[0]], CHAIN_START
    for seq, row in enumerate(rows):
        line, before = chained(encode({"step": seq, "seq": seq} | row), before)
        lines.append(line)
    path.write_bytes(b"".join(lines))
    for name, *rest in COMMANDS:
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            places = {"OUT": str(path.with_name("out")), "AGAIN": str(path)}
            places["RUNS"] = str(path.with_name("runs"))
            more = [places.get(word, word) for word in rest]
            status = run_command_line(["log", name, str(path), *more])
        assert status in (0, 2, 5), (name, err.getvalue())
        assert "Traceback" not in err.getvalue()
