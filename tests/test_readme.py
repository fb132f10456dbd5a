"""What the README shows must work as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kmodel.cli import run_command_line

README = Path(__file__).parent.parent / "README.md"


def test_the_scenario_in_the_readme_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first block of Python with a @scenario, saved to a file, is explored to a verdict."""
    blocks = re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.DOTALL | re.MULTILINE)
    (text, *_) = [block for block in blocks if "@scenario" in block]
    path = tmp_path / "story.py"
    path.write_text(text)
    status = run_command_line(["explore", str(path)])
    printed = capsys.readouterr()
    assert status == 1, printed.out + printed.err
    assert "violated: data-race" in printed.out
