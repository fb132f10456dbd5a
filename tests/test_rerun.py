"""A logged run again, beside its log."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from stories import CROSSED, LEAK

from kmodel.case import Case
from kmodel.explore.execution import Execution, Outcome, run
from kmodel.explore.schedule import TokenError
from kmodel.explore.snapshot import snapshot
from kmodel.explore.strategy import Random
from kmodel.log.reader import Reader
from kmodel.log.record import CHAIN_START, HEADER, Header, chained, encode
from kmodel.log.recorder import Recorder
from kmodel.rerun import Rerun


def logged(
    logs: Path, scenario: str, seed: int, fix: str = "wait"
) -> tuple[Path, Execution, Outcome]:
    case = Case.of(scenario, {}, fix)
    world = case.build()
    with Recorder.start(case.header(world, "random", seed, None), logs) as recorder:
        execution = Execution(world, recorder, checks=True)
        outcome = run(execution, Random(seed), 300)
        recorder.close(outcome)
    assert recorder.path is not None
    return recorder.path, execution, outcome


@pytest.mark.parametrize("fix", ["wait", "lock-retry", "populate"])
@pytest.mark.parametrize("seed", range(4))
def test_it_ends_in_the_same_state(tmp_path: Path, fix: str, seed: int) -> None:
    path, execution, _ = logged(tmp_path, "contended_kernel_map", seed, fix)
    with Reader.open(path) as log:
        rerun = Rerun(log)
        steps = [record.step for record in rerun]
        assert log.finished
    assert steps == list(range(len(execution.choices)))
    assert rerun.execution.choices == execution.choices
    assert snapshot(rerun.execution) == snapshot(execution)


@pytest.mark.parametrize(("story", "kinds"), [(CROSSED, {"deadlock", "done"}), (LEAK, {"leak"})])
def test_runs_that_break_are_followed_to_where_they_broke(
    tmp_path: Path, story: str, kinds: set[str]
) -> None:
    (tmp_path / "story.py").write_text(story)
    for seed in range(5):
        path, execution, outcome = logged(tmp_path, str(tmp_path / "story.py"), seed)
        with Reader.open(path) as log:
            assert len(list(Rerun(log))) == len(execution.choices)
        assert outcome.kind in kinds


def test_a_log_without_an_end_is_followed_as_far_as_it_goes(tmp_path: Path) -> None:
    path, _, _ = logged(tmp_path, "contended_kernel_map", 7)
    data = path.read_bytes()
    for length in range(len(data.split(b"\n", 1)[0]) + 1, len(data), 997):
        path.write_bytes(data[:length])
        with Reader.open(path) as log:
            steps = sum(1 for _ in Rerun(log))
            assert not log.finished
        last = data[:length].split(b"\n")[1:-1]
        assert steps == (len({line.split(b",")[0] for line in last}))


def forged(path: Path, old: bytes, new: bytes) -> None:
    """Another log, properly chained, in which something else is said to have happened."""
    header, *lines = path.read_bytes().splitlines()
    assert any(old in line for line in lines)
    written, before = [header + b"\n"], CHAIN_START
    for line in lines:
        body = line.replace(old, new).rpartition(b',"sum":')[0] + b"}"
        whole, before = chained(body, before)
        written.append(whole)
    path.write_bytes(b"".join(written))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b'"pool.get"', b'"pool.got"', "and the run has event pool.get"),
        (b'"va":"0x400000"', b'"va":"0x400008"', "and the run has va 0x400000"),
        (b'"step":60,', b'"step":61,', "no such step|the run has step 60"),
        (b'"run.end"', b'"mark"', "does not fit"),
    ],
)
def test_a_log_that_the_model_does_not_bear_out_is_refused(
    tmp_path: Path, old: bytes, new: bytes, words: str
) -> None:
    path, _, _ = logged(tmp_path, "contended_kernel_map", 7)
    forged(path, old, new)
    with Reader.open(path) as log, pytest.raises(TokenError, match=words):
        list(Rerun(log))


@pytest.mark.parametrize(
    ("key", "value"), [("scenario", 7), ("scenario", None), ("params", None), ("fix", 1)]
)
def test_a_header_that_says_too_little_is_refused(tmp_path: Path, key: str, value: object) -> None:
    row = json.loads(Header(scenario="contended_kernel_map", tasks=()).line())
    del row["sum"]
    (tmp_path / "log").write_bytes(chained(encode(row | {key: value}), HEADER.encode())[0])
    with Reader.open(tmp_path / "log") as log:
        assert log.header
        with pytest.raises(TokenError, match="does not say with which scenario"):
            Rerun(log)
