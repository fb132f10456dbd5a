"""Memory objects and their pagers."""

import pytest
from worlds import Steered, alone, at_end, boot, panics, run, search, stuck

from kmodel.vm.object import EIO, ObjectPage


def made(backing="file", **params):
    m = boot(**params)
    return m, m.object(3, backing)


async def get(uobj, index):
    await uobj.vmobjlock.enter(True)
    return await uobj.pgo_get(index)


async def let_go(uobj, index):
    await uobj.vmobjlock.enter(True)
    kept = await uobj.unbusy(index)
    await uobj.vmobjlock.exit()
    return kept


@pytest.mark.parametrize("backing", ["file", "zero"])
def test_a_missing_page_is_allocated_and_busy(backing):
    """It is the caller's until that lets it go."""
    m, uobj = made(backing)
    m.watch_contents()

    async def work():
        error = await get(uobj, 2)
        busy = uobj.memq[2].busy, uobj.resident(2)
        return error, busy, await let_go(uobj, 2)

    assert alone(m.world, work) == (0, (True, None), True)
    page = uobj.resident(2)
    assert m.kernel.contents.value(("page", page)) == (2 if backing == "file" else 0)


def test_a_page_that_is_there_is_made_busy():
    m, uobj = made()
    m.cached(uobj, 0)
    page = uobj.resident(0)

    async def work():
        await get(uobj, 0)
        await let_go(uobj, 0)

    alone(m.world, work)
    assert uobj.memq[0] == ObjectPage(page)


def test_a_failed_read_gives_the_page_back():
    """Whoever waited for it finds no page, and reads for itself."""
    m, uobj = made("broken")
    free = m.physmem.nfree()
    m.cpu("A", get, uobj, 0)
    m.cpu("B", get, uobj, 0)
    graph = search(m.finish())
    assert stuck(graph) == []
    assert at_end(graph, lambda: (uobj.memq.used, m.physmem.nfree())) == {((), free)}
    assert alone(*_one(get))[0] == EIO


def _one(start):
    """A world of its own, for one read that fails."""
    m, uobj = made("broken")

    async def work():
        return (await start(uobj, 0),)

    return m.world, work


def test_without_memory_it_waits_and_looks_again():
    """With no lock held: another thread could bring the page in meanwhile."""
    m, uobj = made(npages=24)
    pages = m.physmem.take(m.physmem.nfree() - 3)
    m.cpu("A", get, uobj, 0)
    m.cpu("G", m.physmem.freepages, pages)
    with Steered(m.world) as steered:
        steered.go("A")
        assert m.world.tasks[0].cpu.held == ()
        assert [f["why"] for _, e, f in steered.events if e == "page.wait"] == ["uvn_getpage"]
        steered.go("G", "A")
    assert uobj.memq[0].busy


def test_a_pager_that_waits_for_memory_with_the_object_locked_is_found(monkeypatch):
    """Planted: vmobjlock is kept over the wait."""
    m, uobj = made(npages=24)
    m.physmem.take(m.physmem.nfree() - 3)

    async def keep(self):
        pass

    monkeypatch.setattr(type(uobj.vmobjlock), "exit", keep)
    m.cpu("A", get, uobj, 0)
    outcome = run(m.world).outcome
    assert outcome.kind == "wait-under-lock"
    assert "uvn_getpage" in outcome.message


def test_a_busy_page_that_is_flushed_is_freed_when_it_is_let_go():
    m, uobj = made()
    free = m.physmem.nfree()

    async def work():
        await get(uobj, 0)
        await uobj.vmobjlock.enter(True)
        assert uobj.flush(0) is None
        await uobj.vmobjlock.exit()
        return await let_go(uobj, 0)

    assert alone(m.world, work) is False
    assert (uobj.memq[0], m.physmem.nfree()) == (None, free)


def test_a_page_that_is_still_busy_at_the_end_is_told_of():
    """Nobody will ever let it go."""
    m, uobj = made()
    m.cpu("A", get, uobj, 0)
    messages = {wrong.message for wrong in search(m.finish()).violations}
    assert messages == {"a page of obj0 is busy, and nobody has it in hand"}


def test_a_pager_is_asked_with_the_objects_lock_held():
    m, uobj = made()
    m.cpu("A", uobj.pgo_get, 0)
    (wrong,) = panics(search(m.world))
    assert wrong.message == "lock obj0 vmobjlock is not held by A"
