"""``kmodel fuzz``: what it prints, and how it ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands import ROOT, Commands


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Commands:
    return Commands(capsys)


def test_a_bug_is_told_with_its_run_and_a_test(call: Commands, tmp_path: Path) -> None:
    ran = call("fuzz", "pool", "--examples", 150, "--seed", 1, "--store", tmp_path)
    assert ran.status == 1
    assert "pool: deadlock: " in ran.out
    assert "def test_pool_deadlock() -> None:" in ran.out
    assert "\nschedule: " in ran.out
    stored = call("fuzz", "pool", "--examples", 1, "--replay", "--json", "--store", tmp_path)
    assert stored.status == 1
    assert stored.document["failures"]


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
    assert list(said["targets"]) == ["locks", "pool", "kmap", "pmap", "vm"]
    assert min(done) >= 5


@pytest.mark.parametrize("arguments", [["nothing"], ["--examples", "0"], ["--profile", "day"]])
def test_bad_usage_ends_in_a_message(call: Commands, arguments: list[str]) -> None:
    ran = call("fuzz", *arguments)
    assert ran.status == 2
    assert "Traceback" not in ran.err
    assert ran.err


def test_ctrl_c_ends_with_the_summary(tmp_path: Path) -> None:
    begin = [sys.executable, "-m", "kmodel", "fuzz", "kmap", "--profile", "night"]
    child = subprocess.Popen(
        [*begin, "--store", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    time.sleep(4)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert child.returncode == 130, err
    assert "interrupted: this is what there was by then" in out
    assert "Traceback" not in err
