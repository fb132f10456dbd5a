"""Random runs: the same seed, the same run; and what they add up to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
import stories

from kmodel.case import Case
from kmodel.cli.run import report
from kmodel.explore.graph import Limits
from kmodel.explore.judgement import Judgement
from kmodel.explore.purity import pure
from kmodel.explore.recipe import NAMES, Recipe, recipe
from kmodel.explore.schedule import parse
from kmodel.explore.tree import Divergence
from kmodel.joint import explore
from kmodel.sampling import KEPT_FAILURES, Run, Sampler, assert_same, sample
from kmodel.verdict import Verdict

MAP = "contended_kernel_map"


def sampled(
    logs: Path,
    name: str = MAP,
    fix: str = "wait",
    runs: int = 1,
    seed: int = 0,
    max_steps: int = 5000,
    drawn: Recipe | None = None,
    **params: Any,
) -> Sampler:
    with pure():
        sampler = Sampler(Case.of(name, params, fix), seed, logs, max_steps, drawn)
        sampler.take(runs, lambda run: None)
    return sampler


def test_runs_are_numbered_by_their_seeds(tmp_path: Path) -> None:
    """Run N has seed SEED + N, and is the run that this seed gives alone."""
    runs = sampled(tmp_path, runs=5, seed=10).runs
    assert [run.seed for run in runs] == [10, 11, 12, 13, 14]
    (alone,) = sampled(tmp_path, seed=13).runs
    assert (alone.digest, alone.schedule) == (runs[3].digest, runs[3].schedule)
    assert len({run.schedule for run in runs}) == 5


def test_only_the_first_run_is_written_if_none_breaks(tmp_path: Path) -> None:
    """Its log is where the run says, with its digest at the end."""
    sampler = sampled(tmp_path, fix="populate", runs=5)
    assert [run.log is not None for run in sampler.runs] == [True, False, False, False, False]
    log = sampler.runs[0].log
    assert log is not None
    assert log.parent.parent == tmp_path
    assert sampler.runs[0].digest in log.read_text().splitlines()[-1]
    assert len(list(tmp_path.iterdir())) == 1


def test_broken_runs_are_written_up_to_a_number(tmp_path: Path) -> None:
    """The first ones suffice."""
    path = stories.write(tmp_path, stories.LEAK)
    logs = tmp_path / "logs"
    sampler = sampled(logs, path, runs=KEPT_FAILURES + 5)
    assert len(sampler.broken) == KEPT_FAILURES + 5
    assert len(list(logs.iterdir())) == KEPT_FAILURES
    assert {run.outcome.kind for run in sampler.broken} == {"leak"}


def verdict_of(folder: Path, text: str, runs: int = 20) -> Verdict:
    return sampled(folder / "logs", stories.write(folder, text), runs=runs).verdict()


def test_a_sample_that_found_nothing_is_inconclusive(tmp_path: Path) -> None:
    """It says so, and that it is a sample."""
    verdict = sampled(tmp_path, fix="populate", runs=30).verdict()
    assert (verdict.verdict, verdict.kind, verdict.replay) == ("inconclusive", None, None)
    assert (verdict.evidence.bound, verdict.evidence.complete) == ("samples", False)
    assert verdict.evidence.executions == 30
    assert verdict.strategy == "random"
    assert "proves nothing" in verdict.message
    assert verdict.reached == {"a NOWAIT get was refused by the map lock": True}


def test_the_sums_are_of_all_runs(tmp_path: Path) -> None:
    """Refaults, failures by cause, laps, and how the runs ended."""
    sampler = sampled(tmp_path, runs=20)
    counts = sampler.counts()
    assert counts["runs"] == 20
    assert sum(counts["ended"].values()) == 20
    assert counts["refaults"] == sum(run.counts["refaults"] for run in sampler.runs) > 0
    assert counts["pool_failures"] == {"vp: map lock refused": counts["refaults"]}
    assert counts["kills"] == 0


def test_a_broken_run_is_a_violation_with_its_replay(tmp_path: Path) -> None:
    """The first broken run is the one that is shown."""
    verdict = verdict_of(tmp_path, stories.LEAK)
    assert (verdict.verdict, verdict.kind, verdict.property) == ("violated", "leak", "no leak")
    assert verdict.replay is not None
    assert verdict.log is not None
    assert Path(verdict.log).is_file()


def test_a_deadlock_met_by_chance_is_a_violation(tmp_path: Path) -> None:
    """Nobody can step, and the message says who waits where."""
    verdict = verdict_of(tmp_path, stories.CROSSED)
    assert (verdict.verdict, verdict.kind, verdict.property) == ("violated", "deadlock", "ends")
    assert "A0 at mutex.enter two" in verdict.message
    assert "B0 at mutex.enter one" in verdict.message


def test_an_error_of_the_scenario_is_no_violation(tmp_path: Path) -> None:
    """It says nothing about the kernel."""
    verdict = verdict_of(tmp_path, stories.step("{}['key']"))
    assert (verdict.verdict, verdict.kind) == ("inconclusive", "scenario-error")


def test_a_run_given_up_is_said_to_be(tmp_path: Path) -> None:
    """With the seed, who was where, and the bound."""
    sampler = sampled(tmp_path, runs=3, max_steps=10)
    verdict = sampler.verdict()
    assert (verdict.verdict, verdict.evidence.bound) == ("inconclusive", "10 steps")
    assert "3 of 3 runs were not over after 10 steps (seed 0: " in verdict.message
    assert {run.outcome.kind for run in sampler.runs} == {"limit"}


def test_findings_do_not_break_a_run(tmp_path: Path) -> None:
    """resident_count drifts; that is told beside the verdict."""
    verdict = sampled(tmp_path, runs=30).verdict()
    assert [finding.property for finding in verdict.findings] == ["resident_count of p0"]
    assert verdict.verdict == "inconclusive"


def test_chance_in_a_task_is_a_divergence(tmp_path: Path) -> None:
    """The first run is taken twice, and the two must be alike."""
    path = stories.write(tmp_path, stories.CHANCE)
    with pytest.raises(Divergence, match="not deterministic: seed 0 gave two different runs"):
        sampled(tmp_path / "logs", path)


def test_two_runs_that_differ_say_where_they_part(tmp_path: Path) -> None:
    """The first step at which the schedules differ."""
    (run,) = sampled(tmp_path).runs
    schedule = run.schedule
    other = attrs.evolve(run, digest="other", schedule=schedule[:5] + b"\x09" + schedule[6:])
    assert_same(run, run)
    with pytest.raises(Divergence, match="part at step 5"):
        assert_same(run, other)


def test_ticks_come_with_each_run(tmp_path: Path) -> None:
    """For a progress bar."""
    seen: list[Run] = []
    tick: Callable[[Run], None] = seen.append
    with pure():
        sampler = Sampler(Case.of(MAP, {}, "populate"), 0, tmp_path)
        sampler.take(4, tick)
    assert seen == sampler.runs


def searched(case: Case) -> Judgement:
    return explore(case, Limits()).found


def test_the_matrix_samples_in_the_graph() -> None:
    """The same seeds give the same means, as often as asked."""
    with pure():
        found = searched(Case.of(MAP, {"cpus": 1}, "populate"))
        one, two = sample(found, 0, 20), sample(found, 0, 20)
    assert one == two
    assert (one["runs"], one["seed"], one["ended"]) == (20, 0, {"done": 20})
    assert 0 < one["mean_refaults"] <= 1


def test_both_ways_of_sampling_take_the_same_runs(tmp_path: Path) -> None:
    """Trio tasks, and walks through the graph: the same seeds, the same sums."""
    sampler = sampled(tmp_path, fix="populate", runs=20)
    with pure():
        means = sample(searched(sampler.case), 0, 20)
    assert means["mean_refaults"] == round(sampler.counts()["refaults"] / 20, 2)
    steps = sum(run.outcome.steps for run in sampler.runs)
    assert means["mean_steps"] == round(steps / 20, 1)


def test_a_run_that_cannot_end_costs_no_more_than_to_there() -> None:
    """It is not watched for ever, and not called an end."""
    with pure():
        case = Case.of(MAP, {"cpus": 1, "lap": "silent"}, "wait")
        means = sample(searched(case), 0, 20)
    assert set(means["ended"]) == {"done", "hangs"}
    assert means["mean_steps"] < 200


@pytest.mark.parametrize("name", NAMES)
def test_every_strategy_samples(tmp_path: Path, name: str) -> None:
    """The same sample twice; its verdict says how it was drawn and how much was new."""
    one, two = (
        sampled(tmp_path, fix="populate", runs=8, max_steps=1500, drawn=recipe(name))
        for _ in range(2)
    )
    assert [run.digest for run in one.runs] == [run.digest for run in two.runs]
    verdict = one.verdict()
    assert (verdict.strategy, verdict.verdict) == (name, "inconclusive")
    assert verdict.evidence.complete is False
    assert verdict.evidence.traces == len({run.trace for run in one.runs})
    assert 0 <= verdict.counts["next_new"] <= 1


def test_runs_of_one_trace_have_one_number(tmp_path: Path) -> None:
    """Equal schedules for certain; and a sample of one schedule is never new again."""
    twice = recipe("random")
    same = Recipe("random", lambda seed: twice.strategy(seed % 2))
    sampler = sampled(tmp_path, fix="populate", runs=6, drawn=same)
    assert [run.trace for run in sampler.runs] == [0, 1] * 3
    assert sampler.counts()["next_new"] == 0
    alone = sampled(tmp_path, fix="populate", runs=5)
    traces, schedules = ({getattr(r, f) for r in alone.runs} for f in ("trace", "schedule"))
    assert len(traces) <= len(schedules)


def test_a_run_of_pct_comes_again_with_its_length(tmp_path: Path) -> None:
    """Run N of a sample, alone: the seed and k give it."""
    many = sampled(tmp_path, fix="populate", runs=6, drawn=recipe("pct", 2, 150)).runs
    (alone,) = sampled(tmp_path, fix="populate", seed=4, drawn=recipe("pct", 2, 150)).runs
    assert alone.schedule == many[4].schedule


def test_pct_reports_what_its_promise_is_about(tmp_path: Path) -> None:
    """n, k and the depths, in the counts and in the sum; k is learned from the runs."""
    sampler = sampled(tmp_path, fix="populate", runs=12, drawn=recipe("pct"))
    pct = sampler.counts()["pct"]
    assert pct["tasks"] == len(sampler.case.build().tasks)
    assert 0 < pct["length"] <= max(run.outcome.steps for run in sampler.runs)
    assert pct["learned"]
    assert sum(pct["depths"].values()) == 12
    text = "\n".join(report(sampler.verdict(), sampler.runs))
    assert f"k {pct['length']} contended steps (longest run so far)" in text
    assert "1/(n k^(d-1))" in text


def test_the_sum_says_how_much_was_new_of_more_than_one_run(tmp_path: Path) -> None:
    """Of one run there is nothing to say. Never more than a screen."""
    many, one = (sampled(tmp_path, fix="populate", runs=runs) for runs in (30, 1))
    lines = report(many.verdict(), many.runs)
    assert len(lines) <= 40
    assert any("distinct traces" in line and "estimated chance" in line for line in lines)
    assert not any("traces" in line for line in report(one.verdict(), one.runs))


def test_a_broken_run_is_shown_shrunk(tmp_path: Path) -> None:
    """The token is the shrunk run; log and digest stay those of the run that was taken."""
    sampler = sampled(tmp_path / "logs", stories.write(tmp_path, stories.CROSSED), copies=3, runs=9)
    verdict = sampler.verdict()
    assert verdict.replay is not None
    token, taken = parse(verdict.replay), sampler.broken[0]
    assert verdict.shrunk is not None
    assert len(token.schedule()[0]) <= len(taken.schedule)
    assert verdict.shrunk["preemptions"] == 1 < verdict.shrunk["from"]["preemptions"]
    assert (verdict.shrunk["minimal"], verdict.shrunk["fewest_preemptions"]) == (True, True)
    assert verdict.digest == taken.digest != token.digest
    text = "\n".join(report(verdict, sampler.runs))
    assert "shown with 11 steps, 1 preemption, 6 tasks; shrunk from 11 steps, 5 pre" in text


def test_what_was_seen_beside_is_shrunk_too(tmp_path: Path) -> None:
    """One fault and the churner suffice for the drifting count."""
    (finding,) = sampled(tmp_path, runs=30).verdict().findings
    assert finding.shrunk is not None
    assert (finding.shrunk["tasks"], finding.shrunk["preemptions"]) == (2, 1)
    assert finding.replay is not None
    assert finding.stem == len(parse(finding.replay).schedule()[0])


def test_who_has_had_enough_gets_the_run_as_it_was(tmp_path: Path) -> None:
    """After a Ctrl-C nothing is shrunk."""
    sampler = sampled(tmp_path / "logs", stories.write(tmp_path, stories.CROSSED), runs=9)
    sampler.interrupted = True
    verdict = sampler.verdict()
    assert verdict.shrunk is None
    assert verdict.replay is not None
    assert len(parse(verdict.replay).schedule()[0]) == len(sampler.broken[0].schedule)
