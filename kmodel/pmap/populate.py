"""pmap_populate: make what a mapping of one address needs, sleeping if it must.

Source: sys/arch/arm64/arm64/pmap.c 1.113 (pmap_vp_populate), the diff of the
thread line for line.
"""

from __future__ import annotations

from kmodel.event import say
from kmodel.pmap.pmap import Pmap
from kmodel.pmap.pte import Vp
from kmodel.point import procedure
from kmodel.sync.channel import assert_nothing_held


@procedure
async def pmap_populate(pm: Pmap, va: int) -> None:
    """Link every missing table for ``va`` and put a zero descriptor in its slot.

    Held: nothing; the caller's address space keeps ``pm`` alive. One table page
    and one descriptor are always taken, even if nothing is missing. Each time the
    spare page has been used, another is fetched with the mutex dropped: a *window*
    in which other CPUs may link tables. Slots are read again after it, but the
    table that holds them is not looked up again: that is safe as long as no table
    is freed before pmap_destroy.
    """
    assert_nothing_held("pmap_populate")
    pools = pm.pools
    pted = await pools.get_pted(True)
    vp = await pools.get_vp(True)
    await pm.lock()
    pm.called()
    table = pm.top
    assert table is not None
    first = 4 - pm.p.levels
    for level in range(first, 3):
        if level > first and vp is None:
            pm.keep(table)
            await pm.unlock()
            vp = await pools.get_vp(True)
            await pm.lock()
            pm.keep(None)
        child = pm.table(table, va, level)
        if child is None:
            assert vp is not None
            child, vp = vp, None
            pm.link(table, va, level, child)
            say("pmap.populate", obj=pm.name, va=hex(va), level=level)
        table = child
    assert isinstance(table, Vp)
    if pm.descriptor(table, va) is None:
        assert pted is not None
        pm.link(table, va, 3, pted)
        say("pmap.populate", obj=pm.name, va=hex(va), level=3)
        pted = None
    await pm.unlock()
    if vp is not None:
        await pools.put_vp(vp)
    if pted is not None:
        await pools.put_pted(pted)
