"""Who says in which order locks are wanted, and who does not."""

import pytest
from facts import fact
from stories import judged
from worlds import run, search

from kmodel.sync import mutex
from kmodel.sync import rwlock as rwlocks
from kmodel.sync.channel import Channel
from kmodel.sync.mutex import Mutex
from kmodel.sync.rwlock import POLICIES, rwlock
from kmodel.world import World


def said(build):
    """(held, wanted) of each order that the one task of ``build`` says."""
    with World() as world:
        body = build()
    world.task("A", body)
    return [(e["held"], e["wanted"]) for e in run(world).named("witness.order")]


def test_a_mutex_wanted_while_others_are_held_is_said():
    """All that are held, in the order taken; the first lock of all says nothing."""

    def build():
        one, two, three = Mutex("one"), Mutex("two"), Mutex("three")

        async def body():
            await one.enter()
            await two.enter()
            await three.enter()

        return body

    assert said(build) == [(("one",), "two"), (("one", "two"), "three")]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("write", [False, True])
def test_a_sleeping_lock_is_said_read_or_write(policy, write):
    """rw_enter may have to wait, whichever way the lock is wanted."""

    def build():
        one, two = rwlock("one", policy), rwlock("two", policy)

        async def body():
            await one.enter(write)
            await two.enter(write)

        return body

    assert said(build) == [(("one",), "two")]


@fact(
    "witness does not check the order of trylocks",
    "kern_rwlock.c 1.48",
)
def test_a_try_is_not_said():
    """It cannot wait; but the lock that it got counts as held from then on."""

    def build():
        one, two = Mutex("one"), Mutex("two", tried=True)
        three, four = Mutex("three"), rwlock("four", "wake-all")

        async def body():
            await one.enter()
            assert await two.enter_try()
            assert await four.enter_try(True)
            await three.enter()

        return body

    assert said(build) == [(("one", "two", "four"), "three")]


@pytest.mark.parametrize("relock", [True, False])
def test_the_interlock_is_wanted_again_after_a_sleep(relock):
    """msleep takes it again, unless told not to (PNORELOCK)."""
    with World() as world:
        lock, interlock = rwlock("lock", "wake-all"), Mutex("interlock", tried=True)
        chan = Channel("chan")

    async def sleep():
        await lock.enter(True)
        assert await interlock.enter_try()
        await chan.msleep(interlock, relock=relock)

    world.task("A", sleep)
    leaves = search(world).histories.leaves
    orders = [fields for _, leaf in leaves for event, fields in leaf.said if "witness" in event]
    assert [(one["held"], one["wanted"]) for one in orders] == (
        [(("lock",), "interlock")] if relock else []
    )


def test_a_lock_taken_and_given_back_is_held_no_longer():
    """What was released orders nothing."""

    def build():
        one, two = Mutex("one"), Mutex("two")

        async def body():
            await one.enter()
            await one.leave()
            await two.enter()

        return body

    assert said(build) == []


def test_an_order_is_said_also_where_the_lock_is_never_had():
    """Before the wait: the step that comes to a stop has said it."""
    with World() as world:
        one, two = Mutex("one"), Mutex("two")

    async def both():
        await one.enter()
        await two.enter()

    async def keep():
        await two.enter()

    world.task("K", keep)
    world.task("A", both)
    graph = search(world)
    assert any(
        event == "witness.order" for _, leaf in graph.histories.leaves for event, _ in leaf.said
    )


def test_saying_the_order_changes_no_state(monkeypatch):
    """A search that hears nothing of it finds the same states, one by one."""

    def states():
        return judged("contended_kernel_map", cpus=1).graph.keys

    heard = states()
    for module in (mutex, rwlocks):
        monkeypatch.setattr(module, "check_order", lambda held, wanted: None)
    assert states() == heard
