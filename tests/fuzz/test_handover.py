"""What is handed over: a file that is a test and a scenario, a token, a log."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from kmodel.cli import run_command_line
from kmodel.explore.result import Schedule
from kmodel.fuzz.failure import Failure
from kmodel.fuzz.handover import Handed, hand_over, ready
from kmodel.fuzz.judged import judge
from kmodel.fuzz.target import load
from kmodel.fuzz.workload import Workload
from kmodel.log.runs import LogError
from kmodel.settings import UsageError

POOL = load("pool")
STRANDED = Workload.of(
    "pool",
    {"primed": True, "pages": 1, "items": 1, "hardlimit": 0},
    [(1, "get", True), (0, "get", False), (0, "put")],
)


def failure() -> Failure:
    (shown, *_) = judge(POOL, STRANDED).shown
    return Failure(POOL, shown.signature, STRANDED, shown, 1, 0.0)


@pytest.fixture
def handed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Handed:
    monkeypatch.chdir(tmp_path)
    return hand_over(failure(), Path("store"))


def test_the_token_replays_the_run(handed: Handed, capsys: pytest.CaptureFixture[str]) -> None:
    assert handed.token is not None
    assert handed.file is not None
    handed.file.unlink()  # it is not needed
    assert run_command_line(["replay", handed.token]) == 1
    assert "cpu1 is asleep on test pool_get" in capsys.readouterr().out


def test_the_log_is_whole_and_explained(handed: Handed, capsys: pytest.CaptureFixture[str]) -> None:
    assert handed.log is not None
    assert run_command_line(["log", "explain", str(handed.log)]) == 0
    assert "the same run would have ended well" in capsys.readouterr().out


@pytest.mark.parametrize("wrong", [".", "logs", "examples"])
def test_a_folder_where_nothing_can_be_written_is_said_at_the_start(
    tmp_path: Path, wrong: str
) -> None:
    folder = tmp_path / "store"
    (folder / wrong).parent.mkdir(exist_ok=True)
    (folder / wrong).write_text("a file")
    with pytest.raises(UsageError, match=rf"Nothing can be written in {folder / wrong}: .*--store"):
        ready(folder)


def test_the_file_alone_replays_the_run_too(
    handed: Handed, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is what is left of a night whose terminal is gone."""
    assert run_command_line(["replay", str(handed.file)]) == 1
    assert "cpu1 is asleep on test pool_get" in capsys.readouterr().out


def test_the_file_is_a_scenario(handed: Handed, capsys: pytest.CaptureFixture[str]) -> None:
    bounded = ["explore", str(handed.file), "--search", "bounded", "--bound", "2"]
    assert run_command_line(bounded) == 1
    assert "deadlock" in capsys.readouterr().out


def test_the_same_bug_has_the_same_name_and_one_log(handed: Handed) -> None:
    assert hand_over(failure(), Path("store")) == handed
    assert len(list(Path("store/logs").glob("*/*"))) == 1
    assert [one.suffix for one in Path("store").iterdir() if one.is_file()] == [".py"]


@pytest.mark.parametrize("left", [0, 30, 2_000, -20])
def test_a_torn_log_is_made_again(handed: Handed, left: int) -> None:
    """What a kill left of it."""
    assert handed.log is not None
    handed.log.write_bytes(handed.log.read_bytes()[:left])
    again = hand_over(failure(), Path("store"))
    assert again.log not in (None, handed.log)
    assert hand_over(failure(), Path("store")) == again


def test_a_run_that_cannot_be_made_again_leaves_the_file_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    wrong = failure()
    wrong.shown = attrs.evolve(wrong.shown, schedule=Schedule(b"\x01" * 90))
    made = hand_over(wrong, Path("store"))
    assert made.file is not None
    assert made.file.exists()
    assert made.token is None
    assert made.wrong


def test_it_is_told_in_a_few_sentences_too(handed: Handed) -> None:
    assert handed.told[0].startswith("cpu1 is asleep on test pool_get since step")
    assert handed.told[-1].endswith("the same run would have ended well (this was run).")


@pytest.mark.parametrize("error", [UsageError("no scenario"), KeyError("mine")])
def test_whatever_cannot_be_made_of_it_ends_no_night(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def failing(*_: object) -> None:
        raise error

    monkeypatch.setattr("kmodel.fuzz.handover._token", failing)
    made = hand_over(failure(), tmp_path)
    assert (made.token, made.log) == (None, None)
    assert made.file == tmp_path / f"{failure().name}.py"
    assert made.steps
    assert made.wrong in ("no token: no scenario", "no token: KeyError: 'mine'")


def test_a_log_that_cannot_be_written_advises_nothing_of_other_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise LogError("The log x could not be written: no space left. Name another with --logs.")

    monkeypatch.setattr("kmodel.fuzz.handover._log", full)
    made = hand_over(failure(), tmp_path)
    assert made.wrong == "no log: The log x could not be written: no space left"
    assert made.token


def test_nothing_half_written_is_left(tmp_path: Path) -> None:
    (tmp_path / f"{failure().name}.py").mkdir()
    assert hand_over(failure(), tmp_path).file is None
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == []
