"""What a search of orbits says: safety as a search of every state would, never more."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import stories
from enumeration import searched
from likes import PRETENCES, bounded_buffer, lockers, owners, philosophers, pretender
from programs import build, like_program

from kmodel.case import Case
from kmodel.cli import run_command_line
from kmodel.explore.execution import Execution, run
from kmodel.explore.found import Found
from kmodel.explore.graph import Limits, Search
from kmodel.explore.judgement import Judgement
from kmodel.explore.purity import pure
from kmodel.explore.strategy import Replay
from kmodel.explore.symmetry import SAFETY, OfEveryState, UpToSymmetry, up_to_symmetry
from kmodel.explore.within import OfSafety
from kmodel.joint import explore_orbits
from kmodel.world import World

Make = Callable[[], World]


class EveryState(OfSafety):
    """The same questions about every state."""


def found(judgement: Judgement) -> list[Found]:
    judgement.judge(None)
    return judgement.everything()


def every_state(make: Make) -> list[Found]:
    search = Search(make(), Limits())
    while search.advance(1000):
        pass
    return found(EveryState(search))


def outcome(make: Make, one: Found) -> tuple[str, str]:
    """How the run that shows ``one`` ends on plain objects."""
    assert one.stem is not None
    execution = Execution(make(), checks=True)
    ended = run(execution, Replay(one.stem, -1, lambda: None), len(one.stem) + 1)
    return ended.kind, ended.message


def test_it_finds_the_same_kinds_and_as_easily(fuzz_seed: int, fuzz_scale: int) -> None:
    """Whatever breaks in a random program: of the same kind and property, shown by a run with
    as few preemptions and steps that does break so. Messages are those of the other search,
    but one stands for all that differ in names."""
    deadlocks = panics = 0
    first = fuzz_seed + 850_000
    for seed in range(first, first + 300 * fuzz_scale):

        def make(tried=like_program(seed)) -> World:  # type: ignore[no-untyped-def]
            return build(tried)

        if len(searched(make(), limits=Limits(states=1500), batch=100)) >= 1500:
            continue
        judgement = up_to_symmetry(make, Limits())
        assert isinstance(judgement, UpToSymmetry), seed
        here, whole = found(judgement), every_state(make)
        kinds = {(one.kind, one.property) for one in whole}
        assert {(one.kind, one.property) for one in here} == kinds, seed
        turns = judgement.search.like.turns
        told = {turn.text(one.message) for one in here for turn in turns}
        assert {one.message for one in whole if one.property == "no panic"} <= told, seed
        for kind in kinds:
            easiest = [
                min((o.preemptions, len(o.stem)) for o in some if (o.kind, o.property) == kind)
                for some in (here, whole)
            ]
            assert easiest[0] == easiest[1], (seed, kind)
        for one in here:
            ended = outcome(make, one)
            if one.property == "no panic":
                panics += 1
                assert ended == (one.kind, one.message), seed
            else:
                deadlocks += 1
                assert ended[0] == "deadlock", seed
    assert deadlocks > 5
    assert panics > 5


@pytest.mark.parametrize(
    "make",
    [
        lambda: bounded_buffer(2, 2, one_channel=True),
        lambda: bounded_buffer(3, 1),
        lambda: philosophers(3),
        lambda: philosophers(4),
    ],
)
def test_deadlocks_are_those_of_the_whole_search(make: Make) -> None:
    judgement = up_to_symmetry(make, Limits())
    here, whole = found(judgement), every_state(make)
    assert here
    assert [(one.kind, one.preemptions, len(one.stem)) for one in here] == [
        (one.kind, one.preemptions, len(one.stem)) for one in whole
    ]
    assert all(outcome(make, one)[0] == "deadlock" for one in here)
    assert judgement.conclude(here, "")[0] == "violated"


@pytest.mark.parametrize("tell", [1, 2, 3])
def test_a_broken_check_is_shown_as_easily(tell: int) -> None:
    """Whether or not it tells like tasks apart."""

    def make() -> World:
        return owners(tell)

    here, whole = found(up_to_symmetry(make, Limits())), every_state(make)
    for one in here:
        assert outcome(make, one)[0] == "invariant"
    for prop in ("few", "few at the end"):
        ease = [
            min((one.preemptions, len(one.stem)) for one in some if one.property == prop)
            for some in (here, whole)
        ]
        assert ease[0] == ease[1]


def test_nothing_found_is_no_pass() -> None:
    """Liveness and races are not judged, and it says what was."""
    judgement = up_to_symmetry(lambda: lockers(3, 2), Limits())
    assert found(judgement) == []
    verdict, kind, message = judgement.conclude([], "all is well")
    assert (verdict, kind) == ("inconclusive", None)
    assert message.startswith(f"nothing found in {judgement.states} orbits, of up to 6 states in")
    assert "A and B and C have each other's places" in message
    assert "not judged: deadlock of some, livelock, starvation and data races" in message
    assert (judgement.complete, judgement.bound, judgement.countable) == (False, SAFETY, False)


def test_limits_end_it() -> None:
    judgement = up_to_symmetry(lambda: lockers(4, 6), Limits(states=20))
    found(judgement)
    verdict, _, message = judgement.conclude([], "")
    assert verdict == "inconclusive"
    assert "the search ended early: 20 states (in " in message
    assert judgement.bound == "20 states"


@pytest.mark.parametrize("what", [*PRETENCES, "two"])
def test_where_tasks_are_not_alike_every_state_is_searched(what: str) -> None:
    """And everything judged: the panic of the last one is found, too."""
    make = pretender(what) if what in PRETENCES else lambda: lockers(1, 2)
    judgement = up_to_symmetry(make, Limits())
    assert isinstance(judgement, OfEveryState)
    assert judgement.complete
    assert judgement.states == len(searched(make()))
    here = found(judgement)
    assert ("panic" in {one.kind for one in here}) == (what == "late")
    verdict, _, message = judgement.conclude(here, "all is well")
    assert verdict == ("violated" if here else "holds")
    assert f"(symmetry not used: {judgement.why})" in message


# verdicts


ALIKE = '''"""Some threads count under a lock, and one forgets it now and then."""
from kmodel import World, parameter, pause, scenario
from kmodel.shared import shared
from kmodel.sync.mutex import Mutex


@shared
class Counter:
    value: int

    def __init__(self):
        self.value = 0


async def add(mutex, counter, most):
    await mutex.enter()
    before = counter.value
    await pause()
    assert before < most, "too many"
    counter.value = before + 1
    await mutex.leave()


@scenario
def alike(w: World, most: int = 9, last: int = 9, cpus: int = parameter(3, 1, 4, "CPUs")) -> None:
    mutex, counter = Mutex("m"), Counter()
    for number in range(cpus):
        w.task("ABCD"[number], add, mutex, counter, last if number == cpus - 1 else most)
'''


def explored(path: Path, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, str]:
    (path / "story.py").write_text(ALIKE)
    status = run_command_line(["explore", str(path / "story.py"), *options])
    return status, capsys.readouterr().out


def test_the_command_says_what_it_looked_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out = explored(tmp_path, capsys, "--search", "symmetric")
    assert status == 4
    assert "nothing found in " in out
    assert "in which A and B and C have each other's places (not judged: " in out
    assert "\n  evidence: bound: safety only; " in out
    assert "\n  search: symmetric: one state of all that differ in which of like" in out


def test_what_it_finds_can_be_replayed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out = explored(tmp_path, capsys, "--search", "symmetric", "--set", "most=2")
    assert status == 1 or "symmetry not used" in out
    status, out = explored(
        tmp_path, capsys, "--search", "symmetric", "--set", "most=2", "--set", "last=2"
    )
    assert status == 1
    assert "violated: panic" in out
    assert "found with 0 preemptions, " in out
    assert "the search was cut" not in out
    token = next(word for word in out.split() if word.startswith("k2-"))
    assert run_command_line(["replay", token]) == 1
    assert "too many" in capsys.readouterr().out


def test_who_is_given_other_things_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--search", "symmetric", "--set", "cpus=2", "--set", "last=8", "--json"]
    status, out = explored(tmp_path, capsys, *options)
    document = json.loads(out)
    assert (status, document["verdict"], document["strategy"]) == (0, "holds", "dfs")
    assert "(symmetry not used: A and B are given different things: 9 and 8)" in document["message"]
    arguments = ["--search", "symmetric", "--check-live"]
    assert explored(tmp_path, capsys, *arguments)[0] == 2


KERNEL = '''"""Two threads of one process fault the same page."""
from kmodel import Machine, scenario


@scenario
def same(m: Machine) -> None:
    space = m.process()
    for name in "AB":
        m.cpu(name, space.fault(0x20_0000, write=True))
'''


def test_the_kernel_prefers_a_region_a_cpu_and_that_is_noticed(tmp_path: Path) -> None:
    """Its allocators look from a place that depends on the CPU, so no CPUs are alike."""
    with pure():
        case = Case.of(stories.write(tmp_path, KERNEL), {})
        verdict = explore_orbits(case, Limits()).verdict()
    assert verdict.evidence.complete
    assert "symmetry not used: with A and B in each other's places, " in verdict.message
    assert "pool.free differently" in verdict.message
