"""What is handed over runs, and fails as long as the bug is there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import kmodel
from kmodel.fuzz import Workload, holds
from kmodel.fuzz.judged import judge
from kmodel.fuzz.paste import pasted, story
from kmodel.fuzz.target import load
from kmodel.settings import UsageError
from kmodel.testing import Broken

STRANDED = Workload.of(
    "pool",
    {"primed": True, "pages": 1, "items": 1, "hardlimit": 0},
    [(1, "get", True), (0, "get", False), (0, "put")],
)
"""A put looks for requests just when another CPU has them off the queue to serve them."""


def test_a_pasted_test_runs_and_fails(tmp_path: Path) -> None:
    shown = judge(load("pool"), STRANDED).shown[0]
    path = tmp_path / "test_pasted.py"
    path.write_text(pasted(STRANDED, shown))
    ran = pytest_on(str(path))
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert "Broken: deadlock: cpu1 can never step again" in ran.stdout
    (test, schedule) = re.findall(r"replay: pytest '(\S+)' --kmodel-replay '(\S+)'", ran.stdout)[0]
    again = pytest_on(test, "--kmodel-replay", schedule)
    assert again.returncode == 1, again.stdout + again.stderr
    assert "Broken: deadlock: nobody can step" in again.stdout


def pytest_on(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(kmodel.__file__).parents[1],
    )


def test_arguments_have_names_and_addresses_are_read_as_such() -> None:
    params = {"stock": 11, "levels": 3, "destroy": False}
    work = Workload.of("pmap", params, [(0, "enter", 0x20_1000, 1, True, False), (0, "hold")])
    shown = judge(load("pool"), STRANDED).shown[0]
    text = pasted(work, shown)
    assert "cpu0: enter(va=0x201000, page=1, write=True, wired=False); hold()" in text
    assert '        (0, "enter", 0x201000, 1, True, False),\n' in text


def test_what_does_not_break_passes() -> None:
    holds(Workload.of("pool", dict(STRANDED.params), [(0, "get", False), (1, "put")]))


def test_the_failure_shows_the_run() -> None:
    with pytest.raises(Broken, match=r"(?s)deadlock.*chan\.sleep mutex=test\.mem"):
        holds(STRANDED)


def test_a_story_names_no_addresses() -> None:
    shown = judge(load("pool"), STRANDED).shown[0]
    told = story(STRANDED, shown.schedule)
    assert told
    assert not [line for line in told if " at 0x" in line]


@pytest.mark.parametrize(
    ("target", "operations"),
    [("nothing", [(0, "get", True)]), ("pool", [(0, "steal")]), ("pool", [])],
)
def test_a_workload_of_no_target_is_refused(target: str, operations: list[tuple[int, str]]) -> None:
    with pytest.raises(UsageError):
        holds(Workload.of(target, dict(STRANDED.params), operations))


def test_the_test_in_the_readme_fails_as_it_says() -> None:
    text = (Path(kmodel.__file__).parents[1] / "README.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    (block,) = [block for block in blocks if "kmodel.fuzz" in block]
    namespace: dict[str, Any] = {}
    exec(block, namespace)
    with pytest.raises(Broken, match="cpu1 can never step again"):
        namespace["test_pool_deadlock"]()
