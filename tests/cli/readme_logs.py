"""The README's section on logs, made anew: ``python tests/cli/readme_logs.py``."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"

SECTION = re.compile(r"^## Logs\n.*?(?=^## )", re.DOTALL | re.MULTILINE)
SHOWN = re.compile(r"^    (kmodel log .*?)\n\n```\n(.*?)^```$", re.DOTALL | re.MULTILINE)
RECORDED = (
    "run contended_kernel_map --fix wait --seed 7",
    "run contended_kernel_map --fix populate --seed 7",
)


def kmodel(arguments: list[str], where: str) -> str:
    """What a command prints, run in a directory of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "kmodel", *arguments],
        capture_output=True,
        text=True,
        check=True,
        cwd=where,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    return done.stdout


def made_anew(text: str) -> str:
    """``text`` with each command of the section followed by what it prints now."""

    def again(found: re.Match[str]) -> str:
        return f"    {found[1]}\n\n```\n{kmodel(shlex.split(found[1])[1:], where)}```"

    assert all(f"`kmodel {command}`" in text for command in RECORDED)
    with tempfile.TemporaryDirectory() as where:
        for command in RECORDED:
            kmodel(command.split(), where)
        section = SECTION.search(text)
        assert section
        fresh, count = SHOWN.subn(again, section[0])
        assert count == section[0].count("\n    kmodel log ")
        return text.replace(section[0], fresh)


if __name__ == "__main__":
    README.write_text(made_anew(README.read_text()))
