"""timeline, explain, diff and export on the command line."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from commands import ROOT, Commands, child

from kmodel.explore.execution import Outcome
from kmodel.log.record import Header
from kmodel.log.recorder import Recorder

EXAMPLE = ROOT / "logs" / "example-contended_kernel_map-populate"


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Commands:
    return Commands(capsys)


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two logged runs of the thread's story: ``...-seed7-1`` and ``...-seed8-1``."""
    logs = tmp_path_factory.mktemp("logs")
    for seed in (7, 8):
        ran = child("run", "contended_kernel_map", "--fix", "wait", "--seed", seed, "--logs", logs)
        assert ran.status == 0, ran.err
    return logs


@pytest.fixture(scope="module")
def run(logs: Path) -> Path:
    return logs / "contended_kernel_map-wait-seed7-1"


@pytest.fixture
def torn(run: Path, tmp_path: Path) -> Path:
    path = tmp_path / "events.jsonl"
    path.write_bytes((run / "events.jsonl").read_bytes()[:-3000])
    return path


def test_a_timeline_fits_a_hundred_columns(call: Commands, run: Path) -> None:
    ran = call("log", "timeline", run)
    assert (ran.status, ran.err) == (0, "")
    assert max(map(len, ran.out.splitlines())) <= 100
    assert "✗ vp pool" in ran.out
    assert ran.out.endswith("done after 121 steps.\n")


def test_a_window_says_what_it_leaves_out(call: Commands, run: Path) -> None:
    ran = call("log", "timeline", run, "--since", 70, "--until", 90)
    assert "Shown are steps 70-90" in ran.out
    assert call("log", "timeline", run, "--since", 9, "--until", 8).status == 2
    beyond = call("log", "timeline", run, "--since", 1000)
    assert "there is no step 1000" in beyond.out


def test_a_timeline_in_a_terminal_that_only_knows_ascii(run: Path) -> None:
    ran = child("log", "timeline", run, PYTHONIOENCODING="ascii")
    assert ran.status == 0, ran.err
    assert ran.out.isascii()


def test_pictures_are_written_whole_or_not_at_all(
    call: Commands, run: Path, tmp_path: Path
) -> None:
    svg, html = tmp_path / "a.svg", tmp_path / "a.html"
    ran = call("log", "timeline", run, "--svg", svg, "--html", html)
    assert ran.status == 0
    assert svg.read_text().startswith("<svg")
    assert html.read_text().startswith("<!doctype html>")
    assert sorted(os.listdir(tmp_path)) == ["a.html", "a.svg"]
    missing = call("log", "timeline", run, "--svg", tmp_path / "no" / "a.svg")
    assert (missing.status, "cannot be written" in missing.err) == (2, True)


def test_what_is_no_file_is_never_replaced(call: Commands, run: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    ran = call("log", "export", run, "--to", "csv", "-o", pipe)
    assert (ran.status, "a pipe, a device" in ran.err) == (2, True)
    assert pipe.is_fifo()


def test_a_run_is_told_on_a_page(call: Commands, run: Path) -> None:
    ran = call("log", "explain", run)
    assert (ran.status, ran.err) == (0, "")
    assert len(ran.out.splitlines()) <= 40
    assert max(map(len, ran.out.splitlines())) <= 100
    words = " ".join(ran.out.split())
    assert "the try of kernel_map is refused at step 56 (held by K (since step 53))" in words
    assert "A begins its fault at 0x200000 anew, at step 94." in words


def test_the_story_of_a_hang_ends_with_the_missed_wakeup(call: Commands, tmp_path: Path) -> None:
    """The log of a replayed lasso is made again, its loop told once."""
    asked = ("contended_kernel_map", "--set", "cpus=1", "--set", "lap=silent")
    token = call("explore", *asked, "--json").document["replay"]
    assert call("replay", token, "--logs", tmp_path).status == 1
    ran = call("log", "explain", tmp_path / "contended_kernel_map-wait-replay-1")
    assert ran.status == 0
    assert len(ran.out.splitlines()) <= 40
    words = " ".join(ran.out.split())
    assert "How it ends" in words
    assert "a loop of 2 steps goes round for ever" in words
    assert "the last wakeup was A's at step 26, before it slept" in words
    assert "the same run would have ended well (this was run)" in words


def test_where_the_scenario_is_gone_the_records_alone_are_told(
    call: Commands, tmp_path: Path
) -> None:
    story, logs = tmp_path / "hopeless.py", tmp_path / "logs"
    story.write_text(HOPELESS)
    assert call("run", story, "--logs", logs).status == 1
    story.unlink()
    words = " ".join(call("log", "explain", *logs.iterdir()).out.split())
    assert "(From the records alone: the run cannot be made again: " in words
    assert "there is no such file.)" in words


def test_a_long_story_leaves_out_what_matters_least(call: Commands, tmp_path: Path) -> None:
    made = ("contended_kernel_map", "--set", "cpus=3", "--set", "faults=3", "--max-steps", "1500")
    assert call("run", *made, "--logs", tmp_path).status in (0, 4)
    ran = call("log", "explain", *tmp_path.iterdir())
    assert 30 < len(ran.out.splitlines()) <= 40
    assert "sentences that matter less are left out" in ran.out


def test_runs_with_more_cpus_or_fewer_are_held_together_by_the_names_of_their_tasks(
    call: Commands, logs: Path
) -> None:
    for cpus in (1, 2):
        call(*f"run contended_kernel_map --seed 5 --set cpus={cpus} --logs {logs}".split())
    runs = [logs / f"contended_kernel_map-wait-seed5-{number}" for number in (1, 2)]
    document = call("log", "diff", *runs, "--json").document
    assert document["common"] > 3
    first = [document[side][0] for side in ("left", "right")]
    assert "task" in {one["key"] for one in document["differs"]}
    assert first[0]["task"] != first[1]["task"]
    assert "cpu" not in {one["key"] for one in document["differs"]}


def test_what_differs_is_named_where_the_lines_look_alike(call: Commands, tmp_path: Path) -> None:
    runs = []
    for end in "xy":
        header = Header(scenario="alike", tasks=("A",))
        with Recorder.start(header, tmp_path) as recorder:
            recorder(0, 0, None, "task.start", {})
            recorder(1, 0, None, "mark", {"text": "long " * 20 + end})
            recorder.close(Outcome("done", 2))
        runs.append(recorder.path)
    ran = call("log", "diff", *runs)
    assert "Of the first event differ: text (long" in ran.out
    assert all(len(line) <= 100 for line in ran.out.splitlines() if " | " in line[:60])
    ran = call("log", "diff", *runs, "--width", "260")
    (line,) = [line for line in ran.out.splitlines() if " | " in line and "mark" in line]
    assert line.count("long long") > 19, "nothing is cut where there is room"


def test_two_runs_part_where_the_first_event_differs(call: Commands, logs: Path, run: Path) -> None:
    other = logs / "contended_kernel_map-wait-seed8-1"
    document = call("log", "diff", run, other, "--json").document
    rows = [(path / "events.jsonl").read_text().splitlines()[1:] for path in (run, other)]
    differ = [json.loads(a) != json.loads(b) for a, b in zip(*rows)]
    assert document["common"] == differ.index(True) > 0
    assert document["left"][0]["seq"] == document["right"][0]["seq"] == document["common"]
    assert document["header"] == [{"key": "seed", "left": 7, "right": 8}]
    ran = call("log", "diff", run, other)
    assert ran.status == 0
    assert max(map(len, ran.out.splitlines()[2:])) <= 100


def test_a_run_is_the_same_as_itself(call: Commands, run: Path) -> None:
    ran = call("log", "diff", run, run)
    assert (ran.status, "The runs are the same: all 240 events." in ran.out) == (0, True)
    assert call("log", "diff", run, run, "--json").document["numbers"] == []


def test_the_nearest_passing_run_is_found_run_and_logged(call: Commands, tmp_path: Path) -> None:
    asked = ("contended_kernel_map", "--set", "cpus=1", "--set", "lap=silent")
    token = call("explore", *asked, "--json").document["replay"]
    assert call("replay", token, "--logs", tmp_path).status == 1
    failing = tmp_path / "contended_kernel_map-wait-replay-1"
    document = call("log", "diff", failing, "--nearest-passing", "--logs", tmp_path, "--json")
    found = document.document
    assert found["right"][0]["step"] == 15
    outcomes = [row for row in found["numbers"] if row["name"] == "outcome"]
    assert outcomes == [{"name": "outcome", "left": "lost-wakeup", "right": "done"}]
    passing = tmp_path / "contended_kernel_map-wait-nearest-passing-1"
    assert call("replay", passing).status == 0
    # of a run that ended well there is none
    assert call("log", "diff", passing, "--nearest-passing", "--logs", tmp_path).status == 2


def test_where_no_other_choice_helps_it_is_said(call: Commands, tmp_path: Path) -> None:
    story = tmp_path / "hopeless.py"
    story.write_text(HOPELESS)
    logs = tmp_path / "logs"
    assert call("run", story, "--logs", logs).status == 1
    ran = call("log", "diff", *logs.iterdir(), "--nearest-passing", "--logs", logs)
    assert ran.status == 4
    assert "no passing run among" in ran.err
    assert len(list(logs.iterdir())) == 1


def test_a_diff_names_one_other_run(call: Commands, run: Path) -> None:
    assert call("log", "diff", run).status == 2
    assert call("log", "diff", run, run, "--nearest-passing").status == 2


KINDS = ("perfetto", "chrome", "csv", "sqlite", "mermaid", "shiviz", "lnav")


@pytest.mark.parametrize("kind", KINDS)
def test_an_export_is_a_file_and_nothing_else(
    call: Commands, run: Path, kind: str, tmp_path: Path
) -> None:
    ran = call("log", "export", run, "--to", kind, "-o", tmp_path / "out")
    assert (ran.status, ran.err) == (0, "")
    assert os.listdir(tmp_path) == ["out"]
    assert (tmp_path / "out").stat().st_size > 500


def test_an_sqlite_export_answers_questions(call: Commands, run: Path, tmp_path: Path) -> None:
    assert call("log", "export", run, "--to", "sqlite", "-o", tmp_path / "db").status == 0
    with contextlib.closing(sqlite3.connect(tmp_path / "db")) as db:
        assert db.execute("SELECT count(*), max(step) FROM events").fetchone() == (240, 121)


@pytest.mark.parametrize("kind", ["parquet", "duckdb"])
def test_what_needs_duckdb_says_so(call: Commands, run: Path, kind: str, tmp_path: Path) -> None:
    ran = call("log", "export", run, "--to", kind, "-o", tmp_path / "out")
    if importlib.util.find_spec("duckdb"):
        assert ran.status == 0
    else:
        assert (ran.status, os.listdir(tmp_path)) == (2, [])
        assert "pip install 'kmodel[sql]'" in ran.err


def test_the_lnav_format_needs_no_run(call: Commands, run: Path) -> None:
    assert "kmodel_log" in call("log", "export", "--to", "lnav-format").document
    text = call("log", "export", run, "--to", "csv")
    assert (text.status, text.out.splitlines()[0][:8]) == (0, "step,seq")
    assert call("log", "export", run, "--to", "perfetto").status == 2
    assert call("log", "export", run, "--to", "csv", "--since", 5, "--until", 4).status == 2
    assert call("log", "export", "--to", "csv", "-o", "x").status == 2


@pytest.mark.parametrize("words", [("export", "--to", "csv"), ("query", "SELECT 1")])
def test_a_log_cut_between_two_records_is_said_to_be_unfinished(
    call: Commands, run: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    cut = tmp_path / "cut.jsonl"
    cut.write_bytes(b"".join((run / "events.jsonl").read_bytes().splitlines(True)[:-1]))
    command, *rest = words
    ran = call("log", command, cut, *rest)
    assert (ran.status, "unfinished" in ran.err) == (0, True)
    assert "unfinished" not in call("log", command, run, *rest).err


def test_a_long_run_in_mermaid_says_which_steps_it_shows(
    call: Commands, run: Path, tmp_path: Path
) -> None:
    ran = call(
        "log",
        "export",
        run,
        "--to",
        "mermaid",
        "-o",
        tmp_path / "out",
        "--since",
        20,
        "--until",
        60,
    )
    assert ran.err == "Shown are steps 20-60; --since and --until show others.\n"
    text = (tmp_path / "out").read_text()
    assert "c1->>c0: 38: p0 amap" in text
    assert "91:" not in text


HOPELESS = '''"""Two threads sleep, and nobody is there to wake them."""
from kmodel import World, scenario
from kmodel.sync.channel import Channel
from kmodel.sync.mutex import Mutex


async def sleeper(channel: Channel, mutex: Mutex) -> None:
    await mutex.enter()
    await channel.msleep(mutex)


@scenario
def hopeless(w: World) -> None:
    for name in "AB":
        w.task(name, sleeper, Channel("never"), Mutex(f"m{name}"))
'''


VIEWS = {
    "timeline": ("timeline",),
    "explain": ("explain",),
    "diff": ("diff", str(EXAMPLE)),
    "export": ("export", "--to", "csv", "-o", "OUT"),
}


@pytest.mark.parametrize("name", VIEWS)
def test_a_torn_log_is_shown_up_to_its_tear(
    call: Commands, name: str, torn: Path, tmp_path: Path
) -> None:
    command, *more = (str(tmp_path / "out") if one == "OUT" else one for one in VIEWS[name])
    ran = call("log", command, torn, *more)
    assert ran.status == 5
    assert "stops in the middle" in ran.err
    shown = tmp_path / "out" if name == "export" else None
    assert len((shown.read_text() if shown else ran.out).splitlines()) > 3


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("content", [b"", b"not a log\n", b"\x1f\x8b\x00", b'{"event":"x"}\n'])
def test_what_is_no_log_is_refused_with_five(
    call: Commands, name: str, content: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "other"
    path.write_bytes(content)
    command, *more = (str(tmp_path / "out") if one == "OUT" else one for one in VIEWS[name])
    ran = call("log", command, path, *more)
    assert ran.status == 5
    assert "Traceback" not in ran.err


@pytest.fixture(scope="module")
def crossed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A logged deadlock of two CPUs that spin for each other's mutex."""
    from stories import CROSSED

    place = tmp_path_factory.mktemp("crossed")
    (place / "crossed.py").write_text(CROSSED)
    ran = child("run", place / "crossed.py", "--runs", 20, "--logs", place / "logs")
    assert ran.status == 1, ran.err
    found = [path for path in (place / "logs").iterdir() if b"deadlock" in read(path)]
    return found[0]


def read(run: Path) -> bytes:
    return (run / "events.jsonl").read_bytes()


def test_a_deadlock_on_mutexes_is_seen_in_every_view(
    call: Commands, crossed: Path, tmp_path: Path
) -> None:
    assert "A0 spins for two" in call("log", "explain", crossed).out
    assert "spins for two" in call("log", "stats", crossed).out
    row = next(
        line for line in call("log", "timeline", crossed).out.splitlines() if "  end " in line
    )
    assert row.split()[1:] == [
        *("▒│", "spins", "for", "two", "▒│", "spins", "for", "one"),
        *("░", "asleep", "on", "&uvm.pagedaemon"),
    ]
    kept = call("log", "stats", crossed, "--json").document["kept"]
    assert {(one["task"], one["kind"], one["obj"]) for one in kept} >= {
        ("A0", "spin", "two"),
        ("B0", "spin", "one"),
    }
    for kind in ("mermaid", "chrome"):
        assert call("log", "export", crossed, "--to", kind, "-o", tmp_path / kind).status == 0
        assert "spins for two" in (tmp_path / kind).read_text()
    assert call("log", "timeline", crossed, "--svg", tmp_path / "svg").status == 0
    assert "A0 spins for two, from step" in (tmp_path / "svg").read_text()


def test_a_torn_log_is_not_told_as_if_it_had_an_end(
    call: Commands, crossed: Path, tmp_path: Path
) -> None:
    """The same deadlock without its end: who holds what is known, and no more is said."""
    torn = tmp_path / "events.jsonl"
    torn.write_bytes(read(crossed)[:-40])
    ran = call("log", "explain", torn)
    assert ran.status == 5
    assert "damaged: torn" in ran.out
    assert "Last known, at step" in ran.out
    assert not [word for word in ("How it ends", "deadlock", "cycle", "never") if word in ran.out]
    document = call("log", "explain", torn, "--json").document
    assert (document["unfinished"], document["ends"]) == (True, [])
    assert len(document["last_known"]) == 3
    torn.write_bytes(b"".join(read(crossed).splitlines(keepends=True)[:-1]))
    ran = call("log", "explain", torn)
    assert (ran.status, "unfinished" in ran.out, "How it ends" in ran.out) == (0, True, False)


def test_a_story_without_a_kernel_shows_its_waits(call: Commands, tmp_path: Path) -> None:
    (tmp_path / "bare.py").write_text(BARE)
    assert call("run", tmp_path / "bare.py", "--logs", tmp_path / "logs").status == 1
    (run,) = (tmp_path / "logs").iterdir()
    assert "stuck at buffer.take buffer" in call("log", "timeline", run).out
    document = call("log", "stats", run, "--json").document
    assert sum(cpu["stuck"] for cpu in document["cpus"]) > 2
    assert "stuck" in call("log", "stats", run).out


BARE = '''"""Two puts and three takes of a buffer of one."""
from kmodel import Atomic, World, operation, scenario
from kmodel.shared import shared


@shared
class Buffer:
    name: str
    items: Atomic[int]

    def __init__(self):
        self.name, self.items = "buffer", 0

    @operation(lambda self: self.items > 0, event="buffer.take")
    def take(self):
        self.items -= 1

    @operation(lambda self: self.items < 1, event="buffer.put")
    def put(self):
        self.items += 1


async def producer(buffer):
    for _ in range(2):
        await buffer.put()


async def consumer(buffer):
    for _ in range(3):
        await buffer.take()


@scenario
def bare(w: World) -> None:
    buffer = Buffer()
    w.task("P", producer, buffer)
    w.task("C", consumer, buffer)
'''


@pytest.mark.parametrize("kind", ["csv", "perfetto", "sqlite", "shiviz"])
def test_an_export_to_stdout_is_the_same_as_to_a_file(run: Path, kind: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "kmodel", "log", "export", str(run), "--to", kind, "-o"]
    subprocess.run([*command, str(tmp_path / "out")], check=True, cwd=ROOT, capture_output=True)
    done = subprocess.run([*command, "-"], check=True, cwd=ROOT, capture_output=True)
    assert done.stdout == (tmp_path / "out").read_bytes()
    assert b"of 240 events read" in done.stderr
    assert not (ROOT / "-").exists()


def test_a_picture_goes_to_stdout(call: Commands, run: Path) -> None:
    done = child("log", "timeline", run, "--svg", "-")
    assert (done.status, done.out[:4], done.out[-7:]) == (0, "<svg", "</svg>\n")
    assert call("log", "timeline", run, "--svg", "-", "--html", "-").status == 2
