"""The pmap of a process: enter, remove, protect, extract, create, destroy. Never sleeps
(but for create and destroy, which run before and after anything can fault).

Source: sys/arch/arm64/arm64/pmap.c 1.113. Left out: executable mappings, the bits for
referenced and modified, pmap_purge. What few scenarios need is there if they ask:
``pv_lists`` (and users of a pmap are counted: nobody else takes a reference), ``tlb`` (the
hardware's half; without it, what is valid is valid in hardware too), ``kernel_pmap``.
"""

from __future__ import annotations

from typing import Final

from kmodel.event import mark, say
from kmodel.panic import Panic
from kmodel.param import PAGE_SIZE, PROT_EXEC, PROT_READ, KernelParams
from kmodel.pmap.mmu import Mmu
from kmodel.pmap.pools import PmapPools
from kmodel.pmap.pte import Pted, Slot, index
from kmodel.pmap.tables import Tables
from kmodel.point import Loop, operation, procedure
from kmodel.shared import Atomic, Hidden, Statistic, shared
from kmodel.streak import Streak
from kmodel.sync.mutex import IPL_VM, Mutex
from kmodel.vm.cause import Cause

ENOMEM: Final = 12


@shared
class Pmap(Tables):
    """struct pmap of a user process. Lock: ``pm_mtx``.

    ``resident_count`` is a statistic; what is kept of it in the state is whether it
    still equals the number of valid descriptors (``exact``, brought up to date when
    pm_mtx is left; ``slip`` is the difference made since it was taken). ``calls`` counts
    what may leave tables or descriptors over (enter and populate); -1 is not counted.
    """

    p: Final[KernelParams]
    mmu: Final[Mmu | None]
    pm_mtx: Final[Mutex]
    refs: Atomic[int]  # pm_refs
    resident_count: Statistic  # pm_mtx
    wired_count: Statistic  # pm_mtx
    slip: Hidden[int]
    exact: Hidden[bool]
    calls: Hidden[int]
    failures: Final[Streak]  # for a check: of one address's pmap_enter

    def __init__(self, p: KernelParams, pools: PmapPools, name: str, levels: int = 0) -> None:
        super().__init__(f"{name} pmap", levels or p.levels, pools)
        self.p = p
        self.mmu = Mmu(name) if p.tlb else None
        self.pm_mtx = Mutex(f"{name} pm_mtx", IPL_VM)
        self.resident_count, self.slip, self.exact = 0, 0, True
        self.refs, self.wired_count, self.calls = 1, 0, -1
        self.failures = Streak(f"{name} pmap_enter failures")

    async def lock(self) -> None:
        await self.pm_mtx.enter()

    @procedure
    async def unlock(self) -> None:
        if self.slip:
            self.slip, self.exact = 0, False
            mark("resident_count no longer equals the number of valid descriptors")
        await self.pm_mtx.leave()

    @procedure
    def called(self) -> None:
        """Something begins that may leave tables or descriptors over. Held: pm_mtx."""
        if self.calls >= 0:
            self.calls += 1

    @procedure
    def _count(self, more: int) -> None:
        """resident_count += more. Held: pm_mtx."""
        self.resident_count += more
        self.slip += more

    @procedure
    async def pmap_enter(
        self,
        va: int,
        page: int,
        write: bool,
        *,
        canfail: bool,
        wired: bool = False,
        access: bool = True,
    ) -> int | Cause:
        """Map ``va`` to ``page``: 0, or ENOMEM if a NOWAIT allocation failed (its cause, in
        a kernel that tells).

        Without PMAP_CANFAIL a failure panics. Tables linked before a deeper one
        failed stay: a retry needs fewer. The resident count goes up before anything
        is allocated, and a failure does not take it down again. Without ``access`` (and not
        ``wired``) the hardware is not told: the first touch asks ``pmap_fault_fixup``. Of a
        mapping that is there already, neither is looked at.
        """
        await self.lock()
        self.called()
        slot, pted = self.pmap_vp_lookup(va)
        if slot is Slot.VALID:
            assert pted is not None
            if pted.pte == (page, write):
                self.failures.over(va)
                await self.unlock()
                return 0
            await self.pmap_remove_pted(va, pted)
            slot, pted = self.pmap_vp_lookup(va)
        self._count(1)
        made = pted or await self._new_pted(va)
        if isinstance(made, Cause):
            if not canfail:
                raise Panic(f"pmap_enter: {self.name}: failed to allocate for {va:#x}")
            say("pmap.fail", obj=self.name, va=hex(va), error="ENOMEM")
            self._failed(va)
            await self.unlock()
            return made if self.p.pmap_error == "cause" else ENOMEM
        await self.fill(va, made, (page, write), wired)
        if access or wired:
            await self._insert(va, made)
        self.failures.over(va)
        say("pmap.enter", obj=self.name, va=hex(va), page=page)
        await self.unlock()
        return 0

    @procedure
    def _failed(self, va: int) -> None:
        """Note for a check that ``va`` still lacks so much. Held: pm_mtx."""
        if self.failures.most >= 0:
            self.failures.again(va, self.missing(va))

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
        vp, loop = self.top, Loop()
        assert vp is not None
        for level in self._levels()[:-1]:
            loop.head(level, vp.address)
            child = self.table(vp, va, level)
            if child is None:
                got = await self.pools.ask_vp(False)
                if isinstance(got, Cause):
                    return got
                child = got
                self.link(vp, va, level, child)
            vp = child
        loop.head(vp.address)
        if pted is None:
            pted = vp.spare()
            pted.live = True
        self.link(vp, va, 3, pted)
        return pted

    @procedure
    async def fill(self, va: int, pted: Pted, pte: tuple[int, bool], wired: bool) -> None:
        """pmap_fill_pte, and the page's pv list: one descriptor more is valid. Held: pm_mtx."""
        pted.pte = pte
        self.slip -= 1
        if wired:
            pted.wired = True
            self.wired_count += 1
        if self.pools.pv is not None:
            await self.pools.pv.enter(pte[0], self, va, pted)

    @procedure
    async def _insert(self, va: int, pted: Pted) -> None:
        """pmap_pte_insert and the flush: the hardware knows what is valid. Held: pm_mtx."""
        if self.mmu is not None:
            assert pted.pte is not None
            await self.mmu.pmap_pte_insert(va, *pted.pte)
            await self.mmu.ttlb_flush(va)

    @procedure
    async def pmap_remove_pted(self, va: int, pted: Pted) -> None:
        """Unhook a valid descriptor and free it. Held: pm_mtx."""
        self.assert_live(pted)
        self.resident_count -= 1
        # one valid descriptor fewer and one fewer counted: no slip, if it was valid
        if pted.pte is None:
            self.slip -= 1
        if pted.wired:
            pted.wired = False
            self.wired_count -= 1
        if self.mmu is not None:
            await self.mmu.pmap_pte_remove(va)
            await self.mmu.ttlb_flush(va)
        if self.pools.pv is not None and pted.pte is not None:
            await self.pools.pv.remove(pted.pte[0], pted)
        say("pmap.remove", obj=self.name, va=hex(va))
        await self._drop(va, pted)

    @procedure
    async def _drop(self, va: int, pted: Pted) -> None:
        """The end of pmap_remove_pted: the slot is empty, the descriptor free. Held: pm_mtx."""
        vp = self.top
        for level in self._levels()[:-1]:
            assert vp is not None
            vp = self.table(vp, va, level)
        assert vp is not None
        pted.pte = None
        vp.slots[index(va, 3)] = None
        await self.pools.put_pted(pted)
        if self.p.table_reclaim != "never":
            await self.reclaim(va, self.p.table_reclaim)

    @procedure
    async def pmap_remove(self, start: int, end: int) -> None:
        """Unmap [start, end): valid descriptors go, POPULATED ones stay, tables stay."""
        await self.lock()
        for va in range(start, end, PAGE_SIZE):
            slot, pted = self.pmap_vp_lookup(va)
            if slot is Slot.VALID and pted is not None:
                await self.pmap_remove_pted(va, pted)
                self.failures.over(va, for_all=True)
        await self.unlock()

    @procedure
    async def pmap_protect(self, start: int, end: int, prot: int) -> None:
        """What is valid in [start, end) becomes read-only, if ``prot`` has READ or EXEC (with
        WRITE or without: it never gives a right); else it is removed. Held: nothing."""
        if not prot & (PROT_READ | PROT_EXEC):
            await self.pmap_remove(start, end)
            return
        await self.lock()
        for va in range(start, end, PAGE_SIZE):
            slot, pted = self.pmap_vp_lookup(va)
            if slot is Slot.VALID and pted is not None:
                await self.pmap_page_ro(va, pted)
        await self.unlock()

    @procedure
    async def pmap_page_ro(self, va: int, pted: Pted) -> None:
        """A valid descriptor loses WRITE. Held: pm_mtx, or the pv mutex of its page."""
        self.assert_live(pted)
        assert pted.pte is not None
        pted.pte = (pted.pte[0], False)
        if self.mmu is not None:
            await self.mmu.pmap_pte_update(va)
            await self.mmu.ttlb_flush(va)

    @procedure
    async def pmap_unwire(self, va: int) -> None:
        """What is mapped at ``va`` is wired no longer; what is not valid is passed over."""
        await self.lock()
        slot, pted = self.pmap_vp_lookup(va)
        if slot is Slot.VALID and pted is not None and pted.wired:
            pted.wired = False
            self.wired_count -= 1
        await self.unlock()

    @procedure
    async def pmap_fault_fixup(self, va: int, write: bool) -> bool:
        """The trap handler's first try: if the mapping allows the access, tell the hardware.
        Nothing is allocated, and UVM is not asked. Held: nothing."""
        await self.lock()
        slot, pted = self.pmap_vp_lookup(va)
        fixed = False
        if slot is Slot.VALID and pted is not None and pted.pte is not None:
            fixed = pted.pte[1] or not write
        if fixed:
            assert pted is not None
            await self._insert(va, pted)
        await self.unlock()
        return fixed

    @procedure
    async def pmap_extract(self, va: int) -> int | None:
        """The page that ``va`` maps to, or ``None`` (FALSE)."""
        await self.lock()
        _, pted = self.pmap_vp_lookup(va)
        page = pted.pte[0] if pted is not None and pted.pte else None
        await self.unlock()
        return page

    @operation(event="pmap.reference")
    def pmap_reference(self) -> None:
        """One user more. Held: what keeps the present ones, such as the pv mutex of a page
        that is mapped."""
        self.refs += 1

    @operation(event="pmap.release")
    def _release(self) -> int:
        self.refs -= 1
        return self.refs

    @procedure
    async def pmap_destroy(self) -> None:
        """One user fewer; if that was the last, free every descriptor and table.

        Nobody else uses the pmap any more then; it runs without the lock, as in the
        kernel. A descriptor that is valid still stays on its page's pv list.
        """
        if self.pools.pv is not None and await self._release():
            return
        if self.mmu is not None:
            await self.mmu.leave()
        await self.free_all()
        self.slip, self.exact = 0, True
