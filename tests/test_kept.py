"""A case that is searched in parts gives the verdict of one that is searched at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest
import stories

from kmodel import kept
from kmodel.case import Case
from kmodel.explore.graph import Limits, Order
from kmodel.explore.journal import CheckpointError, Journal
from kmodel.explore.purity import pure
from kmodel.joint import explore, go_on
from kmodel.verdict import Verdict

ALL = Limits(states=1_000_000)


def timeless(verdict: Verdict) -> dict[str, Any]:
    """The document, tokens and all, without how long it took."""
    return attrs.evolve(verdict, evidence=attrs.evolve(verdict.evidence, seconds=0.0)).document()


def silent(_: str) -> None:
    """Not listened to."""


def in_parts(case: Case, order: Order, file: Path, *states: int) -> Verdict:
    """Searched up to each number of states in turn, and then to the end."""
    search = kept.begin(case, Limits(states=states[0]), order, file, silent)
    with pure():
        for most in (*states[1:], ALL.states):
            while search.advance(500):
                pass
            case, search = kept.resume(file, Limits(states=most), silent)
        return go_on(case, search).verdict()


@pytest.mark.parametrize("fix", ["wait", "lock-retry"])
@pytest.mark.parametrize("order", ["dfs", "bfs"])
def test_the_verdict_is_the_same_to_the_token(fix: str, order: Order, tmp_path: Path) -> None:
    """All of it: findings, stories, counts, what was reached."""
    with pure():
        params = {"cpus": 1, "rwlock": "wake-one-writer"}
        case = Case.of("contended_kernel_map", params, fix)
        alone = explore(case, ALL, order).verdict()
    assert timeless(in_parts(case, order, tmp_path / "file", 500, 1000)) == timeless(alone)


def test_a_situation_and_all_parameters_come_back(tmp_path: Path) -> None:
    """What is searched is in the file."""
    with pure():
        case = Case.of("contended_kernel_map", {"cpus": 1, "npages": 48}, "populate", "contention")
        kept.begin(case, ALL, "bfs", tmp_path / "file", silent).interrupt("enough")
        again, search = kept.resume(tmp_path / "file", ALL, silent)
        search.close()
    assert again.params == case.params
    assert (again.fix, again.situation, search.order) == ("populate", "contention", "bfs")


def finished(path: str, file: Path) -> None:
    with pure():
        case = Case.of(path, {})
        search = kept.begin(case, ALL, "dfs", file, silent)
        while search.advance(500):
            pass


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("counter.value += 1", "counter.value += 2", "A's task.pause in state"),
        ("range(3)", "range(4)", "A's task.pause in state"),
        ("counter.value <= at_most else", "counter.value < 3 else", "the check 'few' in state"),
        ('m.cpu("A"', 'm.cpu("B"', "its tasks"),
        ('"all"', '"every"', "its checks"),
        ("self.value = 0", "self.value = 1", "its shared state"),
    ],
)
def test_an_edit_that_matters_is_refused_and_named(
    before: str, after: str, said: str, tmp_path: Path
) -> None:
    """The first thing that is not as it was."""
    path, file = stories.write(tmp_path, stories.CHECKED), tmp_path / "file"
    finished(path, file)
    stories.write(tmp_path, stories.CHECKED.replace(before, after))
    with pure(), pytest.raises(CheckpointError, match=said):
        kept.resume(file, ALL, silent)


def test_an_edit_that_changes_nothing_is_told(tmp_path: Path) -> None:
    """All that ran has run again, and did the same."""
    path, file = stories.write(tmp_path, stories.CHECKED), tmp_path / "file"
    finished(path, file)
    stories.write(tmp_path, stories.CHECKED + "# a remark\n")
    told: list[str] = []
    with pure():
        kept.resume(file, ALL, told.append)[1].close()
    assert "was edited since" in told[0]


def test_a_model_that_is_not_deterministic_is_found_out(tmp_path: Path) -> None:
    """It does not run again as it ran."""
    path, file = stories.write(tmp_path, stories.CHANCE), tmp_path / "file"
    finished(path, file)
    with pure(), pytest.raises(CheckpointError, match=r"task\.pause in state"):
        kept.resume(file, ALL, silent)


@pytest.mark.parametrize(
    "about",
    [
        {},
        {"scenario": 7, "fix": "wait", "params": {}, "search": "dfs"},
        {"scenario": "contended_kernel_map", "fix": "wait", "params": [], "search": "dfs"},
        {"scenario": "contended_kernel_map", "fix": "wait", "params": {}, "search": "bounded"},
        {"scenario": "contended_kernel_map", "fix": "wait", "params": {}, "search": ["dfs"]},
        {"scenario": "contended_kernel_map", "fix": "wait", "params": {}, "search": "dfs"},
    ],
)
def test_a_file_that_says_something_else_is_refused(about: dict[str, Any], tmp_path: Path) -> None:
    """Whatever its first line holds, sums and all."""
    Journal.create(tmp_path / "file", about).close()
    with pure(), pytest.raises(CheckpointError):
        kept.resume(tmp_path / "file", ALL, silent)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]\n",
        b"{}\n",
        b'{"states":0,"parts":-1,"places":[],"cells":0,"finals":0,"ran":0}\n',
        b'{"states":0,"parts":99999999,"places":[],"cells":0,"finals":0,"ran":0,"transitions":0,'
        b'"seconds":0,"violations":[]}\n',
        b'{"states":0,"parts":1,"places":[],"cells":0,"finals":0,"ran":0,"transitions":0,"seconds":0,'
        b'"violations":[]}\n',
        b'{"states":0,"parts":0,"places":[],"cells":0,"finals":0,"ran":0,"transitions":0,"seconds":0,'
        b'"violations":[]}\nand more',
        b'{"states":0,"parts":0,"places":[],"cells":4,"finals":0,"ran":0,"transitions":0,"seconds":0,'
        b'"violations":[]}\n' + b"\xff" * 15 + b"\x7f" + b"\xff" * 16,
    ],
)
def test_a_chunk_of_nonsense_is_damage(content: bytes, tmp_path: Path) -> None:
    """Sums that fit are not believed further than they reach."""
    file = tmp_path / "file"
    with pure():
        case = Case.of("contended_kernel_map", {"cpus": 1}, "populate")
        search = kept.begin(case, ALL, "dfs", file, silent)
        assert search._journal is not None
        search._journal.append(content, safe=False)
        search.close()
        with pytest.raises(CheckpointError, match="damaged at byte"):
            kept.resume(file, ALL, silent)
