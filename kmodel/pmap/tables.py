"""The tables of one pmap: made, looked up, linked, freed.

Source: sys/arch/arm64/arm64/pmap.c 1.113 (pmap_create, pmap_vp_lookup, pmap_set_l1..l3,
pmap_destroy). Of the hardware's half of a table, see ``mmu.py``. ``reclaim`` is no kernel's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from kmodel.event import mark, say
from kmodel.panic import Panic
from kmodel.param import PAGE_SHIFT
from kmodel.pmap.pools import PmapPools
from kmodel.pmap.pte import Pted, Slot, Vp, index
from kmodel.point import Task, curtask, procedure
from kmodel.shared import Hidden, shared


@shared
class Tables:
    """A tree of table pages with descriptors as leaves. Lock: the pm_mtx of its pmap.

    ``window`` is for checks: which table a thread has read, and will use again after it has
    dropped the lock and taken it back (the windows of pmap_populate).
    """

    name: Final[str]
    levels: Final[int]
    pools: Final[PmapPools]
    top: Vp | None  # set by create, cleared by destroy
    window: Hidden[tuple[tuple[Task, Vp], ...]]

    def __init__(self, name: str, levels: int, pools: PmapPools) -> None:
        self.name, self.levels, self.pools = name, levels, pools
        self.top, self.window = None, ()

    @procedure
    async def pmap_create(self) -> None:
        """A pmap with its top table (WAITOK). Left out: the pool of struct pmap."""
        self.top = await self.pools.get_vp(True)

    def _levels(self) -> range:
        """Levels of the tables from the top one to the last."""
        return range(4 - self.levels, 4)

    @procedure
    def _child(self, vp: Vp, va: int, level: int) -> Vp | Pted | None:
        """vp->vp[VP_IDX(va)]. Held: pm_mtx."""
        self.assert_live(vp)
        return vp.slots[index(va, level)]

    @procedure
    def assert_live(self, item: Vp | Pted) -> None:
        if not item.live:
            raise Panic(
                f"{self.name}: {item.name} is used after free", "use-after-free", (item.name,)
            )

    def table(self, vp: Vp, va: int, level: int) -> Vp | None:
        """The next table below ``vp``, or ``None``. Held: pm_mtx."""
        child = self._child(vp, va, level)
        assert child is None or isinstance(child, Vp)
        return child

    def descriptor(self, vp: Vp, va: int) -> Pted | None:
        """The descriptor in the last table ``vp``. Held: pm_mtx."""
        child = self._child(vp, va, 3)
        assert child is None or isinstance(child, Pted)
        return child

    @procedure
    def link(self, vp: Vp, va: int, level: int, child: Vp | Pted) -> None:
        """pmap_set_l1..l3, or the descriptor's slot. Held: pm_mtx. The slot was empty. Where
        a table is in memory is asked of the kernel's pmap, which must know."""
        if self._child(vp, va, level) is not None:
            raise Panic(
                f"{self.name}: slot of {va:#x} at level {level} is overwritten", "invariant"
            )
        vp.slots[index(va, level)] = child
        if isinstance(child, Vp):
            kernel = self.pools.kernel
            if kernel is not None and kernel.pmap_vp_lookup(child.address)[0] is not Slot.VALID:
                raise Panic(f"{self.name}: {child.name} is not mapped in the kernel's pmap")
            say("pmap.table", va=hex(va), level=level, item=hex(child.address))

    @procedure
    def pmap_vp_lookup(self, va: int) -> tuple[Slot, Pted | None]:
        """What the tables say of ``va``. Held: pm_mtx."""
        vp = self.top
        for level in self._levels()[:-1]:
            if vp is None:
                break
            vp = self.table(vp, va, level)
        if vp is None:
            return Slot.NO_TABLE, None
        pted = self.descriptor(vp, va)
        if pted is None:
            return Slot.EMPTY, None
        return (Slot.VALID if pted.pte else Slot.POPULATED), pted

    def missing(self, va: int) -> int:
        """How many tables and descriptors ``va`` still needs. Held: pm_mtx."""
        vp = self.top
        for level in self._levels()[:-1]:
            if vp is None:
                return 5 - level
            vp = self.table(vp, va, level)
        return 2 if vp is None else int(self.descriptor(vp, va) is None)

    @procedure
    async def reclaim(self, va: int, how: str) -> None:
        """Unlink and free the last table of ``va`` if it is empty by now (``last``), or those
        above it as well (``all``). Held: pm_mtx."""
        path = [self.top]
        for level in self._levels()[:-1]:
            assert path[-1] is not None
            path.append(self.table(path[-1], va, level))
        for level in reversed(self._levels()[:-1]):
            vp, above = path.pop(), path[-1]
            assert vp is not None
            assert above is not None
            if vp.slots.used:
                return
            above.slots[index(va, level)] = None
            await self.pools.put_vp(vp)
            mark("an empty table was freed before its pmap")
            if how == "last":
                return

    async def free_all(self) -> None:
        """Free every descriptor, valid or not, and every table. Nobody else uses them."""
        top = self.top
        if top is not None:
            await self._free_below(top)
            self.top = None
            await self.pools.put_vp(top)

    async def _free_below(self, vp: Vp) -> None:
        children, vp.slots.used = vp.slots.used, ()
        for _, child in children:
            if isinstance(child, Pted):
                child.wired = False
                await self.pools.put_pted(child)
            else:
                await self._free_below(child)
                await self.pools.put_vp(child)

    @procedure
    def keep(self, table: Vp | None) -> None:
        """The running thread will use ``table`` after a window, or (none) is back from it."""
        rest = tuple(pair for pair in self.window if pair[0] is not curtask())
        self.window = rest if table is None else (*rest, (curtask(), table))

    def linked(self) -> Iterator[tuple[int, int, Vp | Pted]]:
        """Every table (level 1 to 3) and descriptor (4), with the first address that it stands
        for. For checks: it reads the whole tree, and no lock is held."""
        first = 4 - self.levels
        work: list[tuple[int, int, Vp | Pted]] = [(first, 0, self.top)] if self.top else []
        while work:
            level, base, item = work.pop()
            yield level, base, item
            if isinstance(item, Vp):
                shift = PAGE_SHIFT + 9 * (3 - level)
                work += [(level + 1, base | at << shift, child) for at, child in item.slots.used]
