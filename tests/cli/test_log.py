from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kmodel.cli import kmodel
from kmodel.explore.execution import Outcome
from kmodel.log.record import Header
from kmodel.log.recorder import Recorder

RUN = "tiny-wait-seed7-1"


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    header = Header(scenario="tiny", tasks=("A", "B"), fix="wait", seed=7)
    with Recorder.start(header, tmp_path) as recorder:
        recorder(0, 0, None, "task.start", {})
        recorder(1, 0, None, "lock.try", {"obj": "kernel_map", "result": False})
        recorder(2, 1, 1, "lock.release", {"obj": "kernel_map"})
        recorder.close(Outcome("done", 3))
    return tmp_path


def show(logs: Path, *args: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner(env=env).invoke(kmodel, ["log", "show", *args, "--logs", str(logs)])


def test_show_prints_columns_and_no_colour_into_a_pipe(logs: Path) -> None:
    result = show(logs, RUN)
    assert result.exit_code == 0
    assert result.stderr == ""
    assert result.stdout.splitlines()[:5] == [
        "tiny fix=wait seed=7",
        "  step    seq  A     B",
        "     0      0  task.start",
        "     1      1  lock.try kernel_map refused",
        "     2      2  |     lock.release kernel_map <- 1",
    ]


def test_colour_only_where_it_is_wanted(logs: Path) -> None:
    terminal = {"FORCE_COLOR": "1", "TERM": "xterm", "COLUMNS": "80"}
    assert "\x1b[33m" in show(logs, RUN, env=terminal).stdout
    assert "\x1b[33m" not in show(logs, RUN, env=terminal | {"NO_COLOR": "1"}).stdout


def test_filters_choose_and_an_empty_choice_is_said(logs: Path) -> None:
    result = show(logs, RUN, "--event", "lock.*", "--cpu", "1", "--since", "1", "--until", "9")
    assert [line.split()[1] for line in result.stdout.splitlines()[2:]] == ["2"]
    result = show(logs, RUN, "--event", "pool.*", "--task", "A")
    assert result.exit_code == 0
    assert "None of the 4 events read passes the filter." in result.stderr


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["tiny-wait-seed7-2"], f"Did you mean {RUN}?"),
        ([RUN, "--cpu", "2"], "There is no CPU '2': this run has CPUs 0 (A), 1 (B)."),
        ([RUN, "--task", "C"], "There is no task 'C': this run has A, B."),
        ([RUN, "--cpu", "-1"], "There is no CPU '-1'"),
    ],
)
def test_slips_are_usage_errors(logs: Path, args: list[str], words: str) -> None:
    result = show(logs, *args)
    assert result.exit_code == 2
    assert words in result.stderr


def cut(logs: Path) -> Path:
    path = logs / RUN / "events.jsonl"
    path.write_bytes(path.read_bytes()[:-40])
    return path


def test_what_comes_before_the_damage_is_shown(logs: Path) -> None:
    path = cut(logs)
    result = show(logs, str(path))
    assert result.exit_code == 5
    assert "lock.release kernel_map <- 1" in result.stdout
    assert f"{path}, line 5, byte " in result.stderr
    assert "stops in the middle" in result.stderr


def test_a_file_that_is_no_log_shows_nothing(logs: Path) -> None:
    (logs / "letter").write_text("Dear list,\n")
    result = show(logs, "letter")
    assert (result.exit_code, result.stdout) == (5, "")
    assert "not a log of kmodel" in result.stderr
    (logs / "hollow").mkdir()
    assert show(logs, "hollow").exit_code == 5


def test_an_unfinished_run_is_said_to_be_one(logs: Path) -> None:
    path = logs / RUN / "events.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    result = show(logs, RUN)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1].startswith("--- unfinished: no run.end")


def test_json_is_one_document_of_what_passes(logs: Path) -> None:
    result = show(logs, RUN, "--json", "--obj", "kernel_map")
    document = json.loads(result.stdout)
    assert list(document) == ["schema", "header", "records", "unfinished", "damage"]
    assert document["schema"] == "kmodel.log/1"
    assert document["header"]["scenario"] == "tiny"
    assert [row["seq"] for row in document["records"]] == [1, 2]
    assert list(document["records"][1]) == ["step", "seq", "cpu", "task", "event", "cause", "obj"]
    assert (document["unfinished"], document["damage"]) == (False, None)


def test_json_of_a_damaged_run_holds_the_damage(logs: Path) -> None:
    cut(logs)
    result = show(logs, RUN, "--json")
    assert result.exit_code == 5
    document = json.loads(result.stdout)
    assert len(document["records"]) == 3
    assert (document["damage"]["harm"], document["damage"]["line"]) == ("torn", 5)
    assert json.loads(show(logs, RUN, "--json", "--event", "none").stdout)["records"] == []


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from kmodel.cli.log import log\n"
        "try: log(['show', '--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'structlog', 'rich', 'trio', 'kmodel.log.reader'} & set(sys.modules)"
    )
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root, stdout=subprocess.PIPE)


def test_a_name_that_nothing_has_is_told_with_those_that_are_near(logs: Path) -> None:
    result = show(logs, RUN, "--event", "lock.tri")
    assert result.exit_code == 2
    assert "There is no event 'lock.tri'. Did you mean lock.try" in result.stderr
    result = show(logs, RUN, "--obj", "kernelmap", "--json")
    assert result.exit_code == 2
    assert "Nothing in this run is called 'kernelmap'. Did you mean kernel_map?" in result.stderr
    assert json.loads(result.stdout)["records"] == []
    assert "Did you mean A?" in show(logs, RUN, "--task", "a").stderr
    # what kmodel knows, and what did not happen, is no slip
    result = show(logs, RUN, "--event", "pool.*")
    assert (result.exit_code, "There is no event" in result.stderr) == (0, False)


def test_a_name_that_nothing_has_does_not_hide_damage(logs: Path) -> None:
    cut(logs)
    assert show(logs, RUN, "--event", "lock.tri").exit_code == 5


@pytest.mark.parametrize("command", ["stats", "explain"])
def test_a_document_says_that_the_run_has_no_end(logs: Path, command: str) -> None:
    path = logs / RUN / "events.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    for name in ("show", command):
        result = CliRunner().invoke(kmodel, ["log", name, str(path), "--json"])
        document = json.loads(result.stdout)
        assert (document["unfinished"], document["damage"]) == (True, None)
