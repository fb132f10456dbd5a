"""The command line. Commands are loaded when they are used, so that help is quick.

Exit status: 0 holds, 1 a violation was found, 2 usage, 3 the model is not
deterministic, 4 a limit ended the search before a verdict, 5 a file is damaged or
does not fit, 70 a bug in kmodel, 130 interrupted.
"""

from __future__ import annotations

import importlib
import signal
import sys
import traceback
from typing import Any

import click

COMMANDS = {
    "compare": ("kmodel.cli.compare:compare", "The decision matrix: every way out, judged."),
    "explore": ("kmodel.cli.explore:explore", "Search every schedule of a scenario for a verdict."),
    "fuzz": (
        "kmodel.cli.fuzz:fuzz",
        "Made-up workloads, run in every order, shrunk if they break.",
    ),
    "run": ("kmodel.cli.run:run", "Random runs on Trio tasks, logged, with a summary."),
    "replay": ("kmodel.cli.replay:replay", "The same run again, step by step."),
    "list": ("kmodel.cli.list:list_all", "Scenarios, fixes, situations, strategies."),
    "log": ("kmodel.cli.log:log", "Inspect the event logs of runs."),
}

_WIDTH = {"max_content_width": 100, "help_option_names": ["-h", "--help"]}


class Lazy(click.Group):
    """A group whose commands are imported only when one is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, attribute = COMMANDS[name][0].split(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=Lazy, context_settings=_WIDTH)
@click.version_option(None, "--version", package_name="kmodel", message="kmodel %(version)s")
def kmodel() -> None:
    """Can this kernel design hang, leak, starve, or kill the wrong process?

    kmodel runs a model of a kernel's virtual memory in every order that matters, and
    says either that it holds (and how much was covered), or the shortest story of how
    it breaks, with one command that replays it.

    \b
    Begin with:  kmodel compare
    """


def run_command_line(arguments: list[str]) -> int:
    """Run one command; return its exit status."""
    try:
        status = kmodel.main(arguments, prog_name="kmodel", standalone_mode=False)
        return status if isinstance(status, int) else 0
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except SystemExit as stop:
        # click answers a closed pipe with 1, which here would say "a violation"
        closed = "PacifyFlush" in type(sys.stdout).__name__
        return 128 + signal.SIGPIPE if closed else int(stop.code or 0)
    except (click.Abort, KeyboardInterrupt):  # click turns a Ctrl-C into the former
        click.echo("interrupted", err=True)
        return 130
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except OSError as error:
        click.echo(f"Error: the system refused: {error}", err=True)
        return 2
    except Exception as error:
        return _explained(error)


def _explained(error: Exception) -> int:
    """Say what went wrong; only a bug of kmodel itself shows a traceback."""
    for name, status in _known(error):
        if name:
            click.echo(f"Error: {error}", err=True)
            return status
    traceback.print_exc()
    click.echo("This is a bug in kmodel itself; please report it with the lines above.", err=True)
    return 70


def _known(error: Exception) -> list[tuple[bool, int]]:
    from kmodel.explore.journal import CheckpointError, CheckpointRefused
    from kmodel.explore.schedule import TokenError
    from kmodel.explore.strategy import ReplayDiverged
    from kmodel.explore.tree import Divergence
    from kmodel.log.runs import LogError
    from kmodel.recorder import SharedStateError
    from kmodel.settings import UsageError
    from kmodel.world import ScenarioError

    table: dict[Any, int] = {
        UsageError: 2,
        ScenarioError: 2,
        SharedStateError: 2,
        LogError: 2,
        CheckpointRefused: 2,
        Divergence: 3,
        TokenError: 5,
        CheckpointError: 5,
        ReplayDiverged: 5,
    }
    return [(isinstance(error, kind), status) for kind, status in table.items()]
