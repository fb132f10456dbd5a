"""``kmodel replay``: the story that a replayed run ends with."""

from __future__ import annotations

from pathlib import Path

import pytest
import stories
from commands import Commands

from kmodel.cli import run_command_line

MAP = ("contended_kernel_map", "--set", "cpus=1")


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Commands:
    return Commands(capsys)


def lines_of(out: str) -> list[str]:
    """The sentences below ``What happened``."""
    _, _, below = out.partition("\nWhat happened\n")
    return [line.strip() for line in below.split("\n\n")[0].splitlines()]


def test_a_replay_ends_with_a_story(call: Commands, tmp_path: Path) -> None:
    """Below the steps and above the digest; the same sentences in the document."""
    path = stories.write(tmp_path, stories.CROSSED)
    token = call("explore", path, "--json").document["replay"]
    shown = call("replay", token)
    sentences = lines_of(shown.out)
    assert sentences[0].startswith("A0 stands at mutex.enter two since step ")
    assert "A0 waits for B0, B0 waits for A0: a cycle" in sentences[2]
    assert shown.out.splitlines()[-1].startswith("digest ")
    assert call("replay", token, "--json").document["story"] == sentences


def test_a_confirmed_inversion_is_found_and_replayed(call: Commands, tmp_path: Path) -> None:
    """Beside the deadlock, which decides the verdict."""
    path = stories.write(tmp_path, stories.CROSSED)
    document = call("explore", path, "--json").document
    (found,) = [one for one in document["findings"] if one["kind"] == "lock-order"]
    assert document["kind"] == "deadlock"
    assert "A0 holds one and wants two; B0 holds two and wants one: confirmed" in found["message"]
    assert found["culprits"] == ["A0", "B0", "one", "two"]
    ran = call("replay", found["replay"])
    assert ran.status == 1
    assert "a cycle" in ran.out


GUARDED = stories.CROSSED.replace(
    'one, two = Mutex("one"), Mutex("two")',
    'one, two, outer = Mutex("one"), Mutex("two"), Mutex("outer")',
)
GUARDED = GUARDED.replace(
    "def both(first, second):", "def both(outer, first, second):\n    await outer.enter()"
)
GUARDED = GUARDED.replace("await first.leave()", "await first.leave()\n    await outer.leave()")
GUARDED = GUARDED.replace("both, one", "both, outer, one").replace("both, *(", "both, outer, *(")


def test_a_guarded_inversion_breaks_nothing(call: Commands, tmp_path: Path) -> None:
    """It is reported as a potential one only, with nothing to replay."""
    ran = call("explore", stories.write(tmp_path, GUARDED), "--json")
    assert (ran.status, ran.document["verdict"]) == (0, "holds")
    (found,) = ran.document["findings"]
    assert "unreachable within bounds, a potential inversion only" in found["message"]
    assert "(outer is held each time)" in found["message"]
    assert "replay" not in found


def test_a_lasso_is_told_by_task(call: Commands) -> None:
    """A line for each task, and the fairness that the loop survives."""
    document = call("explore", *MAP, "--fix", "lock-retry", "--json").document
    sentences = lines_of(call("replay", document["replay"]).out)
    assert len(sentences) <= 15
    for name in ("A takes ", "K takes ", "pagedaemon is blocked all along"):
        assert any(sentence.startswith(name) for sentence in sentences)
    assert sentences[-1] == f"The loop survives {document['survives']}."


def test_a_race_is_told_by_its_accesses(call: Commands, tmp_path: Path) -> None:
    """From the token alone."""
    token = call("explore", stories.write(tmp_path, stories.RACE), "--json").document["replay"]
    sentences = lines_of(call("replay", token).out)
    assert len([one for one in sentences if "writes counter0.value in step" in one]) == 2
    assert "Nothing orders the two" in sentences[2]


@pytest.mark.parametrize(
    ("story", "status"),
    [
        ("await x.enter()\n    await x.leave()", 0),
        ("await x.enter()\n    await pause()\n    await x.enter()", 1),
    ],
)
def test_the_log_of_a_run_can_be_replayed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], story: str, status: int
) -> None:
    """Whole, to the same digest: 0 if it showed nothing, 1 if it broke something."""
    path = tmp_path / "own.py"
    path.write_text(
        '"""One lock."""\nfrom kmodel import Machine, pause, scenario\n'
        "from kmodel.sync.mutex import Mutex\n\n\n@scenario\ndef s(m: Machine) -> None:\n"
        '    x = Mutex("x")\n    m.cpu("A", use(x))\n\n\n'
        f"async def use(x):\n    {story}\n"
    )
    assert run_command_line(["run", str(path), "--logs", str(tmp_path / "logs")]) == status
    capsys.readouterr()
    (log,) = (tmp_path / "logs").iterdir()
    assert run_command_line(["replay", str(log)]) == status
    recorded = (log / "events.jsonl").read_text().split('"digest":"')[1].split('"')[0]
    assert f"digest {recorded}" in capsys.readouterr().out
