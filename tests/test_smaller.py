"""The same bug with smaller sizes, and never another one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import stories

from kmodel.case import Case
from kmodel.explore.graph import Limits, Search
from kmodel.explore.judgement import Judgement
from kmodel.explore.purity import pure
from kmodel.explore.schedule import parse
from kmodel.joint import explore
from kmodel.judge import Judge
from kmodel.smaller import Smaller, combinations, sizes, smaller
from kmodel.verdict import Verdict

SIZED = '''"""Threads that {what}."""
from kmodel import Machine, parameter, pause, scenario
from kmodel.panic import Panic
from kmodel.shared import shared
from kmodel.sync.mutex import Mutex


@shared
class Counter:
    value: int

    def __init__(self):
        self.value = 0


async def both(first, second):
    await first.enter()
    await second.enter()
    await second.leave()
    await first.leave()


async def fall(text):
    await pause()
    raise Panic(text)


async def count(counter):
    await pause()
    counter.value += 1


@scenario
def sized(m: Machine, n: int = parameter(3, 1, 5), k: int = parameter(1, 1, 2)) -> None:
    with m.world:
        one, two, counter = Mutex("one"), Mutex("two"), Counter()
{body}
'''

DRIFTING = {
    "deadlock, and alone another kind": """
    if n == 1:
        m.cpu("A", fall, "alone")
    else:
        m.cpu("A", both, one, two)
        m.cpu("B", both, two, one)
    """,
    "panic, and alone with another message": """
    m.cpu("A", fall, "alone" if n == 1 else "together")
    m.cpu("B", both, one, two)
    """,
    "deadlock, and alone at another place": """
    if n == 1:
        three = Mutex("three")
        m.cpu("A", both, one, three)
        m.cpu("B", both, three, one)
    else:
        m.cpu("A", both, one, two)
        m.cpu("B", both, two, one)
    """,
    "check, and alone another check": """
    m.cpu("A", count, counter)
    m.always("alone" if n == 1 else "together", lambda: "wrong" if counter.value else None)
    """,
}
"""Two bugs each: with ``n`` above 1, and with 1."""


def story(folder: Path, body: str) -> str:
    return stories.write(folder, SIZED.replace("{body}", body).replace("{what}", "do"))


def looked(name: str, limits: Limits | None = None, **params: Any) -> tuple[Judge, Smaller | None]:
    judge = stories.judged(name, **params)
    with pure():
        return judge, smaller(judge, explore, limits or Limits())


def shown(judge: Judge, look: Smaller | None) -> Verdict:
    verdict = judge.verdict()
    assert look is not None
    assert judge.worst is not None
    with pure():
        return look.show(verdict, judge.worst)[0]


def test_what_is_no_bug_is_not_made_smaller() -> None:
    """A stock that nothing refills: what to raise is all there is to say."""
    none = {"km_pages": 3, "header_stock": 4, "pted_stock": 4, "anon_stock": 0, "entry_stock": 4}
    case = Case.of("contended_kernel_map", {"cpus": 1, "faults": 4, **none}, "populate")

    def again(case: Case, limits: Limits) -> Judge:
        raise AssertionError("it was searched again")

    with pure():
        judge = explore(case, Limits())
        assert judge.verdict().kind == "left-out"
        assert smaller(judge, again, Limits()) is None


@pytest.mark.parametrize("what", DRIFTING)
def test_another_bug_of_smaller_sizes_is_not_taken(tmp_path: Path, what: str) -> None:
    """The smallest that shows the same is two, though one shows something sooner."""
    judge, look = looked(story(tmp_path, DRIFTING[what]))
    verdict = shown(judge, look)
    assert verdict.smallest is not None
    assert verdict.smallest["params"] == {"n": 2, "k": 1}
    assert verdict.smallest["proven"]
    assert (verdict.verdict, verdict.kind) == ("violated", judge.verdict().kind)
    assert (verdict.params["n"], verdict.params["k"]) == (3, 1)
    assert verdict.replay is not None
    assert parse(verdict.replay).params == {"n": 2}
    assert verdict.smallest["as_asked"]["replay"] == judge.verdict().replay


@pytest.mark.parametrize("what", DRIFTING)
def test_where_only_the_other_bug_is_left_what_was_asked_is_shown(
    tmp_path: Path, what: str
) -> None:
    """And that nothing smaller shows it is said."""
    judge, look = looked(story(tmp_path, DRIFTING[what]), n=2)
    verdict = shown(judge, look)
    assert verdict.smallest == {"params": {"n": 2, "k": 1}, "proven": True, "as_asked": None}
    assert verdict.replay == judge.verdict().replay


def test_nothing_is_smaller_than_the_smallest(tmp_path: Path) -> None:
    """Then there is nothing to look for; nor where nothing is wrong."""
    path = story(tmp_path, DRIFTING["deadlock, and alone another kind"])
    assert looked(path, n=1)[1] is None
    assert looked("contended_kernel_map", fix="populate", cpus=1, faults=2)[1] is None


def test_a_plain_default_is_no_size(tmp_path: Path) -> None:
    """A threshold that is lowered makes a bug of its own."""
    path = stories.write(tmp_path, stories.CHECKED)
    judge, look = looked(path, at_most=2)
    assert judge.verdict().kind == "invariant"
    assert look is None
    assert sizes(judge.case) == ()


def test_sizes_are_lowered_the_smallest_total_first(tmp_path: Path) -> None:
    """Every combination but the one asked for."""
    with pure():
        case = Case.of(story(tmp_path, "    m.cpu('A', both, one, two)\n"), {"n": 3, "k": 2})
    tried = [(own["n"], own["k"]) for own in combinations(case, sizes(case))]
    assert tried == [(1, 1), (1, 2), (2, 1), (2, 2), (3, 1)]


def test_the_kernel_is_shown_with_one_cpu_and_one_fault() -> None:
    """The lost wakeup of the thread, in fewer steps; it replays."""
    judge, look = looked("contended_kernel_map", fix="wait", lap="silent")
    verdict = shown(judge, look)
    assert verdict.smallest is not None
    assert verdict.smallest["params"] == {"cpus": 1, "faults": 1}
    assert verdict.message == judge.verdict().message, "the verdict is that of what was asked"
    assert verdict.evidence.states == judge.verdict().evidence.states
    assert verdict.replay is not None
    asked = parse(verdict.smallest["as_asked"]["replay"])
    assert len(parse(verdict.replay).schedule()[0]) < len(asked.schedule()[0])


def test_it_may_cost_as_much_as_the_search_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond that nothing is claimed."""
    monkeypatch.setattr("kmodel.smaller.STATES", 10)
    judge, look = looked(story(tmp_path, DRIFTING["check, and alone another check"]), n=5)
    assert look is not None
    assert (look.found, look.proven) == (None, False)
    assert shown(judge, look).replay == judge.verdict().replay


def test_a_cut_search_proves_nothing(tmp_path: Path) -> None:
    """It may have missed the bug: then what is found later need not be the smallest."""
    path = story(tmp_path, DRIFTING["deadlock, and alone another kind"])
    judge, _ = looked(path, n=3)
    tried = []

    def search(case: Case, limits: Limits) -> Judge:
        tried.append(case.own["n"])
        if case.own["n"] > 1:
            return explore(case, limits)
        search = Search(case.build(), limits)
        search.advance(1)
        search.interrupt("cut")
        return Judge(case, Judgement(search))

    with pure():
        look = smaller(judge, search, Limits())
    assert look is not None
    assert tried == [1, 2]
    assert (look.found is not None, look.proven) == (True, False)
