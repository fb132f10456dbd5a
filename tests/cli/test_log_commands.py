"""stats, query, eval, schema and --follow on the command line."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands import ROOT, Commands, child

EXAMPLE = ROOT / "logs" / "example-contended_kernel_map-populate"


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Commands:
    return Commands(capsys)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A logged run of the thread's story under the fix that waits."""
    logs = tmp_path_factory.mktemp("logs")
    ran = child("run", "contended_kernel_map", "--fix", "wait", "--seed", 7, "--logs", logs)
    assert ran.status == 0, ran.err
    (found,) = logs.iterdir()
    return found


@pytest.fixture
def torn(run: Path, tmp_path: Path) -> Path:
    path = tmp_path / "events.jsonl"
    path.write_bytes((run / "events.jsonl").read_bytes()[:-3000])
    return path


QUERY = "SELECT event, count(*) AS n FROM events GROUP BY event ORDER BY n DESC, event LIMIT 2"

COMMANDS = {
    "show": ("show",),
    "stats": ("stats",),
    "query": ("query", "SELECT count(*) AS n FROM events"),
    "eval": ("eval", "p0.pmap.resident_count"),
}


def asked(run: Path, name: str, *more: str) -> list[object]:
    command, *rest = COMMANDS[name]
    return ["log", command, run, *rest, *more]


def test_stats_are_plain_aligned_tables(call: Commands, run: Path) -> None:
    ran = call("log", "stats", run)
    assert (ran.status, ran.err) == (0, "")
    tables = ran.out.split("\n\n")
    assert tables[0].splitlines()[0] == "contended_kernel_map fix=wait strategy=random seed=7"
    heads = [table.split()[0] for table in tables[1:]]
    assert heads == ["lock", "pool", "fault", "cpu"]
    for table in tables[1:]:
        assert len(set(table.splitlines()[1])) == 1
    assert "map lock refused 1" in ran.out
    assert "\x1b" not in ran.out


def test_stats_as_json_have_every_number(call: Commands, run: Path) -> None:
    document = call("log", "stats", run, "--json").document
    assert list(document) == [
        *("schema", "run", "outcome", "steps", "events"),
        *("locks", "pools", "faults", "cpus", "kept", "unfinished", "damage"),
    ]
    assert document["schema"] == "kmodel.log-stats/1"
    vp = next(pool for pool in document["pools"] if pool["name"] == "vp pool")
    assert vp["failed"] == {"map lock refused": 1}
    (fault,) = [fault for fault in document["faults"] if fault["refaults"]]
    assert "&uvmexp.free" in fault["waited"]


def test_query_prints_a_table_and_says_what_it_left_out(call: Commands, run: Path) -> None:
    ran = call("log", "query", run, QUERY)
    assert ran.status == 0
    lines = ran.out.splitlines()
    assert lines[0].split() == ["event", "n"]
    assert [line.split()[0] for line in lines[2:]] == ["mutex.enter", "witness.order"]
    ran = call("log", "query", run, "SELECT seq FROM events", "--limit", 3)
    assert len(ran.out.splitlines()) == 5
    assert ran.err == "Only the first 3 rows are shown: --limit N shows more.\n"


def test_query_as_json(call: Commands, run: Path) -> None:
    document = call("log", "query", run, QUERY, "--json", "--limit", 1).document
    assert document["schema"] == "kmodel.log-query/1"
    assert document["columns"] == ["event", "n"]
    assert (len(document["rows"]), document["truncated"]) == (1, True)
    assert document["damage"] is None
    empty = call("log", "query", run, "SELECT 1 WHERE 0", "--json").document
    assert (empty["rows"], empty["truncated"]) == ([], False)


def test_a_wrong_question_says_what_there_is(call: Commands, run: Path) -> None:
    ran = call("log", "query", run, "SELECT lock FROM events")
    assert (ran.status, ran.out) == (2, "")
    assert "no such column: lock" in ran.err
    assert "The table events has: step, seq, cpu" in ran.err
    assert call("log", "query", run, "DROP TABLE events").status == 2


def test_eval_shows_where_the_value_changes(call: Commands, run: Path) -> None:
    ran = call("log", "eval", run, 'pool("vp").nout > 2')
    assert (ran.status, ran.err) == (0, "")
    _, head, start, *changes, total = ran.out.splitlines()
    assert head.split(maxsplit=1)[1] == 'pool("vp").nout > 2'
    assert start.split() == ["start", "False"]
    assert changes[0].split()[1] == "True"
    assert (len(changes), total) == (1, "1 change in 121 steps")
    document = call("log", "eval", run, 'pool("vp").nout > 2', "--json").document
    assert [change["value"] for change in document["changes"]][:2] == [False, True]
    assert document["changes"][1]["event"] == "mutex.enter"
    assert (document["steps"], document["complete"], document["damage"]) == (121, True, None)


def test_columns_are_named_where_that_is_of_help(call: Commands, run: Path) -> None:
    assert "The table events has: " in call("log", "query", run, "SELECT nothing FROM events").err
    forever = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i FROM n) SELECT count(*) FROM n"
    ran = call("log", "query", run, forever, "--max-seconds", 0.2)
    assert (ran.status, "took too long" in ran.err) == (2, True)
    assert "The table events" not in ran.err


def test_a_log_may_come_from_standard_input(run: Path) -> None:
    events = (run / "events.jsonl").read_bytes()
    words = [sys.executable, "-m", "kmodel", "log", "show", "-", "--event", "task.end"]
    ran = subprocess.run(words, input=events, capture_output=True, check=True)
    assert ran.stdout.count(b"task.end") >= 2
    ran = subprocess.run(words, input=events[:-400], capture_output=True)
    assert (ran.returncode, b"/dev/stdin, line" in ran.stderr) == (5, True)


def test_eval_says_which_names_there_are(call: Commands, run: Path) -> None:
    ran = call("log", "eval", run, "kernel_mop.writer")
    assert (ran.status, ran.out) == (2, "")
    assert "Did you mean kernel_map" in ran.err
    ran = call("log", "eval", run, "--names")
    assert 'pool("vp")' in ran.out
    assert "kernel_map" in call("log", "eval", run, "--names", "--json").document["names"]
    assert call("log", "eval", run).status == 2
    assert call("log", "eval", run, "1", "--names").status == 2


def test_eval_stops_at_its_limit_and_says_where(call: Commands, run: Path) -> None:
    cells = "in kernelmemory0.backing)"
    slow = f"sum(sum(sum(1 for a {cells} for b {cells} for c in (1, 2, 3))"
    ran = call("log", "eval", run, slow, "--max-seconds", 0.05)
    assert ran.status == 4
    assert "stopped after" in ran.err


def test_a_log_that_does_not_fit_the_model_is_refused(
    call: Commands, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kmodel.vm.physmem import PhysMem

    monkeypatch.setattr(PhysMem, "plentiful", lambda self: False)
    ran = call("log", "eval", run, "1")
    assert ran.status == 5
    assert "does not fit: record" in ran.err


def test_eval_works_for_a_scenario_of_one_s_own(call: Commands, tmp_path: Path) -> None:
    from stories import CROSSED

    (tmp_path / "crossed.py").write_text(CROSSED)
    story, logs = tmp_path / "crossed.py", tmp_path / "logs"
    assert call("run", story, "--runs", 20, "--logs", logs).status == 1
    for found in logs.iterdir():
        ran = call("log", "eval", found, 'one.owner == "A0" and two.owner == "B0"')
        assert ran.status == 0, ran.err
        assert "start  False" in ran.out
    assert "   two" in ran.out or "True" in ran.out


@pytest.mark.parametrize("name", COMMANDS)
def test_everything_before_the_damage_is_shown(call: Commands, torn: Path, name: str) -> None:
    ran = call(*asked(torn, name))
    assert ran.status == 5
    assert len(ran.out.splitlines()) > 2
    assert f"{torn}, line " in ran.err
    assert "stops in the middle" in ran.err
    if name != "show":
        document = call(*asked(torn, name, "--json")).document
        assert document["damage"]["harm"] == "torn"


@pytest.mark.parametrize("name", COMMANDS)
def test_what_is_no_log_is_named(call: Commands, tmp_path: Path, name: str) -> None:
    (tmp_path / "hollow").mkdir()
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("Dear list,\n")
    for bad, words in {"hollow": "directory", "empty": "is empty", "text": "not a log"}.items():
        ran = call(*asked(tmp_path / bad, name))
        assert (ran.status, ran.out) == (5, "")
        assert words in ran.err
    ran = call(*asked(tmp_path / "gone", name))
    assert ran.status == 2
    assert "There is no run" in ran.err


@pytest.mark.parametrize("name", COMMANDS)
def test_a_packed_log_is_read_like_any_other(
    call: Commands, run: Path, tmp_path: Path, name: str
) -> None:
    import gzip

    packed = tmp_path / "events.jsonl.gz"
    packed.write_bytes(gzip.compress((run / "events.jsonl").read_bytes()))
    assert call(*asked(packed, name)) == call(*asked(run, name))


def test_the_schema_and_the_page_are_printed(call: Commands) -> None:
    assert call("log", "schema").document["title"] == "A line of a kmodel event log"
    assert call("log", "schema", "--page").out.startswith("# The events of a log")


def test_a_cpu_has_a_number_and_a_name(call: Commands, run: Path) -> None:
    by_name = call("log", "show", run, "--cpu", "K", "--event", "lock.*")
    assert by_name == call("log", "show", run, "--cpu", "2", "--event", "lock.*")
    assert by_name.out.count("kernel_map") > 3
    ran = call("log", "show", run, "--cpu", "Z")
    assert ran.status == 2
    assert "this run has CPUs 0 (A), 1 (B), 2 (K), 3 (pagedaemon)." in ran.err


def test_follow_shows_what_comes_and_ends_with_the_run(run: Path, tmp_path: Path) -> None:
    data = (run / "events.jsonl").read_bytes()
    path = tmp_path / "events.jsonl"
    path.write_bytes(data[:3000])
    follower = subprocess.Popen(
        [sys.executable, "-m", "kmodel", "log", "show", str(path), "--follow"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert follower.stdout is not None
    first = [follower.stdout.readline() for _ in range(10)]
    assert "task.start" in "".join(first)
    with path.open("ab") as file:
        for at in range(3000, len(data), 5000):
            file.write(data[at : at + 5000])
            file.flush()
            time.sleep(0.01)
    rest = follower.stdout.read()
    follower.stdout.close()
    assert follower.wait(timeout=60) == 0
    assert "run.end done" in rest.splitlines()[-1]
    assert "".join(first) + rest == child("log", "show", run).out


def test_a_disk_that_fills_up_loses_no_findings(tmp_path: Path) -> None:
    """What was found is told; so is the disk; the log reads as unfinished."""
    from stories import LEAK

    (tmp_path / "leak.py").write_text(LEAK + '    m.cpu("B", m.process().fault(0x20_0000))\n')
    logs = tmp_path / "logs"
    done = subprocess.run(
        [sys.executable, "-m", "kmodel", "run", str(tmp_path / "leak.py")]
        + ["--runs", "5", "--logs", str(logs)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "200"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000)),
    )
    assert done.returncode == 1, done.stderr
    assert "violated: leak" in done.stdout
    assert "kmodel replay k2-" in done.stdout
    assert "could not be written: file too large" in done.stderr
    assert "Traceback" not in done.stderr
    (cut,) = logs.iterdir()
    ran = child("log", "stats", cut)
    assert ran.status == 5
    assert "unfinished" in ran.out
    assert "stops in the middle" in ran.err


def test_two_processes_that_run_at_once_have_a_directory_each(tmp_path: Path) -> None:
    arguments = ["run", "contended_kernel_map", "--seed", "7", "--logs", str(tmp_path)]
    both = [
        subprocess.Popen(
            [sys.executable, "-m", "kmodel", *arguments], stdout=subprocess.DEVNULL, cwd=ROOT
        )
        for _ in range(2)
    ]
    assert [one.wait(timeout=120) for one in both] == [0, 0]
    logs = sorted(tmp_path.iterdir())
    assert len(logs) == 2
    digests = {json.loads(child("log", "stats", one, "--json").out)["events"] for one in logs}
    assert len(digests) == 1


@pytest.mark.parametrize("name", COMMANDS)
def test_the_example_in_the_repository_is_of_this_model(call: Commands, name: str) -> None:
    ran = call(*asked(EXAMPLE, name))
    assert (ran.status, ran.err) == (0, "")


def test_what_the_readme_shows_of_logs_is_what_comes_out() -> None:
    from readme_logs import README, made_anew

    text = README.read_text()
    assert made_anew(text) == text, "make it anew: python tests/cli/readme_logs.py"
