"""From a scenario to a verdict: what is found, how sure it is, and that it can be replayed."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import attrs
import pytest
import stories
import trio

from kmodel import joint, situations
from kmodel.case import Case
from kmodel.explore.graph import Limits
from kmodel.explore.host import TrioHost
from kmodel.explore.schedule import Block, Token, bare
from kmodel.explore.severity import SEVERITY
from kmodel.explore.tree import Divergence
from kmodel.judge import Judge
from kmodel.param import KernelParams
from kmodel.properties import ENDS, NO_LIVELOCK
from kmodel.settings import UsageError
from kmodel.shown import Shown, make_token, show
from kmodel.verdict import EXIT, SCHEMA, Verdict

MAP = "contended_kernel_map"
FIXES = ("wait", "lock-retry", "populate")

KEYS = {
    *("schema", "scenario", "params", "fix", "situation", "strategy", "seed", "verdict", "kind"),
    *("property", "message", "culprits", "evidence", "counts", "reached", "replay", "log"),
    *("findings", "digest"),
}
"""What the contract promises of a verdict document."""
ADDED = {"excluded", "survives", "can_end", "shrunk", "smallest"}
EVIDENCE = {
    "complete",
    "bound",
    "executions",
    "states",
    "traces",
    "steps",
    "assumptions",
    "seconds",
}


@cache
def on_one_cpu(fix: str) -> Judge:
    """The thread's scenario with one CPU that faults."""
    return stories.judged(MAP, fix, cpus=1)


@pytest.fixture(params=FIXES)
def fix(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def kinds(verdict: Verdict) -> list[tuple[str, str]]:
    return [(finding.kind, finding.property) for finding in verdict.findings]


# the thread's question with one CPU


def test_wait_loses_a_wakeup_and_livelocks() -> None:
    """The worse of the two is the verdict, the other a finding."""
    verdict = on_one_cpu("wait").verdict()
    assert (verdict.verdict, verdict.kind, verdict.property) == ("violated", "lost-wakeup", ENDS)
    assert verdict.culprits == ("A", "&uvmexp.free")
    assert ("livelock", NO_LIVELOCK) in kinds(verdict)
    assert verdict.survives == "strong fairness and lock-grant"
    assert verdict.can_end == ()


def test_lock_retry_livelocks_whatever_is_assumed() -> None:
    """A way out of the loop exists at every turn, and no fairness makes it be taken."""
    verdict = on_one_cpu("lock-retry").verdict()
    assert (verdict.verdict, verdict.kind) == ("violated", "livelock")
    assert verdict.property == NO_LIVELOCK
    assert verdict.survives == "strong fairness and lock-grant"
    assert verdict.can_end == ("A",)
    assert verdict.counts["refaults"] is None


def test_populate_holds() -> None:
    """It restarts once at most, and all of the search was done."""
    verdict = on_one_cpu("populate").verdict()
    assert (verdict.verdict, verdict.kind, verdict.replay) == ("holds", None, None)
    assert verdict.digest is None
    assert verdict.evidence.complete
    assert verdict.counts["refaults"] == 1
    assert verdict.counts["kills"] == 0


def test_a_cell_judges_its_properties_alone() -> None:
    """Each property of the matrix has a verdict of its own."""
    found = {
        fix: [on_one_cpu(fix).cell((name,)).kind for name in (NO_LIVELOCK, ENDS)] for fix in FIXES
    }
    assert found == {
        "wait": ["livelock", "lost-wakeup"],
        "lock-retry": ["livelock", "livelock"],
        "populate": [None, None],
    }


def test_a_count_that_drifts_is_a_finding_and_no_verdict(fix: str) -> None:
    """resident_count is wrong under every fix; that is told, and decides nothing."""
    verdict = on_one_cpu(fix).verdict()
    assert ("invariant", "resident_count of p0") in kinds(verdict)
    assert verdict.kind != "invariant"
    assert (verdict.verdict == "holds") == (fix == "populate")


def test_what_only_lock_grant_excludes_is_listed() -> None:
    """A thread asleep on the map's lock may starve; whoever does not believe in lock-grant
    has to know."""
    for fix in ("lock-retry", "populate"):
        (starved,) = on_one_cpu(fix).verdict().excluded
        assert (starved.kind, starved.property) == ("starvation", ENDS)
        assert starved.survives == "strong fairness"
        assert starved.culprits == ("A", "kernel_map")


def test_evidence_says_how_far_the_search_came(fix: str) -> None:
    """All of it was searched, and under which assumptions."""
    judge = on_one_cpu(fix)
    evidence = judge.verdict().evidence
    assert (evidence.complete, evidence.bound, evidence.traces) == (True, "none", None)
    assert evidence.states == len(judge.graph) > 100
    assert evidence.steps == judge.graph.transitions > evidence.states
    assert evidence.seconds >= 0
    assert "sequential consistency" in evidence.assumptions
    assert "lock policy wake-all" in evidence.assumptions
    assert "liveness under weak fairness and lock-grant" in evidence.assumptions


def test_every_run_that_is_reported_was_run_again(fix: str) -> None:
    """``executions`` counts those replays."""
    verdict = on_one_cpu(fix).verdict()
    shown = {verdict.replay, *(f.replay for f in (*verdict.findings, *verdict.excluded))} - {None}
    assert verdict.evidence.executions >= len(shown)
    assert None not in {f.digest for f in (*verdict.findings, *verdict.excluded)}


def test_a_place_that_must_be_reached_was(fix: str) -> None:
    """The scenario's window opens."""
    assert on_one_cpu(fix).verdict().reached == {"a NOWAIT get was refused by the map lock": True}


def test_the_document_is_the_one_promised(fix: str) -> None:
    """Exactly the keys of the contract, the schema first, and plain data."""
    document = on_one_cpu(fix).verdict().document()
    assert set(document) == KEYS | ADDED
    assert next(iter(document)) == "schema"
    assert document["schema"] == SCHEMA == "kmodel.verdict/1"
    assert set(document["evidence"]) == EVIDENCE
    assert set(document["counts"]) >= {"refaults", "pool_failures", "daemon_laps", "kills"}
    assert document["params"] == {"cpus": 1, "faults": 1} | attrs.asdict(KernelParams())
    assert json.loads(json.dumps(document))["verdict"] == document["verdict"]


def test_verdicts_map_to_exit_statuses() -> None:
    """As scripts rely on."""
    assert EXIT == {"holds": 0, "violated": 1, "inconclusive": 4}


def test_the_same_search_gives_the_same_document() -> None:
    """But for the seconds."""

    def document() -> dict[str, Any]:
        found = stories.judged(MAP, "wait", cpus=1).verdict().document()
        found["evidence"].pop("seconds")
        return found

    assert document() == document()


def test_breadth_first_finds_the_same() -> None:
    """The order of the search changes no verdict, no count and no number of states."""
    case = Case.of(MAP, {"cpus": 1}, "wait")
    verdict = joint.explore(case, Limits(), "bfs").verdict()
    other = on_one_cpu("wait").verdict()
    assert (verdict.kind, verdict.counts) == (other.kind, other.counts)
    assert verdict.evidence.states == other.evidence.states


# replays


def tokens(judge: Judge) -> list[Token]:
    """What the verdict says can be replayed, before it becomes a word."""
    found = []
    for hang in (*judge.found.hanging, *judge.found.repeating):
        assert hang.stem is not None
        finding = judge.finding(hang)
        token = make_token(judge.case, finding, hang.stem, hang.loop)
        found.append(attrs.evolve(token, digest=finding.digest or ""))
    return found


def test_replays_end_with_the_same_digest_on_both_hosts(fix: str) -> None:
    """On the inner loop and on Trio tasks: byte for byte the same events."""
    judge = on_one_cpu(fix)
    for token in tokens(judge):
        assert show(judge.case, token) == token.digest
        shown = Shown(judge.case, token)
        outcome = trio.run(TrioHost(shown.execution, shown.strategy, shown.max_steps).run)
        assert shown.close(outcome) == token.digest
    assert bool(tokens(judge)) == (fix != "populate")


def test_a_schedule_that_is_not_possible_is_a_divergence() -> None:
    """Where a recorded choice cannot be made the run is another one."""
    judge = on_one_cpu("wait")
    token = attrs.evolve(tokens(judge)[0], blocks=(Block(9),))
    with pytest.raises(Divergence, match="step 0"):
        show(judge.case, token)


def test_a_loop_that_does_not_come_back_is_a_divergence() -> None:
    """A lasso is checked where it closes."""
    judge = on_one_cpu("lock-retry")
    token = tokens(judge)[0]
    stem, loop = token.schedule()
    cut = attrs.evolve(token, blocks=bare(stem + loop[:1]), loop=bare(loop[1:]))
    with pytest.raises(Divergence, match="did not come back"):
        show(judge.case, cut)


# the headline


@pytest.mark.parametrize("fix", FIXES)
def test_the_threads_main_question_with_two_cpus(fix: str) -> None:
    """wait hangs and livelocks, lock-retry livelocks, populate holds: the decision matrix."""
    judge = stories.judged(MAP, fix, "contention")
    properties = situations.load("contention").properties
    verdict = judge.cell(properties)
    per = {name: judge.cell((name,)) for name in properties}
    assert properties == (NO_LIVELOCK, ENDS)
    assert verdict.evidence.complete
    assert verdict.situation == "contention"
    if fix == "wait":
        assert (per[ENDS].verdict, per[ENDS].kind) == ("violated", "lost-wakeup")
        assert (per[NO_LIVELOCK].verdict, per[NO_LIVELOCK].kind) == ("violated", "livelock")
        assert per[NO_LIVELOCK].survives == "strong fairness and lock-grant"
    elif fix == "lock-retry":
        for of in per.values():
            assert (of.verdict, of.kind) == ("violated", "livelock")
            assert of.survives == "strong fairness and lock-grant"
        assert verdict.counts["refaults"] is None
    else:
        assert [of.verdict for of in per.values()] == ["holds", "holds"]
        assert verdict.counts["refaults"] == 1
        assert [(f.kind, f.survives) for f in verdict.excluded] == [
            ("starvation", "strong fairness")
        ]


# scenarios of one's own


def verdict_of(folder: Path, text: str, limits: Limits | None = None, **params: Any) -> Verdict:
    return stories.judged(stories.write(folder, text), limits=limits, **params).verdict()


def test_a_quiet_scenario_holds(tmp_path: Path) -> None:
    """Nothing to be reached, nothing in the way."""
    verdict = verdict_of(tmp_path, stories.QUIET)
    assert (verdict.verdict, verdict.reached, verdict.findings) == ("holds", {}, ())


def test_a_window_that_never_opens_is_vacuous(tmp_path: Path) -> None:
    """No pass: the scenario does not show what it is about."""
    verdict = verdict_of(tmp_path, stories.VACUOUS)
    assert (verdict.verdict, verdict.kind) == ("inconclusive", "vacuous")
    assert verdict.reached == {"pigs were seen in the air": False}
    assert "'pigs were seen in the air'" in verdict.message
    assert EXIT[verdict.verdict] == 4


def test_a_leak_is_found(tmp_path: Path) -> None:
    """An item that is out of its pool and in nobody's hands when all is done."""
    verdict = verdict_of(tmp_path, stories.LEAK)
    assert (verdict.verdict, verdict.kind, verdict.property) == ("violated", "leak", "no leak")
    assert verdict.message.startswith("vp pool: ")
    assert verdict.replay is not None


def test_a_deadlock_is_found(tmp_path: Path) -> None:
    """Two locks taken crosswise; in one order all is well."""
    verdict = verdict_of(tmp_path, stories.CROSSED)
    assert (verdict.verdict, verdict.kind, verdict.property) == ("violated", "deadlock", ENDS)
    assert verdict.culprits == ("A0", "B0", "one", "two")
    assert verdict_of(tmp_path, stories.CROSSED, swap=False).verdict == "holds"


def test_a_data_race_is_found(tmp_path: Path) -> None:
    """The field and both tasks are the culprits."""
    verdict = verdict_of(tmp_path, stories.RACE)
    assert (verdict.verdict, verdict.kind) == ("violated", "data-race")
    assert verdict.property == "no data race"
    assert verdict.culprits[0] == "counter0.value"
    assert set(verdict.culprits[1:]) == {"A", "B"}


def test_a_check_of_ones_own_is_judged(tmp_path: Path) -> None:
    """``always`` in each state, ``finally_`` at the end; both with their own words."""
    assert verdict_of(tmp_path, stories.CHECKED).verdict == "holds"
    always = verdict_of(tmp_path, stories.CHECKED, at_most=2)
    assert (always.kind, always.property) == ("invariant", "few")
    assert always.message == "3 is too many"
    at_end = verdict_of(tmp_path, stories.CHECKED, at_end=4)
    assert (at_end.kind, at_end.property) == ("invariant", "all")
    assert at_end.message == "ends with 3"


def test_a_failed_assertion_in_a_task_is_a_panic(tmp_path: Path) -> None:
    """KASSERT: a violation, with the line."""
    verdict = verdict_of(tmp_path, stories.step("assert 1 == 2, 'arithmetic'"))
    assert (verdict.verdict, verdict.kind, verdict.property) == ("violated", "panic", "no panic")
    assert re.search(r"in step \(story.py, line 8\): arithmetic", verdict.message)


def test_an_exception_in_a_task_is_an_error_of_the_scenario(tmp_path: Path) -> None:
    """No verdict about the kernel, but a schedule that shows it."""
    verdict = verdict_of(tmp_path, stories.step("{}['key']"))
    assert (verdict.verdict, verdict.kind) == ("inconclusive", "scenario-error")
    assert "task A raised KeyError: 'key' (story.py, line 8)" in verdict.message
    assert verdict.replay is not None


def test_a_limit_makes_a_search_that_found_nothing_inconclusive() -> None:
    """It ended early, and says where."""
    judge = stories.judged(MAP, "populate", limits=Limits(states=100))
    verdict = judge.verdict()
    assert (verdict.verdict, verdict.kind) == ("inconclusive", None)
    assert (verdict.evidence.complete, verdict.evidence.bound) == (False, "100 states")
    assert "100 states" in verdict.message
    assert EXIT[verdict.verdict] == 4


def test_a_limit_does_not_undo_what_was_found(tmp_path: Path) -> None:
    """What a search has found before it is stopped is a violation."""
    text = stories.CROSSED.replace("\n    for copy", '\n    m.cpu("S", slow)\n    for copy')
    text = text.replace(
        "async def both", "async def slow():\n    await pause()\n\n\nasync def both"
    )
    text = text.replace("import Machine,", "import Machine, pause,")
    case = stories.write(tmp_path, text)
    whole = stories.judged(case, copies=2)
    for states in range(100, len(whole.graph), 100):
        verdict = stories.judged(case, copies=2, limits=Limits(states=states)).verdict()
        assert verdict.verdict in ("violated", "inconclusive")
        if verdict.verdict == "violated":
            assert verdict.kind == "deadlock"


def test_a_livelock_found_before_the_end_is_the_real_one() -> None:
    """However much of the graph there is: inconclusive, or a loop that the whole has too."""
    found = set()
    for states in (100, 2_000, 4_000, 6_000):
        verdict = stories.judged(MAP, "lock-retry", limits=Limits(states=states)).verdict()
        found.add((verdict.verdict, verdict.kind))
        assert not verdict.evidence.complete
    assert found <= {("inconclusive", None), ("violated", "livelock")}
    assert ("violated", "livelock") in found


def test_real_chance_in_a_task_is_a_divergence(tmp_path: Path) -> None:
    """What is not a function of the schedule is found out and said."""
    with pytest.raises(Divergence):
        verdict_of(tmp_path, stories.CHANCE)


# cases


def test_a_case_knows_what_a_token_must_carry() -> None:
    """Only what differs from the defaults."""
    case = Case.of(MAP, {"cpus": 2, "faults": 2, "lap": "silent"}, "populate")
    assert case.differing() == {"faults": 2, "lap": "silent"}
    again = Case.of(MAP, case.differing(), case.fix)
    assert again.params == case.params


def test_a_situation_sets_parameters_and_may_be_overruled() -> None:
    """What the user gives wins."""
    case = Case.of(MAP, {"npages": 32}, "wait", "contention")
    assert (case.kernel.npages, case.kernel.swap_pages) == (32, 100)


def test_of_a_situations_variants_the_first_is_taken_unless_another_is_set() -> None:
    """Alone its parameters need not make the situation: with nobody who has tables, addresses
    do not run out."""
    assert Case.of("fresh_tables", {}, "wait", "kva").own["other"] == "stays"
    assert Case.of("fresh_tables", {"other": "exits"}, "wait", "kva").own["other"] == "exits"
    for name in situations.names():
        place = situations.load(name)
        if place.cannot("wait") is None:
            case = Case.of(place.scenario, {}, "wait", name)
            assert case.params | place.combinations()[0] == case.params


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("contended_kernel_mop", {}), "Did you mean 'contended_kernel_map'?"),
        ((MAP, {}, "wiat"), "No fix 'wiat'. Did you mean 'wait'?"),
        ((MAP, {}, "wait", "contentoin"), "Did you mean 'contention'"),
    ],
)
def test_what_is_not_there_is_a_usage_error(arguments: tuple[Any, ...], words: str) -> None:
    """With a hint at what may have been meant."""
    with pytest.raises(UsageError, match=re.escape(words)):
        Case.of(*arguments)


def test_kinds_are_sorted_from_the_worst(tmp_path: Path) -> None:
    """A verdict's own kind is never milder than that of a finding that is judged too."""
    assert len(set(SEVERITY)) == len(SEVERITY)
    worst = verdict_of(tmp_path, stories.CHECKED, at_most=2, at_end=4)
    assert worst.kind == "invariant"
    ranks = [finding.rank() for finding in worst.findings]
    assert ranks == sorted(ranks)
