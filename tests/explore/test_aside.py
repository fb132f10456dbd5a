"""Judging in two processes: the same result, whatever becomes of the second."""

from __future__ import annotations

import os
import signal
import time
from functools import cache
from typing import Any

import pytest
import stories

from kmodel.explore import aside, judgement
from kmodel.explore.aside import Aside
from kmodel.explore.graph import Search
from kmodel.explore.judgement import STAGES, Judgement
from kmodel.explore.purity import pure
from kmodel.judge import NO_LIVELOCK, RESTART


@cache
def searched() -> Search:
    return stories.judged("contended_kernel_map", "wait", cpus=1).found.search


def judged(jobs: int, seconds: float | None = None) -> Judgement:
    found = Judgement(searched(), RESTART, NO_LIVELOCK)
    found.judge(seconds, jobs)
    return found


@pytest.fixture(autouse=True)
def _always_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judgement, "WORTH_IT", 0)


def test_two_processes_find_what_one_finds() -> None:
    one, two = judged(1), judged(2)
    assert {stage: getattr(one, stage) for stage in STAGES} == {
        stage: getattr(two, stage) for stage in STAGES
    }
    assert one.hanging, "there is something to find"
    assert two.complete


def test_if_the_second_dies_the_first_does_its_work(monkeypatch: pytest.MonkeyPatch) -> None:
    class Dying(Aside):
        def __init__(self, work: Any) -> None:
            super().__init__(lambda: os.kill(os.getpid(), signal.SIGKILL))

    monkeypatch.setattr(judgement, "Aside", Dying)
    assert judged(2).everything() == judged(1).everything()


def test_out_of_time_in_the_second_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(self: Judgement) -> None:
        time.sleep(60)

    searched()
    monkeypatch.setattr(Judgement, "hanging", property(slow))
    began = time.monotonic()
    with pure():
        found = judged(2, 0.5)
    monkeypatch.undo()
    assert time.monotonic() - began < 20
    assert found.cut == "out of time"
    assert found.unjudged == ["hanging", "repeating", "excluded"]
    assert found.hanging == []


def test_who_gives_up_leaves_no_child_behind() -> None:
    with Aside(lambda: time.sleep(60)) as child:
        pid = child._pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_an_error_in_the_child_is_no_result() -> None:
    with Aside(lambda: 1 // 0) as child:
        assert child.result() is None
    with aside.Aside(lambda: {"found": [1]}) as child:
        assert child.result() == {"found": [1]}
