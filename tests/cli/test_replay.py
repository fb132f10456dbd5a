"""``kmodel replay``: the story that a replayed run ends with."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import stories
from commands import ROOT, Commands

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
    assert sentences[0].startswith("A0 spins for two since step ")
    assert "A0 waits for B0, B0 waits for A0: a cycle" in sentences[2]
    assert shown.out.splitlines()[-1].startswith("digest ")
    assert call("replay", token, "--json").document["story"] == sentences


def test_a_confirmed_inversion_is_found_and_replayed(call: Commands, tmp_path: Path) -> None:
    """Beside the deadlock, which decides the verdict."""
    path = stories.write(tmp_path, stories.CROSSED)
    document = call("explore", path, "--json").document
    (found,) = [one for one in document["findings"] if one["kind"] == "lock-order"]
    assert document["kind"] == "deadlock"
    place = "in both (story.py:8)"
    wants = f"A0 holds one and wants two {place}; B0 holds two and wants one {place}: confirmed"
    assert wants in found["message"]
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
    assert sentences[-2] == f"The loop survives {document['survives']}."
    assert re.fullmatch(
        r"Had A's `lock.try kernel_map` \(step \d+\) come before K's `lock.acquire kernel_map` "
        r"\(step \d+\), the loop would have come to a good end \(this was run\).",
        sentences[-1],
    )


def test_a_race_is_told_by_its_accesses(call: Commands, tmp_path: Path) -> None:
    """From the token alone."""
    token = call("explore", stories.write(tmp_path, stories.RACE), "--json").document["replay"]
    sentences = lines_of(call("replay", token).out)
    assert len([one for one in sentences if "writes counter0.value in step" in one]) == 2
    assert "Nothing orders the two" in sentences[2]


def test_a_race_is_in_the_log_of_its_replay(call: Commands, tmp_path: Path) -> None:
    """No step breaks, yet the log does not say that the run ended well."""
    logs = tmp_path / "logs"
    token = call("explore", stories.write(tmp_path, stories.RACE), "--json").document["replay"]
    told = call("replay", token, "--logs", logs, "--json").document
    (log,) = logs.iterdir()
    end = json.loads((log / "events.jsonl").read_text().splitlines()[-1])
    assert (end["outcome"], end["property"]) == ("data-race", "no data race")
    assert end["message"] == told["message"]
    assert "touch counter0.value with nothing to order them" in end["message"]
    assert call("log", "explain", log, "--json").document["ends"] == told["story"]
    again = call("replay", log)
    assert (again.status, "Nothing orders the two" in again.out) == (1, True)
    # whoever goes first, nothing orders them: the other order is no better
    nearest = call("log", "diff", log, "--nearest-passing", "--logs", logs)
    assert (nearest.status, "no passing run among" in nearest.err) == (4, True)


def test_a_lock_order_finding_is_in_the_log_of_its_replay(call: Commands, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    found = call("explore", stories.write(tmp_path, stories.CROSSED), "--json").document["findings"]
    (token,) = [one["replay"] for one in found if one["kind"] == "lock-order"]
    assert call("replay", token, "--logs", logs).status == 1
    (log,) = logs.iterdir()
    end = json.loads((log / "events.jsonl").read_text().splitlines()[-1])
    assert (end["outcome"], end["property"]) == ("lock-order", "lock order")


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


# after an edit


def rewritten(path: str, before: str, after: str) -> None:
    text = Path(path).read_text()
    assert before in text
    Path(path).write_text(text.replace(before, after))


@pytest.fixture
def crossed(call: Commands, tmp_path: Path) -> tuple[str, str]:
    """A scenario file with a deadlock, and its token."""
    path = stories.write(tmp_path, stories.CROSSED)
    return path, call("explore", path, "--json").document["replay"]


def test_a_token_of_an_edited_scenario_is_followed_by_its_anchors(
    call: Commands, crossed: tuple[str, str]
) -> None:
    """It says so, what was edited and what it still shows, and gives the token of the run as it
    is now, which is exact."""
    path, token = crossed
    rewritten(path, "    await second.enter", "    await pause()\n    await second.enter")
    rewritten(path, "import Machine,", "import Machine, pause,")
    ran = call("replay", token)
    assert (ran.status, ran.err) == (1, "")
    assert ran.out.splitlines()[1:3] == [
        "The scenario file changed since the token was made: its run was followed by its anchors.",
        "It still shows deadlock (ends): A0 and B0 wait for each other.",
    ]
    assert "\nWhat happened\n" in ran.out
    fresh = ran.out.split("kmodel replay ")[1].split()[0]
    again = call("replay", fresh)
    assert again.status == 1
    assert "anchors" not in again.out
    assert again.out.splitlines()[-1] == ran.out.splitlines()[-1]
    document = call("replay", token, "--json").document
    assert document["replay"] == fresh
    assert document["followed"] == {
        "changed": ["the scenario file"],
        "again": True,
        "shows": "A0 and B0 wait for each other",
        "of": token,
    }
    assert "followed" not in call("replay", fresh, "--json").document


def test_an_edit_that_the_run_does_not_see_is_not_mentioned(
    call: Commands, crossed: tuple[str, str]
) -> None:
    """The same events: the same output, to the letter."""
    path, token = crossed
    before = call("replay", token)
    rewritten(path, "Two threads", "A pair of threads")
    assert call("replay", token) == before


def test_a_run_that_breaks_nothing_any_more_ends_with_0(
    call: Commands, crossed: tuple[str, str]
) -> None:
    """The locks are taken in one order now. A token of that run is given all the same."""
    path, token = crossed
    rewritten(path, "if swap else", "if not swap else")
    ran = call("replay", token)
    assert (ran.status, ran.err) == (0, "")
    assert "nothing is broken" in ran.out.splitlines()[0]
    assert "It does not show deadlock (ends) any more: nothing is broken" in ran.out
    assert "What happened" not in ran.out
    assert call("replay", ran.out.split("kmodel replay ")[1].split()[0]).status == 0
    document = call("replay", token, "--json").document
    assert (document["verdict"], document["kind"]) == ("inconclusive", None)


def test_an_event_that_vanished_ends_with_5(call: Commands, crossed: tuple[str, str]) -> None:
    """Named, with its task, and how to search anew."""
    path, token = crossed
    rewritten(path, "    await second.enter()\n    await second.leave()\n", "")
    ran = call("replay", token)
    assert (ran.status, ran.out) == (5, "")
    assert "A0 never comes to 'mutex.enter two' again, as it did in block 2" in ran.err
    assert ran.err.rstrip().endswith(f"kmodel explore {path} --fix wait")


def test_a_log_of_an_edited_scenario_ends_with_5(
    call: Commands, crossed: tuple[str, str], tmp_path: Path
) -> None:
    """A log counts steps, and has no anchors."""
    path, _ = crossed
    log = call("run", path, "--logs", tmp_path / "logs", "--json").document["log"]
    assert call("replay", log).status in (0, 1)
    rewritten(path, "await first.enter()", "await first.enter()\n    await first.leave()")
    ran = call("replay", log)
    assert ran.status == 5
    assert "the scenario file changed since" in ran.err
    assert "A log has no anchors" in ran.err


@pytest.mark.parametrize(("before", "after"), [("range(2)", "range(0)"), ("range(2)", "range(3)")])
def test_another_run_without_an_edit_ends_with_3(
    call: Commands, tmp_path: Path, before: str, after: str
) -> None:
    """What a scenario imports is not looked at: it counts as not deterministic."""
    beside = stories.write(tmp_path, "TURNS = range(2)\n", "kmodel_beside.py")
    path = stories.write(
        tmp_path,
        stories.RACE.replace(
            "    await pause()\n", "    for _ in turns():\n        await pause()\n"
        )
        + "\n\ndef turns():\n    from pathlib import Path\n\n    names = {}\n"
        f"    exec(Path({beside!r}).read_text(), names)\n    return names['TURNS']\n",
    )
    token = call("explore", path, "--json").document["replay"]
    assert call("replay", token).status == 1
    rewritten(beside, before, after)
    ran = call("replay", token)
    assert ran.status == 3
    assert "Neither the kernel model nor the scenario file changed since" in ran.err


def test_a_token_of_an_older_kmodel_ends_with_5(call: Commands, tmp_path: Path) -> None:
    """It is known for what it is, also in a file."""
    note = tmp_path / "note.txt"
    note.write_text("see k1-NaGFd3jadU7LCsIwEPyVsudYNptU028RKdtkA9KYSoiCi\n")
    for given in ("k1-NaGFd3jadU7LCsIwEPyVsudYNptU028RKdtkA9KYSoiCi", note):
        ran = call("replay", given)
        assert ran.status == 5
        assert "is a token of an older kmodel (k1-)" in ran.err


# after an edit of the kernel


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A folder with a copy of the package and its scenarios, to edit and to run from."""
    for name in ("kmodel", "scenarios"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def replayed_from(folder: Path, token: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kmodel", "replay", token],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
    )


def test_a_token_is_followed_past_an_edit_of_the_kernel(call: Commands, copied: Path) -> None:
    """One more point in every fault: the lasso is still found, in a loop that is longer."""
    document = call("explore", *MAP, "--fix", "lock-retry", "--json").document
    same = replayed_from(copied, document["replay"])
    assert same.returncode == 1
    assert same.stdout.splitlines()[-1] == f"digest {document['digest']}"
    fault = str(copied / "kmodel" / "fault.py")
    enter = "        await entry.amap.am_lock.enter(upper)\n"
    rewritten(fault, enter, f"        await pause()\n{enter}")
    rewritten(
        fault, "import Loop, operation, procedure", "import Loop, operation, pause, procedure"
    )
    ran = replayed_from(copied, document["replay"])
    assert (ran.returncode, ran.stderr) == (1, "")
    assert "The kernel model changed since the token was made" in ran.stdout
    assert "It still shows livelock (no refault livelock): a fair loop of " in ran.stdout


def test_an_operation_that_left_the_kernel_is_named(call: Commands, copied: Path) -> None:
    """The fix waits for nothing any more: the fault never sleeps on the map's lock."""
    (starved,) = call("explore", *MAP, "--fix", "lock-retry", "--json").document["excluded"]
    token = starved["replay"]
    hack = str(copied / "kmodel" / "fixes" / "lock_retry.py")
    rewritten(hack, "    await kmap.vm_map_lock()\n    await kmap.vm_map_unlock()\n", "")
    ran = replayed_from(copied, token)
    assert (ran.returncode, ran.stdout) == (5, "")
    assert "the kernel model changed since" in ran.stderr
    assert "A never comes to 'lock." in ran.stderr
    assert " kernel_map' again" in ran.stderr


def test_the_pair_that_decides_is_in_the_document(call: Commands, tmp_path: Path) -> None:
    """Who should have done what before what; null where the run shows no one pair."""
    token = call("explore", stories.write(tmp_path, stories.CROSSED), "--json").document["replay"]
    document = call("replay", token, "--json").document
    pair = document["decisive"]
    assert (pair["had"]["event"], pair["had"]["step"]) == ("mutex.enter", None)
    assert pair["before"]["obj"] == pair["had"]["obj"]
    assert pair["before"]["task"] != pair["had"]["task"]
    assert document["story"][-1].startswith(f"Had {pair['had']['task']}'s `mutex.enter ")
    race = call("explore", stories.write(tmp_path, stories.RACE), "--json").document["replay"]
    assert call("replay", race, "--json").document["decisive"] is None


def test_explore_shows_the_smallest_sizes_unless_told_not_to(
    call: Commands, tmp_path: Path
) -> None:
    """In a line of its own, with the run of the sizes asked for below."""
    path = stories.write(tmp_path, stories.CROSSED)
    out = call("explore", path, "--set", "copies=2").out
    assert "  smallest with copies=1\n" in out
    assert "  with copies=2: kmodel replay k" in out
    plain = call("explore", path, "--set", "copies=2", "--no-smaller")
    assert "smallest with" not in plain.out
    assert (
        call("explore", path, "--set", "copies=2", "--no-smaller", "--json").document["smallest"]
        is None
    )
    assert "smallest" not in call("explore", path).out
