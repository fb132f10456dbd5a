"""The pmap of a process: enter, remove, extract, create, destroy. Never sleeps
(but for create and destroy, which run before and after anything can fault).

Source: sys/arch/arm64/arm64/pmap.c 1.113. Left out: the kernel's own pmap (its
tables are there from boot, so entering there allocates nothing), pv lists, wired
and executable mappings, reference and modify emulation, TLB flushes.
"""

from __future__ import annotations

from typing import Final

from kmodel.event import mark, say
from kmodel.panic import Panic
from kmodel.param import PAGE_SIZE, KernelParams
from kmodel.pmap.pools import PmapPools
from kmodel.pmap.pte import Pted, Slot, Vp, index
from kmodel.point import procedure
from kmodel.shared import Hidden, Statistic, shared
from kmodel.sync.mutex import IPL_VM, Mutex
from kmodel.vm.pool import Cause

ENOMEM: Final = 12


@shared
class Pmap:
    """struct pmap of a user process. Lock: ``pm_mtx``.

    ``resident_count`` is a statistic; what is kept of it in the state is whether it
    still equals the number of valid descriptors (``exact``, brought up to date when
    pm_mtx is left; ``slip`` is the difference made since it was taken).
    """

    name: Final[str]
    p: Final[KernelParams]
    pools: Final[PmapPools]
    pm_mtx: Final[Mutex]
    top: Vp | None  # set by create, cleared by destroy
    resident_count: Statistic  # pm_mtx
    slip: Hidden[int]
    exact: Hidden[bool]

    def __init__(self, p: KernelParams, pools: PmapPools, name: str) -> None:
        self.name, self.p, self.pools = f"{name} pmap", p, pools
        self.pm_mtx = Mutex(f"{name} pm_mtx", IPL_VM)
        self.top, self.resident_count, self.slip, self.exact = None, 0, 0, True

    async def lock(self) -> None:
        await self.pm_mtx.enter()

    @procedure
    async def unlock(self) -> None:
        if self.slip:
            self.slip, self.exact = 0, False
            mark("resident_count no longer equals the number of valid descriptors")
        await self.pm_mtx.leave()

    @procedure
    def _count(self, more: int) -> None:
        """resident_count += more. Held: pm_mtx."""
        self.resident_count += more
        self.slip += more

    @procedure
    def _validate(self) -> None:
        """One descriptor more is valid. Held: pm_mtx."""
        self.slip -= 1

    def _levels(self) -> range:
        """Levels of the tables from the top one to the last."""
        return range(4 - self.p.levels, 4)

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
        """pmap_set_l1..l3, or the descriptor's slot. Held: pm_mtx. The slot was empty."""
        if self._child(vp, va, level) is not None:
            raise Panic(
                f"{self.name}: slot of {va:#x} at level {level} is overwritten", "invariant"
            )
        vp.slots[index(va, level)] = child
        if isinstance(child, Vp):
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

    @procedure
    async def pmap_enter(self, va: int, page: int, write: bool, *, canfail: bool) -> int | Cause:
        """Map ``va`` to ``page``: 0, or ENOMEM if a NOWAIT allocation failed (its cause, in
        a kernel that tells).

        Without PMAP_CANFAIL a failure panics. Tables linked before a deeper one
        failed stay: a retry needs fewer. The resident count goes up before anything
        is allocated, and a failure does not take it down again.
        """
        await self.lock()
        slot, pted = self.pmap_vp_lookup(va)
        if slot is Slot.VALID:
            assert pted is not None
            if pted.pte == (page, write):
                await self.unlock()
                return 0
            await self._remove_pted(va, pted)
            slot, pted = self.pmap_vp_lookup(va)
        self._count(1)
        made = pted or await self._new_pted(va)
        if isinstance(made, Cause):
            if not canfail:
                raise Panic(f"pmap_enter: {self.name}: failed to allocate for {va:#x}")
            say("pmap.fail", obj=self.name, va=hex(va), error="ENOMEM")
            await self.unlock()
            return made if self.p.pmap_error == "cause" else ENOMEM
        made.pte = (page, write)
        self._validate()
        say("pmap.enter", obj=self.name, va=hex(va), page=page)
        await self.unlock()
        return 0

    @procedure
    async def _new_pted(self, va: int) -> Pted | Cause:
        """A descriptor in its slot, with all tables above it. Held: pm_mtx."""
        if self.pools.inline:
            return await self._pmap_vp_enter(va, None)
        pted = await self.pools.ask_pted(False)
        if isinstance(pted, Cause):
            return pted
        made = await self._pmap_vp_enter(va, pted)
        if isinstance(made, Cause):
            await self.pools.put_pted(pted)
        return made

    @procedure
    async def _pmap_vp_enter(self, va: int, pted: Pted | None) -> Pted | Cause:
        """pmap_vp_enter: link what tables are missing, from the top, then the slot (with a
        descriptor of the last table's own if ``pted`` is none)."""
        vp = self.top
        assert vp is not None
        for level in self._levels()[:-1]:
            child = self.table(vp, va, level)
            if child is None:
                got = await self.pools.ask_vp(False)
                if isinstance(got, Cause):
                    return got
                child = got
                self.link(vp, va, level, child)
            vp = child
        if pted is None:
            pted = vp.spare()
            pted.live = True
        self.link(vp, va, 3, pted)
        return pted

    @procedure
    async def _remove_pted(self, va: int, pted: Pted) -> None:
        """pmap_remove_pted: unhook a valid descriptor and free it. Held: pm_mtx."""
        self.assert_live(pted)
        self.resident_count -= 1
        # one valid descriptor fewer and one fewer counted: no slip, if it was valid
        if pted.pte is None:
            self.slip -= 1
        vp = self.top
        for level in self._levels()[:-1]:
            assert vp is not None
            vp = self.table(vp, va, level)
        assert vp is not None
        vp.slots[index(va, 3)] = None
        say("pmap.remove", obj=self.name, va=hex(va))
        await self.pools.put_pted(pted)

    @procedure
    async def pmap_remove(self, start: int, end: int) -> None:
        """Unmap [start, end): valid descriptors go, POPULATED ones stay, tables stay."""
        await self.lock()
        for va in range(start, end, PAGE_SIZE):
            slot, pted = self.pmap_vp_lookup(va)
            if slot is Slot.VALID and pted is not None:
                await self._remove_pted(va, pted)
        await self.unlock()

    @procedure
    async def pmap_extract(self, va: int) -> int | None:
        """The page that ``va`` maps to, or ``None`` (FALSE)."""
        await self.lock()
        _, pted = self.pmap_vp_lookup(va)
        page = pted.pte[0] if pted is not None and pted.pte else None
        await self.unlock()
        return page

    @procedure
    async def pmap_create(self) -> None:
        """A pmap with its top table (WAITOK). Left out: the pool of struct pmap."""
        self.top = await self.pools.get_vp(True)

    @procedure
    async def pmap_destroy(self) -> None:
        """The last reference is gone: free every descriptor and table.

        Nobody else uses the pmap any more; it runs without the lock, as in the kernel.
        """
        if self.top is not None:
            await self._free(self.top)
        self.top = None
        self.slip, self.exact = 0, True

    async def _free(self, item: Vp | Pted) -> None:
        if isinstance(item, Pted):
            await self.pools.put_pted(item)
            return
        for _, child in item.slots.used:
            await self._free(child)
        item.slots.used = ()
        await self.pools.put_vp(item)
