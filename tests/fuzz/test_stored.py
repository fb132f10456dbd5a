"""What broke something is there again: on this machine, and for others by a Redis server that
the tests start."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import attrs
import pytest

from kmodel.fuzz.stored import Stored
from kmodel.fuzz.target import load
from kmodel.fuzz.workload import Workload
from kmodel.settings import UsageError

POOL = load("pool")
ONE = Workload.of(
    "pool",
    {name: among[0] for name, among in POOL.params.items()},
    [(1, "get", True), (0, "put")],
    [("test", "PAGES", 1, True), ("cpu1", "killed", 1, False)],
)
OTHER = attrs.evolve(ONE, operations=ONE.operations[:1])


@attrs.frozen
class Server:
    process: subprocess.Popen[bytes]
    url: str


def free_port() -> int:
    with closing(socket.socket()) as it:
        it.bind(("127.0.0.1", 0))
        port: int = it.getsockname()[1]
        return port


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    pytest.importorskip("redis", reason="no library 'redis' here: pip install 'kmodel[redis]'")
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("no redis-server here: apt-get install redis-server")
    port = free_port()
    run = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", tmp_path]
    process = subprocess.Popen(run, stdout=subprocess.DEVNULL)
    url = f"redis://127.0.0.1:{port}/0"
    try:
        deadline = time.monotonic() + 20
        while not answers(port):
            assert time.monotonic() < deadline, "redis-server does not answer"
            assert process.poll() is None, "redis-server ended"
            time.sleep(0.05)
        yield Server(process, url)
    finally:
        process.kill()
        process.wait()


def answers(port: int) -> bool:
    with closing(socket.socket()) as it:
        it.settimeout(1)
        try:
            it.connect(("127.0.0.1", port))
            it.sendall(b"PING\r\n")
            return it.recv(5) == b"+PONG"
        except OSError:
            return False


def test_what_is_kept_comes_back_and_what_is_forgotten_does_not(tmp_path: Path) -> None:
    Stored(str(tmp_path)).keep(ONE)
    stored = Stored(str(tmp_path))
    stored.keep(OTHER)
    stored.keep(OTHER)
    assert stored.of(POOL) == [OTHER, ONE], "the shortest first"
    assert stored.of(load("kmap")) == []
    stored.forget(ONE)
    assert stored.of(POOL) == [OTHER]


def test_what_does_not_fit_is_passed_over_and_counted(tmp_path: Path) -> None:
    stored = Stored(str(tmp_path))
    wrong = [
        attrs.evolve(ONE, params=ONE.params[1:]),
        attrs.evolve(ONE, operations=(attrs.evolve(ONE.operations[0], name="steal"),)),
        attrs.evolve(ONE, injected=(attrs.evolve(ONE.injected[0], cause="RANGE"),)),
        ONE,
    ]
    for one in wrong:
        stored.keep(one)
    for number, torn in enumerate((b"", b"{", b"[1, 2]", b'{"target": "pool"}', b"\xff")):
        for folder in tmp_path.iterdir():
            (folder / f"torn{number}").write_bytes(torn)
    assert stored.of(POOL) == [ONE]
    assert stored.unfit == len(wrong) - 1 + 5


@pytest.mark.parametrize(
    "wrong",
    [
        {"operations": [["a", "get", True]]},
        {"operations": [[-1, "get", True]]},
        {"operations": [[300, "get", True]]},
        {"operations": [[0, "get", 7]]},
        {"params": dict(ONE.params) | {"pages": "x"}},
        {"params": dict(ONE.params) | {"pages": 10**9}},
        {"params": dict(ONE.params) | {"primed": 1}},
        {"injected": [["test", "PAGES", "1", True]]},
        {"injected": [[1, 2, 3, 4]]},
    ],
)
def test_what_no_campaign_could_have_stored_is_not_run(
    tmp_path: Path, wrong: dict[str, Any]
) -> None:
    """It would crash the target, and end its night."""
    stored = Stored(str(tmp_path))
    stored.keep(ONE)
    for folder in tmp_path.iterdir():
        (folder / "damaged").write_text(json.dumps(ONE.document() | wrong))
    assert stored.of(POOL) == [ONE]
    assert stored.unfit == 1


def test_what_was_torn_when_it_was_kept_is_kept_anew(tmp_path: Path) -> None:
    """By a kill, or a disk that was full; the database itself would leave it so."""
    assert Stored(str(tmp_path)).keep(ONE)
    for file in tmp_path.rglob("*"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[:20])
    stored = Stored(str(tmp_path))
    assert stored.of(POOL) == []
    assert stored.keep(ONE)
    assert stored.of(POOL) == [ONE]
    assert stored.unkept == 0


def test_what_cannot_be_kept_is_counted(tmp_path: Path) -> None:
    stored = Stored(str(tmp_path / "store"))
    shutil.rmtree(tmp_path / "store")
    (tmp_path / "store").write_text("a file")
    assert not stored.keep(ONE)
    assert stored.unkept == 1


def test_a_folder_that_cannot_be_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        Stored(str(tmp_path / "file" / "examples"))


def test_two_machines_share_a_server(tmp_path: Path, server: Server) -> None:
    here = Stored(str(tmp_path / "here"), server.url)
    there = Stored(str(tmp_path / "there"), server.url)
    here.keep(ONE)
    there.keep(OTHER)
    assert here.of(POOL) == there.of(POOL) == [OTHER, ONE]
    here.forget(OTHER)
    assert there.of(POOL) == [OTHER, ONE], "others may still see it break"
    assert Stored(str(tmp_path / "there")).of(POOL) == [OTHER], "the folder has its own alone"


def test_a_server_that_goes_away_ends_no_night(tmp_path: Path, server: Server) -> None:
    stored = Stored(str(tmp_path / "here"), server.url)
    server.process.kill()
    server.process.wait()
    stored.keep(ONE)
    assert stored.of(POOL) == [ONE]
    assert "ConnectionError" in stored.lost


def kmodel(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "kmodel", "fuzz", "pool", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_command_finds_what_another_machine_found(tmp_path: Path, server: Server) -> None:
    url = ("--database", server.url)
    first = kmodel("--examples", 60, "--seed", 1, "--store", tmp_path / "here", *url)
    assert first.returncode == 1, first.stderr
    again = kmodel("--examples", 0, "--replay", "--store", tmp_path / "there", *url)
    assert again.returncode == 1, again.stderr
    assert "pool: deadlock" in again.stdout


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://127.0.0.1:{port}/0", "no Redis server answers there"),
        ("redis://me:secret@127.0.0.1:{port}/0", "redis://127.0.0.1"),
        ("http://example.org", "looks like redis://localhost:6379/0"),
        ("redis", "looks like redis://localhost:6379/0"),
        ("redis://127.0.0.1:many/0", "looks like redis://localhost:6379/0"),
    ],
)
def test_a_server_that_cannot_be_had_is_said_at_the_start(
    tmp_path: Path, url: str, said: str
) -> None:
    pytest.importorskip("redis", reason="no library 'redis' here: pip install 'kmodel[redis]'")
    began = time.monotonic()
    ran = kmodel("--store", tmp_path, "--database", url.format(port=free_port()))
    assert ran.returncode == 2, ran.stderr
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr
    assert "secret" not in ran.stderr
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("wrong", ["redis://me:secret@{at}/0", "redis://{at}/99"])
def test_what_a_server_answers_is_said(tmp_path: Path, server: Server, wrong: str) -> None:
    at = server.url.removeprefix("redis://").removesuffix("/0")
    ran = kmodel("--store", tmp_path, "--database", wrong.format(at=at))
    assert ran.returncode == 2, ran.stderr
    assert "the server there answers: " in ran.stderr
    assert "Start one" not in ran.stderr
    assert "secret" not in ran.stderr


def test_a_missing_library_is_said_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    monkeypatch.delitem(sys.modules, "hypothesis.extra.redis", raising=False)
    with pytest.raises(UsageError, match=r"pip install 'kmodel\[redis\]'"):
        Stored(str(tmp_path), "redis://127.0.0.1:1/0")
