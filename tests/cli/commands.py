"""Calls of the command line: in this process, or in one of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import attrs
import pytest

from kmodel.cli import run_command_line

ROOT = Path(__file__).parents[2]


@attrs.frozen
class Ran:
    """What a command left behind."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Standard output, which must be exactly one JSON document."""
        found, end = json.JSONDecoder().raw_decode(self.out)
        assert self.out[end:] == "\n"
        return found


@attrs.frozen
class Commands:
    """Runs commands here and looks at what they print."""

    capsys: pytest.CaptureFixture[str]

    def __call__(self, *arguments: object) -> Ran:
        self.capsys.readouterr()
        try:
            status: Any = run_command_line([str(argument) for argument in arguments])
        except SystemExit as stop:
            status = stop.code or 0
        printed = self.capsys.readouterr()
        return Ran(status, printed.out, printed.err)


def child(*arguments: object, code: str | None = None, **env: str) -> Ran:
    """The same in a process of its own: ``python -m kmodel``, or ``python -c code``."""
    begin = ["-c", code] if code else ["-m", "kmodel"]
    done = subprocess.run(
        [sys.executable, *begin, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=os.environ | env,
    )
    return Ran(done.returncode, done.stdout, done.stderr)
