"""``kmodel fuzz``: what it prints, and how it ends."""

from __future__ import annotations

import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import attrs
import pytest
from commands import ROOT, Commands

from kmodel.fuzz.targets import kmap
from kmodel.fuzz.workload import Workload
from kmodel.world import World


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Commands:
    return Commands(capsys)


def test_a_bug_is_told_with_its_run_and_a_test(call: Commands, tmp_path: Path) -> None:
    ran = call("fuzz", "pool", "--examples", 60, "--seed", 1, "--store", tmp_path)
    assert ran.status == 1
    assert "pool: deadlock: " in ran.out
    assert "def test_pool_deadlock_" in ran.out
    assert "\nschedule: " in ran.out
    assert "\nkmodel replay k2-" in ran.out
    assert "\nkmodel log show " in ran.out
    assert "\nWhat happened\n  cpu" in ran.out
    (first, *_) = ran.err.splitlines()
    assert first.startswith("pool: deadlock: "), "said when it is found"
    assert first.endswith(".py")
    stored = call("fuzz", "pool", "--examples", 0, "--replay", "--json", "--store", tmp_path)
    assert stored.status == 1
    failures = stored.document["failures"]
    assert failures
    for one in failures:
        assert Path(one["file"]).read_text() == one["test"]
        assert call("replay", one["replay"]).status == 1
        assert call("log", "stats", one["log"]).status == 0


def test_nothing_found_is_no_proof(call: Commands, tmp_path: Path) -> None:
    ran = call("fuzz", "locks", "--examples", 20, "--json", "--store", tmp_path)
    assert (ran.status, ran.err) == (0, "")
    said = ran.document
    assert (said["schema"], said["verdict"], said["bound"]) == (
        "kmodel.fuzz/1",
        "inconclusive",
        "samples",
    )
    assert said["targets"]["locks"]["examples"] > 10


def test_all_targets_share_the_budget(call: Commands, tmp_path: Path) -> None:
    said = call("fuzz", "--examples", 25, "--json", "--store", tmp_path).document
    done = [t["examples"] + t["repeated"] for t in said["targets"].values()]
    assert list(said["targets"]) == ["locks", "pool", "kmap", "pmap", "vm", "fork"]
    assert min(done) >= 4


@pytest.mark.parametrize(
    "arguments",
    [
        ["nothing"],
        ["--examples", "0"],
        ["--examples", "-1", "--replay"],
        ["--minutes", "0"],
        ["--minutes", "nan"],
        ["--seed", "-1"],
        ["--profile", "day"],
        ["--store", __file__],
        ["--store", ""],
        ["--store", f"{__file__}/below"],
        ["--database", "here"],
        ["--set", "fix"],
        ["--set", "fix=none"],
        ["pool", "--set", "fix=wait"],
    ],
)
def test_bad_usage_ends_in_a_message(call: Commands, arguments: list[str]) -> None:
    ran = call("fuzz", *arguments)
    assert ran.status == 2
    assert "Traceback" not in ran.err
    assert ran.err


def test_a_folder_where_nothing_was_stored_is_no_clean_replay(
    call: Commands, tmp_path: Path
) -> None:
    missing = tmp_path / "mistyped"
    ran = call("fuzz", "--replay", "--examples", 0, "--store", missing)
    assert ran.status == 2
    assert f"nothing is stored in {missing}" in " ".join(ran.err.split())
    assert not missing.exists()


def test_a_folder_of_which_nothing_can_be_run_is_no_clean_replay(
    call: Commands, tmp_path: Path
) -> None:
    found = call("fuzz", "pool", "--examples", 20, "--seed", 1, "--store", tmp_path)
    assert found.status == 1
    for file in (tmp_path / "examples").rglob("*"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[:20])
    again = ["fuzz", "pool", "--replay", "--store", tmp_path]
    ran = call(*again, "--examples", 0)
    assert ran.status == 5
    assert "1 stored for another version of the targets, or damaged: passed over" in ran.out
    assert call(*again, "--examples", 1).status == 0, "there was something to do"


def test_what_is_known_is_told_and_does_not_count(call: Commands, tmp_path: Path) -> None:
    found = call("fuzz", "pool", "--examples", 20, "--seed", 1, "--store", tmp_path)
    assert found.status == 1
    names = [path.stem for path in tmp_path.glob("*.py")]
    known = [word for name in names for word in ("--known", name)]
    again = ["fuzz", "pool", "--examples", 0, "--replay", "--store", tmp_path]
    ran = call(*again, *known)
    assert ran.status == 0
    assert "deadlock" in ran.out
    assert f"known, so not counted: {names[0]}: deadlock: " in ran.out
    assert "def test_pool_" not in ran.out, "in a line, and no more"
    ran = call(*again, "--known", "pool_deadlock_0000", "--known", "kmap_leak_0000")
    assert ran.status == 1
    assert "known, and not found this time: pool_deadlock_0000" in ran.out
    assert "kmap_leak" not in ran.out, "kmap was not fuzzed"


def test_a_crash_is_a_bug_of_kmodel_and_keeps_what_was_found(
    call: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crashing(world: World, workload: Workload) -> None:
        raise KeyError("mine")

    monkeypatch.setattr(kmap, "TARGET", attrs.evolve(kmap.TARGET, build=crashing))
    ran = call("fuzz", "kmap", "pool", "--examples", 40, "--seed", 1, "--store", tmp_path)
    assert ran.status == 70
    assert "kmap: crash: the target or kmodel itself fails, which is no bug found" in ran.out
    assert "KeyError: 'mine'" in ran.out
    assert "def test_pool_deadlock_" in ran.out


def test_a_document_tells_what_is_known_from_what_is_violated(
    call: Commands, tmp_path: Path
) -> None:
    begin = ["fuzz", "pool", "--examples", 20, "--seed", 1, "--store", tmp_path, "--json"]
    found = call(*begin).document
    assert (found["verdict"], [one["known"] for one in found["failures"]]) == ("violated", [False])
    known = call(*begin, "--known", found["failures"][0]["file"])  # also by its file
    assert known.status == 0
    assert known.document["verdict"] == "inconclusive"
    assert [one["known"] for one in known.document["failures"]] == [True]


@pytest.mark.parametrize("name", ["foo", "pool_deadlock", "pool_deadlock_none", ""])
def test_what_no_failure_is_called_cannot_be_known(
    call: Commands, tmp_path: Path, name: str
) -> None:
    ran = call("fuzz", "pool", "--examples", 5, "--store", tmp_path, "--known", name)
    assert ran.status == 2
    assert f"--known {name!r}: no failure is called that" in " ".join(ran.err.split())


def test_what_cannot_be_written_ends_no_night(call: Commands, tmp_path: Path) -> None:
    begin = ["fuzz", "pool", "--examples", 20, "--seed", 1, "--store", tmp_path]
    first = call(*begin, "--json").document["failures"][0]
    Path(first["file"]).unlink()
    Path(first["file"]).mkdir()
    Path(first["log"]).unlink()
    Path(first["log"]).mkdir()
    ran = call(*begin)
    assert ran.status == 1, ran.err
    assert "no file: [Errno 21]" in ran.out
    assert "\nkmodel replay k2-" in ran.out
    assert "def test_pool_deadlock_" in ran.out
    assert "Traceback" not in ran.err


def test_a_token_needs_no_file(
    call: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It carries the workload, so that it can be sent to somebody else."""
    found, elsewhere = tmp_path / "found", tmp_path / "elsewhere"
    for folder in (found, elsewhere):
        folder.mkdir()
    monkeypatch.chdir(found)
    said = call("fuzz", "pool", "--examples", 20, "--seed", 1, "--json").document
    (failure,) = said["failures"]
    shutil.rmtree(found / ".kmodel")
    monkeypatch.chdir(elsewhere)
    ran = call("replay", failure["replay"])
    assert (ran.status, ran.err) == (1, "")
    assert "cpu0 is asleep on test pool_get" in ran.out


@pytest.mark.parametrize("presses", [1, 3])
def test_ctrl_c_ends_with_the_summary(tmp_path: Path, presses: int) -> None:
    """However impatient."""
    begin = [sys.executable, "-m", "kmodel", "fuzz", "kmap", "--profile", "night"]
    child = subprocess.Popen(
        [*begin, "--store", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    time.sleep(4)
    for _ in range(presses):
        child.send_signal(signal.SIGINT)
        time.sleep(0.1)
    out, err = child.communicate(timeout=60)
    assert child.returncode == 130, err
    assert "interrupted: this is what there was by then" in out
    assert "Traceback" not in err


def test_all_that_it_writes_is_in_its_folder(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    ran = subprocess.run(
        [sys.executable, "-m", "kmodel", "fuzz", "locks", "--examples", "2", "--store", "../store"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path / "here",
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert ran.returncode == 0, ran.stderr
    assert list((tmp_path / "here").iterdir()) == []
    assert (tmp_path / "store").is_dir()


BUSY = ["fuzz", "pool", "--profile", "night", "--seed", "1"]


def test_what_is_found_survives_a_kill(call: Commands, tmp_path: Path) -> None:
    begin = [sys.executable, "-m", "kmodel", *BUSY, "--store", str(tmp_path)]
    with subprocess.Popen(begin, stderr=subprocess.PIPE, text=True, cwd=ROOT) as child:
        assert child.stderr is not None
        line = child.stderr.readline()
        child.kill()
    file = Path(line.rpartition(" ")[2].strip())
    assert "def test_pool_" in file.read_text()
    stored = call("fuzz", "pool", "--examples", 0, "--replay", "--json", "--store", tmp_path)
    assert str(file) in [one["file"] for one in stored.document["failures"]]


def test_a_terminal_shows_one_line_that_counts(tmp_path: Path) -> None:
    """And nothing of it is left behind."""
    mine, its = pty.openpty()
    begin = [sys.executable, "-m", "kmodel", "fuzz", "locks", "--examples", "40"]
    child = subprocess.Popen(
        [*begin, "--store", str(tmp_path)], stdout=subprocess.DEVNULL, stderr=its, cwd=ROOT
    )
    os.close(its)
    text = b""
    try:
        while more := os.read(mine, 4096):
            text += more
    except OSError:
        pass  # the other end is closed
    os.close(mine)
    assert child.wait() == 0
    lines = text.decode().split("\r\x1b[K")
    assert len(lines) > 3
    assert all(" examples (" in line or " example (" in line for line in lines[1:-1])
    assert all(line.startswith("0 failures; locks, searching; ") for line in lines[1:-1])
    assert lines[-1] == ""
