"""Each command on the page of findings prints what the page says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SHOWN = re.findall(
    r"^    kmodel (.+)\n\n    > (.+)$", (ROOT / "docs" / "findings.md").read_text(), re.MULTILINE
)


def test_every_finding_has_a_command_its_assumptions_and_a_source() -> None:
    text = (ROOT / "docs" / "findings.md").read_text()
    for chapter in text.split("\n## ")[1:]:
        assert "\n    kmodel " in chapter, chapter
        assert "\nAssumes: " in chapter, chapter


@pytest.mark.slow
@pytest.mark.parametrize(("command", "line"), SHOWN)
def test_the_command_of_a_finding_shows_it(command: str, line: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "kmodel", *command.split()],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=300,
    )
    assert line in " ".join(done.stdout.split())
