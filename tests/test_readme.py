"""What the README shows must work as it stands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

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


def test_the_library_example_of_the_readme_runs(tmp_path: Path) -> None:
    """The block with ``kmodel.explore`` is a program that finds what the text says."""
    blocks = re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.DOTALL | re.MULTILINE)
    (text,) = [block for block in blocks if "kmodel.explore" in block]
    path = tmp_path / "bounded_buffer.py"
    path.write_text(text)
    environment = os.environ | {"PYTHONPATH": str(README.parent)}
    ran = subprocess.run(
        [sys.executable, str(path)], capture_output=True, text=True, timeout=60, env=environment
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("violated: deadlock\n  Q and D can never step again")
    last = [line.split()[1:] for line in ran.stdout.splitlines()[-2:]]
    assert last == [["D", "buffer.woken"], ["D", "buffer.move", "False"]]


def test_the_tests_of_the_readme_pass(pytester: pytest.Pytester) -> None:
    """The two blocks on tests of one's own, as files of a suite."""
    blocks = re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.DOTALL | re.MULTILINE)
    (locks,) = [block for block in blocks if "@kmodel.check" in block]
    (stack,) = [block for block in blocks if "ConcurrentStateMachine" in block]
    crossed = locks.replace('"B", both, one, two', '"B", both, two, one')
    pytester.makepyfile(test_locks=locks, test_stack=stack, test_crossed=crossed)
    ran = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    ran.assert_outcomes(passed=2, failed=1)
    again = "replay: pytest 'test_crossed.py::test_one_order' --kmodel-replay '0,0,1,1'"
    assert again in ran.stdout.str()


TORN = """
    @operation(event="stack.look")
    def look(self):
        return self.items

    @operation(event="stack.set")
    def set(self, items):
        self.items = items

    @operation(event="stack.push")"""


def test_a_torn_stack_fails_as_the_readme_says(pytester: pytest.Pytester) -> None:
    """With the replay and the test to paste that stand there, word for word. Without pops,
    which would show the same bug too."""
    text = README.read_text()
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    (stack,) = [block for block in blocks if "ConcurrentStateMachine" in block]
    torn = stack.replace("await stack.push(item)", "await stack.set((*await stack.look(), item))")
    torn = torn.replace('\n    @operation(event="stack.push")', TORN)
    torn = re.sub(r"    @concurrent\(\)\n.*?stack\.pop\(\)\n", "", torn, flags=re.DOTALL)
    (pasted,) = re.findall(r"^    @kmodel\.check\(.*?\n\n", text, re.DOTALL | re.MULTILINE)
    pytester.makepyfile(test_stack=torn, test_pasted=f"{torn}\nimport kmodel\n{dedent(pasted)}")
    shown = pytester.runpytest_subprocess("-p", "no:cacheprovider", "test_stack.py").stdout.str()
    (replay,) = re.findall(r"--kmodel-replay '\[.*?'", text)
    assert replay in shown
    for line in pasted.strip().splitlines():
        assert f"E   {line.removeprefix('    ')}" in shown.splitlines()
    ran = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-k", "again", "test_pasted.py")
    ran.assert_outcomes(failed=1)
    assert "Broken: violated: invariant" in ran.stdout.str()
