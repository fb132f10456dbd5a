"""Help: one screen each, with an example, and quick."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest
from commands import Commands, child

from kmodel.cli import COMMANDS, kmodel

SCREEN = 40
"""Lines; and 100 columns."""

HEAVY = ("trio", "structlog", "hypothesis", "rich")


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Commands:
    return Commands(capsys)


def all_commands() -> list[tuple[str, ...]]:
    """Every command, and every command below a group."""
    found: list[tuple[str, ...]] = []
    for name in COMMANDS:
        command = kmodel.get_command(click.Context(kmodel), name)
        found.append((name,))
        if isinstance(command, click.Group):
            found += [(name, below) for below in command.commands]
    return found


@pytest.mark.parametrize("command", all_commands(), ids=" ".join)
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_each_command_has_one_screen_of_help_with_an_example(
    call: Commands, command: tuple[str, ...], option: str
) -> None:
    """What it is for, its options, and a line to copy."""
    ran = call(*command, option)
    lines = ran.out.splitlines()
    assert (ran.status, ran.err) == (0, "")
    assert len(lines) <= SCREEN
    assert max(map(len, lines)) <= 100
    assert "Example" in ran.out
    assert f"kmodel {command[0]}" in ran.out.split("Example")[1]


def test_the_first_help_names_every_command_and_where_to_begin(call: Commands) -> None:
    """One line each."""
    ran = call("--help")
    assert ran.status == 0
    assert len(ran.out.splitlines()) <= SCREEN
    assert "kmodel compare" in ran.out
    for name in COMMANDS:
        assert f"\n  {name} " in ran.out


def test_every_option_says_what_it_is_for() -> None:
    """No option without a line of help."""
    for path in all_commands():
        command: click.Command | None = kmodel
        for name in path:
            assert isinstance(command, click.Group)
            command = command.get_command(click.Context(command), name)
        assert command is not None
        for option in command.params:
            if isinstance(option, click.Option):
                assert option.help, (path, option.name)


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["--version"], []])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    """``kmodel --help`` in a fresh process imports none of the big libraries."""
    code = (
        "import sys; from kmodel.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    ran = child(*arguments, code=code)
    assert ran.status == 0, ran.err
    assert ran.out.splitlines()[-1] == "[]"


def test_importing_the_package_loads_none_of_its_wings() -> None:
    """The public names are looked up when they are first used."""
    code = (
        "import sys, kmodel\n"
        "assert not [name for name in sys.modules if name.startswith('kmodel.')]\n"
        "assert kmodel.Machine.__name__ == 'Machine'\n"
        "print(all(hasattr(kmodel, name) for name in kmodel.__all__))"
    )
    ran = child(code=code)
    assert (ran.status, ran.out, ran.err) == (0, "True\n", "")


def test_the_version_is_told(call: Commands) -> None:
    """The one of the package."""
    import kmodel as package

    assert call("--version").out == f"kmodel {package.__version__}\n"


def test_a_closed_pipe_is_no_verdict() -> None:
    """Whoever reads the output may have had enough of it: that is status 141, as in a shell."""
    child = subprocess.Popen(
        [sys.executable, "-m", "kmodel", "list", "--params"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert child.stdout is not None
    assert child.stderr is not None
    child.stdout.close()
    assert child.stderr.read() == b""
    child.stderr.close()
    assert child.wait() == 141
