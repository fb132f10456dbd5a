"""What was asked is noted, all of it and nothing else."""

from __future__ import annotations

from typing import Final

import attrs
import pytest
from worlds import search

from kmodel import fixes, story
from kmodel.asked import Asked
from kmodel.case import Case
from kmodel.param import KernelParams
from kmodel.shared import shared
from kmodel.sync.rwlock import POLICIES, RwLock, rwlock
from kmodel.world import World


def test_the_answers_are_those_of_the_thing_itself() -> None:
    """And each question is noted once, under its name."""
    asked, kernel, fix = Asked(), KernelParams(npages=32), fixes.load("populate")
    params, way = asked.heard(kernel, fix)
    assert (asked.kernel, asked.fix) == ({}, {})
    assert params.npages == 32
    assert params.npages == 32
    assert way.after_failure is fix.after_failure
    assert asked.kernel == {"npages": 32}
    assert asked.fix == {"after_failure": fix.after_failure}


def test_a_question_that_has_no_answer_is_none() -> None:
    """Whoever looks for what every object might have asks nothing of the kernel."""
    asked = Asked()
    params, _ = asked.heard(KernelParams(), fixes.load("wait"))
    assert not hasattr(params, "_oid")
    with pytest.raises(AttributeError):
        _ = params.npagse  # type: ignore[attr-defined]
    assert asked.kernel == {}


def test_who_would_have_answered_the_same_may_differ_in_all_else() -> None:
    """One answer that differs is enough to be another."""
    kernel, fix = KernelParams(), fixes.load("wait")
    asked = Asked({"npages": kernel.npages}, {"before_locks": None})
    assert asked.would_be(attrs.evolve(kernel, lap="silent"), fixes.load("populate"))
    assert not asked.would_be(attrs.evolve(kernel, npages=65), fix)
    assert not asked.would_be(kernel, fixes.load("reserve"))


@shared
class Held:
    """A lock, and so many threads that come for it."""

    lock: Final[RwLock]

    def __init__(self, policy: str) -> None:
        self.lock = rwlock("it", policy)

    async def use(self, write: bool) -> None:
        await self.lock.enter(write)
        await self.lock.exit()


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(
    ("modes", "shows"),
    [("r", False), ("w", False), ("rrr", False), ("ww", False), ("wr", True), ("www", True)],
)
def test_a_policy_shows_where_two_sleep_or_readers_meet_a_sleeping_writer(
    policy: str, modes: str, shows: bool
) -> None:
    """Only then may one wake, or let in, whom the other would not. Hand-off always shows."""
    with World() as world:
        held = Held(policy)
    for name, mode in zip("ABC", modes):
        world.task(name, held.use, mode == "w")
    asked = Asked({"rwlock": policy})
    asked.searched(search(world))
    assert bool(asked.policies) is not (shows or policy == "hand-off")
    for other in POLICIES:
        alike = other == policy or other in asked.policies
        assert asked.would_be(KernelParams(rwlock=other), fixes.load("wait")) is alike


def test_a_world_is_heard_from_the_moment_it_is_built() -> None:
    """What sizes it is asked for then; its lap only when a lap comes to that."""
    case = Case.of("contended_kernel_map", {}, "wait")
    heard = attrs.evolve(case, asked=Asked())
    heard.build().seal()
    assert heard.asked is not None
    assert {"npages", "rwlock", "kva_pages"} <= set(heard.asked.kernel)
    assert "lap" not in heard.asked.kernel
    assert case == heard, "who listens is no part of what is run"


def test_another_story_or_other_sizes_of_it_are_never_alike() -> None:
    """They are no parameters of the kernel, so nobody hears who asks for them."""
    case = attrs.evolve(Case.of("contended_kernel_map", {}, "wait"), asked=Asked())
    assert Case.of("contended_kernel_map", {"lap": "silent"}, "wait").like(case)
    assert not Case.of("contended_kernel_map", {"cpus": 1}, "wait").like(case)
    other = next(name for name in story.names() if name != "contended_kernel_map")
    assert not Case.of(other, {}, "wait").like(case)
    assert not case.like(Case.of("contended_kernel_map", {}, "wait")), "nobody listened"
