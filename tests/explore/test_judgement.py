"""Judging in stages: what was not judged is said, and nothing found is lost."""

from __future__ import annotations

import time

import pytest

from kmodel.explore.drive import drive
from kmodel.explore.graph import Limits, Search
from kmodel.explore.judgement import STAGES, Judgement
from kmodel.sync.mutex import Mutex
from kmodel.world import World


async def go(first: Mutex, second: Mutex) -> None:
    await first.enter()
    await second.enter()
    await second.leave()
    await first.leave()


def embraced() -> Judgement:
    with World() as world:
        one, two = Mutex("one"), Mutex("two")
    world.task("A", go, one, two)
    world.task("B", go, two, one)
    world.check("never both", lambda: "both" if one.owner and two.owner else None, judged=False)
    search = Search(world, Limits())
    drive(search)
    return Judgement(search)


def test_judging_everything_leaves_nothing_unjudged() -> None:
    found = embraced()
    found.judge(None)
    assert (found.unjudged, found.cut, found.bound) == ([], None, "none")
    assert found.complete
    kinds = [one.kind for one in found.everything()]
    assert kinds == ["deadlock", "lock-order", "invariant"], "what decides the verdict comes first"


@pytest.mark.parametrize("stage", list(STAGES))
def test_out_of_time_in_any_stage_keeps_the_stages_before(
    stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, cut = embraced(), embraced()
    whole.judge(None)

    def slow(self: Judgement) -> None:
        time.sleep(30)

    monkeypatch.setattr(Judgement, stage, property(slow))
    began = time.monotonic()
    cut.judge(0.3)
    monkeypatch.undo()
    names = list(STAGES)
    at = names.index(stage)
    assert time.monotonic() - began < 10
    assert cut.unjudged == names[at:]
    assert not cut.complete
    assert cut.bound == "judging: out of time"
    for name in names:
        assert getattr(cut, name) == (getattr(whole, name) if name in names[:at] else [])


def test_a_cut_judgement_is_no_proof() -> None:
    found = embraced()
    found.__dict__.update({stage: [] for stage in STAGES})
    found.judge(None)
    found.cut, found.unjudged = "out of time", ["racing"]
    verdict, kind, message = found.conclude([], "holds")
    assert (verdict, kind) == ("inconclusive", None)
    assert "out of time; not judged: data races" in message


def test_an_interrupt_while_judging_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: Judgement) -> None:
        raise KeyboardInterrupt

    found = embraced()
    monkeypatch.setattr(Judgement, "racing", property(interrupted))
    found.judge(None)
    assert found.cut == "interrupted"
    assert [one.kind for one in found.hanging] == ["deadlock"]
