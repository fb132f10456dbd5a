"""Whose fault it is that something went wrong, from the command line's point of view."""

from __future__ import annotations

from pathlib import Path

import pytest

from kmodel.cli import run_command_line

HEAD = '"""A story."""\nimport sys\nfrom kmodel import Machine, pause, scenario\n'
TASK = """
@scenario
def s(m: Machine) -> None:
    m.cpu("A", a())


async def a() -> None:
    await pause()
    {line}
"""
CHECK = """
@scenario
def s(m: Machine) -> None:
    m.{when}("c", lambda: {test})
    m.cpu("A", a())


async def a() -> None:
    await pause()
"""


@pytest.mark.parametrize("command", ["explore", "run"])
@pytest.mark.parametrize(
    ("text", "status", "words"),
    [
        (TASK.format(line="sys.exit(9)"), 2, "SystemExit"),
        (TASK.format(line="assert 1 == 2, 'sums'"), 1, "assertion failed in a"),
        (TASK.format(line="{}['x']"), 2, "KeyError"),
        ("\nsys.exit(7)\n", 2, "cannot be loaded"),
        (CHECK.format(when="always", test="'bad from the start'"), 1, "bad from the start"),
        (CHECK.format(when="always", test="1 / 0"), 2, "check 'c' raised ZeroDivisionError"),
        (CHECK.format(when="finally_", test="{}['x']"), 2, "check 'c' raised KeyError"),
    ],
)
def test_the_scenario_is_blamed_for_what_is_its_own(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    command: str,
    text: str,
    status: int,
    words: str,
) -> None:
    """The status, and a sentence that says what; never a traceback."""
    path = tmp_path / "story.py"
    path.write_text(HEAD + text)
    options = ["--logs", str(tmp_path / "logs")] if command == "run" else []
    assert run_command_line([command, str(path), *options]) == status
    printed = capsys.readouterr()
    assert words in printed.out + printed.err
    assert "Traceback" not in printed.out + printed.err
