"""A search that is killed, interrupted or out of its limits goes on where it was."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import stories
from commands import Commands, Ran, child

from kmodel.explore.journal import Journal

MAP = "contended_kernel_map"
SMALL = (MAP, "--set", "cpus=1", "--set", "faults=4")

MORTAL = """
import os, random, signal, sys, threading
from kmodel.explore import checkpoint
from kmodel.__main__ import main

chance = random.Random(int(sys.argv.pop(1)))
checkpoint.MOST = 100
torn, write, advance = chance.random() < 0.3, os.write, checkpoint.Checkpointed.advance


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def dying_write(descriptor, data):
    write(descriptor, data[: chance.randrange(len(data))])
    die()


def mortal_advance(search, expansions):
    if clock.ident is None:
        clock.start()
    more = advance(search, 50)
    if not more:
        clock.cancel()
    return more


moment = chance.uniform(0, float(sys.argv.pop(1)))
clock = threading.Timer(moment, lambda: setattr(os, "write", dying_write) if torn else die())
checkpoint.Checkpointed.advance = mortal_advance
main()
"""
"""The command line, killed at a moment that a seed gives: up to so many seconds after the
search began (a clock that goes off after its end does nothing), or while it writes next."""


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Commands:
    return Commands(capsys)


def timeless(document: dict[str, Any]) -> dict[str, Any]:
    """Without the seconds, the one thing that may differ."""
    document["evidence"].pop("seconds")
    return document


def explored(file: Path, *arguments: str) -> list[str]:
    """What to type: begin, or go on if there is something."""
    begun = file.exists() and file.stat().st_size
    return ["--resume", str(file)] if begun else [*arguments, "--checkpoint", str(file)]


def killed(file: Path, times: int, within: float, *arguments: str) -> tuple[Ran, int]:
    """Killed up to so many times, each time within so many seconds of search, and taken up
    again until it comes to its end; and how often it was killed."""
    for seed in range(times):
        command = ["explore", *explored(file, *arguments), "--json"]
        ran = child(seed, within, *command, code=MORTAL)
        if ran.status != -signal.SIGKILL:
            return ran, seed
    return child("explore", *explored(file, *arguments), "--json"), times


@pytest.mark.parametrize("order", ["dfs", "bfs"])
def test_a_search_that_is_killed_again_and_again_gives_the_same_verdict(
    order: str, tmp_path: Path
) -> None:
    """kill -9 at any moment, also while a chunk is written: the same document at the end."""
    arguments = (*SMALL, "--search", order)
    alone = child("explore", *arguments, "--json")
    ran, times = killed(tmp_path / "file", 10, 0.003, *arguments)
    assert times >= 5
    assert "resumed from" in ran.err
    assert ran.status == alone.status == 1
    assert timeless(ran.document) == timeless(alone.document)


@pytest.mark.slow
@pytest.mark.parametrize("order", ["dfs", "bfs"])
def test_a_large_search_that_is_killed_a_hundred_times_gives_the_same_verdict(
    order: str, tmp_path: Path
) -> None:
    """As above, on the example of the README."""
    arguments = (MAP, "--search", order)
    alone = child("explore", *arguments, "--json")
    ran, times = killed(tmp_path / "file", 100, 0.006, *arguments)
    assert times >= 30
    assert timeless(ran.document) == timeless(alone.document)


def test_a_search_that_a_limit_ended_goes_on_with_a_higher_one(
    call: Commands, tmp_path: Path
) -> None:
    """Status 4 and the command that goes on; then the whole verdict, and again the same."""
    file = tmp_path / "file"
    first = call("explore", *SMALL, "--max-states", 600, "--checkpoint", file, "--json")
    assert not first.document["evidence"]["complete"]
    assert f"kmodel explore --resume {file}" in first.err
    alone = call("explore", *SMALL, "--json")
    for _ in range(2):
        again = call("explore", "--resume", file, "--json")
        assert again.status == alone.status
        assert timeless(again.document) == timeless(alone.document)
        assert f"resumed from {file}" in again.err
        assert "to go on" not in again.err


def test_ctrl_c_keeps_all_and_the_search_goes_on(
    call: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """130, and then as if nothing had been."""

    @contextmanager
    def searching(*_: object) -> Iterator[Any]:
        yield lambda graph: signal.raise_signal(signal.SIGINT)

    file = tmp_path / "file"
    with monkeypatch.context() as patch:
        patch.setattr("kmodel.cli.progress.searching", searching)
        for _ in range(2):
            ran = call("explore", *explored(file, *SMALL), "--json")
            assert ran.status == 130
            assert f"--resume {file}" in ran.err
    alone = call("explore", *SMALL, "--json")
    again = call("explore", "--resume", file, "--json")
    assert timeless(again.document) == timeless(alone.document)


def test_a_torn_tail_is_told(call: Commands, tmp_path: Path) -> None:
    """And cut, and the verdict is the same."""
    file = tmp_path / "file"
    whole = call("explore", MAP, "--set", "cpus=1", "--checkpoint", file, "--json")
    os.truncate(file, file.stat().st_size - 1)
    again = call("explore", "--resume", file, "--json")
    assert "ended in the middle of a chunk" in again.err
    assert timeless(again.document) == timeless(whole.document)


def test_a_damaged_file_ends_with_5_and_the_place(call: Commands, tmp_path: Path) -> None:
    """And what to do about it helps."""
    file = tmp_path / "file"
    whole = call("explore", MAP, "--set", "cpus=1", "--checkpoint", file, "--json")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    ran = call("explore", "--resume", file)
    assert (ran.status, ran.out) == (5, "")
    assert "is damaged at byte" in ran.err
    subprocess.run(ran.err.split("'")[1], shell=True, check=True)
    again = call("explore", "--resume", file, "--json")
    assert timeless(again.document) == timeless(whole.document)


def test_an_edited_story_ends_with_5(call: Commands, tmp_path: Path) -> None:
    """And names the step."""
    path, file = stories.write(tmp_path, stories.CHECKED), tmp_path / "file"
    assert call("explore", path, "--checkpoint", file).status == 0
    stories.write(tmp_path, stories.CHECKED.replace("+= 1", "+= 2"))
    ran = call("explore", "--resume", file)
    assert (ran.status, ran.out) == (5, "")
    assert "A's task.pause in state" in ran.err


def test_two_processes_do_not_write_one_file(tmp_path: Path) -> None:
    """The second one is told who the first is, and ends with 2."""
    file = tmp_path / "file"
    mine = Journal.create(file, {})
    try:
        for arguments in (("--resume", file), (MAP, "--checkpoint", file)):
            ran = child("explore", *arguments)
            assert ran.status == 2
            assert f"process {os.getpid()}" in ran.err or "another process" in ran.err
    finally:
        mine.close()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Missing argument 'SCENARIO'"),
        (("--resume", "none"), "no such file"),
        ((MAP, "--resume", "none"), "leave out SCENARIO"),
        (("--fix", "wait", "--set", "a=1", "--resume", "none"), "--fix"),
        (("--search", "bfs", "--resume", "none"), "leave out --search"),
        (("--checkpoint", "one", "--resume", "none"), "leave out --checkpoint"),
        ((MAP, "--search", "bounded", "--checkpoint", "none"), "dfs and bfs"),
        ((MAP, "--check-live", "--checkpoint", "none"), "dfs and bfs"),
        ((MAP, "--checkpoint", "none/none"), "no such file"),
        ((MAP, "--checkpoint", "/dev/full"), "no space left"),
    ],
)
def test_what_cannot_be_is_said(
    call: Commands,
    arguments: tuple[str, ...],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before anything is searched."""
    monkeypatch.chdir(tmp_path)
    ran = call("explore", *arguments)
    assert (ran.status, ran.out) == (2, "")
    assert said in ran.err


def test_a_file_that_is_there_is_not_overwritten(call: Commands, tmp_path: Path) -> None:
    """Whatever it is."""
    file = tmp_path / "file"
    file.write_text("mine")
    ran = call("explore", MAP, "--checkpoint", file)
    assert ran.status == 2
    assert "there already" in ran.err
    assert file.read_text() == "mine"
