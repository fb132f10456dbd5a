"""Tokens of a model that was edited since: still the same finding, another one, or none; or
the task and the event that vanished."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest
import stories

from kmodel.case import Case
from kmodel.explore.execution import Execution
from kmodel.explore.schedule import Token, TokenError, bare, parse
from kmodel.refit import Refit, case_of, changed, refit, repeats
from kmodel.settings import UsageError
from kmodel.story import folder
from kmodel.trial import Trial

Edits = list[tuple[str, str]]

FAULT = (folder() / "contended_kernel_map.py").read_text().replace("parameter(2,", "parameter(1,")

SPIN = '''"""A thread waits for a flag that nobody raises."""
from kmodel import Loop, Machine, operation, pause, scenario
from kmodel.shared import Atomic, shared


@shared
class Flag:
    up: Atomic[bool]
    polls: int

    def __init__(self):
        self.up, self.polls = False, 0

    @operation(event="flag.poll")
    def poll(self):
        return self.up


async def wait(flag):
    loop = Loop()
    while not await flag.poll():
        loop.head()


async def idle():
    loop = Loop()
    while True:
        loop.head()
        await pause()


@scenario
def spin(m: Machine) -> None:
    with m.world:
        flag = Flag()
    m.cpu("A", wait, flag)
'''

PAUSED = ("import Machine,", "import Machine, pause,")
IDLE = ("\n\n@scenario", "\n\nasync def idle():\n    await pause()\n\n\n@scenario")
BACKGROUND = ("    for copy in", '    m.background("K", idle)\n    for copy in')


def found(path: str, fix: str = "wait", kind: str | None = None) -> Token:
    """The token of what is wrong with that scenario: of the worst, or of that kind."""
    verdict = stories.judged(path, fix).verdict()
    of = [verdict, *verdict.findings, *verdict.excluded]
    word = next(one.replay for one in of if one.replay and kind in (None, one.kind))
    assert word is not None
    return parse(word)


def edited(tmp_path: Path, text: str, edits: Edits, fix: str = "wait", kind: str = "") -> Refit:
    """What becomes of what is wrong with ``text`` when it is edited."""
    path = stories.write(tmp_path, text)
    token = found(path, fix, kind or None)
    for before, after in edits:
        assert before in text
        text = text.replace(before, after)
    stories.write(tmp_path, text)
    case = case_of(token)
    assert changed(case, token) == ("the scenario file",)
    fresh = refit(case, token)
    # the new token is one of the model as it is now, and exact
    assert changed(case, fresh.token) == ()
    assert repeats(case, parse(fresh.token.word()))
    return fresh


@pytest.mark.parametrize(
    "edits",
    [
        [],
        [PAUSED, ("    await first.enter", "    await pause()\n    await first.enter")],
        [PAUSED, ("    await second.enter", "    await pause()\n    await second.enter")],
        [("first", "outer"), ("second", "inner")],
        [("await second.leave()\n    ", "")],
        [
            ("async def both(", "async def both(own, "),
            (
                "    await first.enter",
                "    await own.enter()\n    await own.leave()\n    await first.enter",
            ),
            ("both, one", "both, own, one"),
            ("both, *(", "both, own, *("),
            ('one, two = Mutex("one")', 'own, one, two = Mutex("own"), Mutex("one")'),
        ],
        [PAUSED, IDLE, BACKGROUND],
        [PAUSED, IDLE, (BACKGROUND[0], BACKGROUND[1].replace("background", "cpu"))],
    ],
    ids=[
        *("nothing", "a pause before", "a pause between", "renamed locals", "a release less"),
        *("a lock more", "a background task", "another task first"),
    ],
)
def test_a_deadlock_survives_an_unrelated_edit(tmp_path: Path, edits: Edits) -> None:
    """Followed by its anchors the run is the same deadlock still."""
    fresh = edited(
        tmp_path, stories.CROSSED, [("Two threads", "2 threads"), *edits], kind="deadlock"
    )
    assert fresh.again
    assert fresh.shows == "A0 and B0 wait for each other"


def test_a_deadlock_that_is_broken_up_is_none(tmp_path: Path) -> None:
    """The same order of locks in both: B waits, and A can go on."""
    fresh = edited(tmp_path, stories.CROSSED, [("if swap else", "if not swap else")])
    assert (fresh.again, fresh.token.kind, fresh.token.property) == (False, "limit", "")
    assert fresh.shows == (
        "nothing is broken in the end (A0 at mutex.enter two, B0 at mutex.enter one)"
    )


@pytest.mark.parametrize(
    ("edits", "words"),
    [
        (
            [("    await second.enter()\n    await second.leave()\n", "")],
            "A0 never comes to 'mutex.enter two' again, as it did in block 2",
        ),
        ([('"two"', '"deux"')], "A0 never comes to 'mutex.enter two' again"),
        ([('f"B{copy}"', 'f"C{copy}"')], "there is no task 'B0' any more, only 'A0', 'C0'"),
    ],
    ids=["its operation", "the name of its lock", "its task"],
)
def test_what_vanished_is_named(tmp_path: Path, edits: Edits, words: str) -> None:
    """The task, the event and the block; what changed; and how to search again."""
    with pytest.raises(TokenError) as gone:
        edited(tmp_path, stories.CROSSED, edits, kind="deadlock")
    said = str(gone.value)
    assert words in said
    assert "kmodel explore " in said
    assert ("the scenario file changed since" in said) == ("task" not in words)


RACES = [
    [],
    [("    await pause()\n", "    await pause()\n    await pause()\n")],
    [("    counter.value += 1", "    counter.value += 1\n    await pause()")],
    [('m.cpu("B"', 'm.cpu("C", add, counter)\n    m.cpu("B"')],
]


@pytest.mark.parametrize("edits", RACES, ids=["nothing", "before", "after", "another task"])
def test_a_race_survives_an_unrelated_edit(tmp_path: Path, edits: Edits) -> None:
    """Also where the second access is not the last step any more."""
    fresh = edited(tmp_path, stories.RACE, [("Two threads", "2 threads"), *edits])
    assert (fresh.again, fresh.token.kind) == (True, "data-race")
    assert "counter0.value" in fresh.shows


def test_a_race_that_was_repaired_is_none(tmp_path: Path) -> None:
    """With a lock around both accesses."""
    locked = [
        ("from kmodel.shared", "from kmodel.sync.mutex import Mutex\nfrom kmodel.shared"),
        ("self.value = 0", 'self.value, self.mtx = 0, Mutex("c")'),
        ("    value: int", "    value: int\n    mtx: Final[Mutex]"),
        ('"""Two', 'from typing import Final\n"""Two'),
        ("    counter.value += 1", "    await counter.mtx.enter()\n    counter.value += 1"),
        ("\n\n\n@scenario", "\n    await counter.mtx.leave()\n\n\n@scenario"),
    ]
    fresh = edited(tmp_path, stories.RACE, locked)
    assert (fresh.again, fresh.token.kind, fresh.token.property) == (False, "done", "")
    assert fresh.shows == "nothing is broken in the end (all have ended)"


def test_a_leak_survives_and_another_one_is_another(tmp_path: Path) -> None:
    """A check at the end is asked again."""
    assert edited(tmp_path, stories.LEAK, [("vp_pool", "pted_pool")]).again
    kept = ("    await m.kernel", "    page = await m.kernel")
    put = ("get(True)", "get(True)\n    await m.kernel.pmap_pools.vp_pool.put(page)")
    fresh = edited(tmp_path, stories.LEAK, [kept, put])
    assert (fresh.again, fresh.token.kind) == (False, "done")


CHECKED = stories.CHECKED.replace("at_most: int = 9", "at_most: int = 1")


def test_a_check_survives_and_is_cut_where_it_fails(tmp_path: Path) -> None:
    """The run is over where the check fails, however far the block went."""
    fresh = edited(tmp_path, CHECKED, [("value += 1", "value += 1\n        await pause()")])
    assert (fresh.again, fresh.token.property) == (True, "few")
    assert fresh.shows == "2 is too many"


def test_a_finding_that_ends_no_run_is_cut_where_it_is(tmp_path: Path) -> None:
    """It comes a step earlier now than the place where its block ended."""
    text = CHECKED.replace("m.always(", "m.world.check(")
    text = text.replace('many")', 'many", judged=False)')
    fresh = edited(tmp_path, text, [("value += 1", "value += 2")], kind="invariant")
    assert (fresh.again, fresh.token.property, fresh.shows) == (True, "few", "2 is too many")
    assert len(fresh.token.schedule()[0]) == len(fresh.old.schedule()[0]) - 1


def test_another_violation_is_named_as_such(tmp_path: Path) -> None:
    """Not the one of the token, and a violation all the same."""
    fresh = edited(tmp_path, CHECKED, [("value += 1", "value += 1\n        assert False")])
    assert (fresh.again, fresh.token.kind, fresh.token.property) == (False, "panic", "no panic")
    fresh = edited(tmp_path, CHECKED, [('"few"', '"little"')])
    assert (fresh.again, fresh.token.property) == (False, "little")


def test_a_panic_survives_and_one_that_was_repaired_is_none(tmp_path: Path) -> None:
    """It is anchored in the operation whose step panicked."""
    text = stories.CHECKED.replace("value += 1", "value += 1\n        assert counter.value < 2")
    assert edited(tmp_path, text, [("await pause()", "await pause()\n        await pause()")]).again
    fresh = edited(tmp_path, text, [("        assert counter.value < 2\n", "")])
    assert (fresh.again, fresh.token.kind) == (False, "done")
    assert fresh.shows == "nothing is broken in the end (all have ended)"


# loops


@pytest.mark.parametrize(
    "edits",
    [
        [],
        [
            (
                "loop.head()\n\n\nasync def idle",
                "loop.head()\n        await pause()\n\n\nasync def idle",
            )
        ],
        [
            (
                "    loop = Loop()\n    while not",
                "    await pause()\n    loop = Loop()\n    while not",
            )
        ],
        [
            (
                "async def idle():\n    loop = Loop()\n    while True",
                "async def idle():\n    loop = Loop()\n    for _ in range(3)",
            ),
            ('    m.cpu("A"', '    m.cpu("J", idle)\n    m.cpu("A"'),
        ],
    ],
    ids=["nothing", "a pause in the loop", "a pause before it", "another task"],
)
def test_a_lasso_survives_an_unrelated_edit(tmp_path: Path, edits: Edits) -> None:
    """Its loop closes exactly, in more steps perhaps; a task that is new ends before."""
    fresh = edited(tmp_path, SPIN, [("A thread waits", "One thread waits"), *edits])
    assert (fresh.again, fresh.token.kind) == (True, "livelock"), fresh.shows
    assert fresh.token.loop


def test_a_loop_that_does_not_close_is_none(tmp_path: Path) -> None:
    """It counts its turns now, so no state comes back."""
    fresh = edited(
        tmp_path, SPIN, [("loop.head()\n\n", "loop.head()\n        flag.polls += 1\n\n")]
    )
    assert (fresh.again, fresh.token.kind, fresh.token.loop) == (False, "limit", ())
    assert fresh.shows.startswith("the loop of 1 steps does not close any more")


def test_a_loop_that_is_unfair_now_is_none(tmp_path: Path) -> None:
    """A task that could step all along is left aside in it."""
    fresh = edited(
        tmp_path, SPIN, [('    m.cpu("A"', '    m.background("K", idle)\n    m.cpu("A"')]
    )
    assert (fresh.again, fresh.token.kind) == (False, "limit")
    assert fresh.shows == "no fair run goes round the loop: K could step all along"


def test_a_loop_that_is_left_is_named(tmp_path: Path) -> None:
    """The flag is up now, so that there is nothing to poll for a second time."""
    with pytest.raises(TokenError, match=r"A never comes to 'flag.poll'.* it has ended"):
        edited(tmp_path, SPIN, [("self.up, self.polls = False", "self.up, self.polls = True")])


@pytest.mark.parametrize("fix", ["wait", "lock-retry"])
@pytest.mark.parametrize(
    "edits",
    [
        [PAUSED, ("    for turn in", "    await pause()\n    for turn in")],
        [
            PAUSED,
            (
                "\n\nasync def several",
                "\n\nasync def once():\n    await pause()\n\n\nasync def several",
            ),
            ('    m.background("K"', '    m.background("J", once())\n    m.background("K"'),
        ],
    ],
    ids=["a pause", "a background task"],
)
def test_every_finding_of_the_kernel_map_survives(tmp_path: Path, fix: str, edits: Edits) -> None:
    """Lost wakeup, livelock, starvation and a count that drifts, in another order of tasks."""
    kinds = {"wait": ("lost-wakeup", "livelock", "invariant")}.get(
        fix, ("livelock", "invariant", "starvation")
    )
    for kind in kinds:
        fresh = edited(tmp_path, FAULT, edits, fix, kind)
        assert (fresh.again, fresh.token.kind) == (True, kind), fresh.shows


# what does not fit, and what does not matter


def test_an_edit_that_the_run_does_not_see_changes_nothing(tmp_path: Path) -> None:
    """A comment: known as an edit, and the run is the same event for event."""
    path = stories.write(tmp_path, stories.CROSSED)
    token = found(path)
    stories.write(tmp_path, stories.CROSSED + "# no more\n")
    case = case_of(token)
    assert changed(case, token) == ("the scenario file",)
    assert repeats(case, token)


def test_another_order_of_tasks_is_no_repeat(tmp_path: Path) -> None:
    """The numbers in the schedule would mean others."""
    path = stories.write(tmp_path, stories.RACE)
    token = found(path)
    swapped = stories.RACE.replace('"A"', '"?"').replace('"B"', '"A"').replace('"?"', '"B"')
    stories.write(tmp_path, swapped)
    assert not repeats(case_of(token), token)
    fresh = refit(case_of(token), token)
    assert (fresh.again, fresh.token.tasks) == (True, ("B", "A", "pagedaemon"))


def test_a_parameter_that_is_gone_is_named(tmp_path: Path) -> None:
    """With a hint, as a token that does not fit; a scenario that is gone is a usage error."""
    path = stories.write(tmp_path, stories.CROSSED)
    token = attrs.evolve(found(path), params={"copies": 2})
    stories.write(tmp_path, stories.CROSSED.replace("copies", "clones"))
    with pytest.raises(TokenError, match=r"(?s)does not fit.*copies: no such parameter.*clones"):
        case_of(token)
    Path(path).unlink()
    with pytest.raises(UsageError, match="there is no such file"):
        case_of(token)


def test_a_schedule_of_steps_alone_is_followed_by_their_number(tmp_path: Path) -> None:
    """Without labels a block says how many steps, and nothing else."""
    path = stories.write(tmp_path, stories.CROSSED)
    token = found(path, kind="deadlock")
    fresh = refit(case_of(token), attrs.evolve(token, blocks=bare(token.schedule()[0])))
    assert fresh.token == token


@pytest.mark.parametrize("field", ["model", "version", "scenario_digest"])
def test_each_thing_that_changed_is_named(tmp_path: Path, field: str) -> None:
    """The kernel model, the scenario, kmodel; a log without a digest of the model is let off."""
    token = found(stories.write(tmp_path, stories.RACE))
    case = case_of(token)
    assert changed(case, token) == ()
    (what,) = changed(case, attrs.evolve(token, **{field: "another"}))
    words = {"model": "model", "version": "version", "scenario_digest": "scenario"}
    assert words[field] in what
    assert changed(case, attrs.evolve(token, model="")) == ()


BESIDE = '''"""A reader that sleeps for ever holds a lock beside the one that is in the cycle."""
from kmodel import World, pause, scenario
from kmodel.point import Loop
from kmodel.sync.channel import Channel
from kmodel.sync.mutex import Mutex
from kmodel.sync.rwlock import rwlock


async def doze(lock, chan, mutex):
    await lock.enter(False)
    await mutex.enter()
    await chan.msleep(mutex)


async def both(first, second, write):
    await first.enter(write)
    await second.enter(True)


async def spin():
    loop = Loop()
    while True:
        loop.head()
        await pause()


@scenario
def beside(w: World) -> None:
    lock, other = rwlock("lock", "wake-all"), rwlock("other", "wake-all")
    w.task("D", doze, lock, Channel("chan"), Mutex("mutex"))
    w.task("R", both, lock, other, False)
    w.task("W", both, other, lock, True)
    w.task("K", spin, obliged=False)
'''


def test_a_cycle_is_found_past_a_holder_that_is_in_none(tmp_path: Path) -> None:
    """Of two readers the first sleeps for ever; the second is in the cycle."""
    case = Case.of(stories.write(tmp_path, BESIDE), {}, None)
    execution = Execution(case.build())
    for task in b"\0\0\0\0\1\1\2\2\1\2":
        execution.step(task)
    stem = bytes(execution.choices)
    names = ("D", "R", "W", "K")
    token = Token(
        "beside", {}, "", names, bare(stem), (), "", "lock-order", "lock order", "", "", ""
    )
    finding, *_ = Trial(case, token, execution).judged(stem, b"")
    execution.close()
    assert (finding.kind, finding.message) == ("lock-order", "R and W wait for each other")
