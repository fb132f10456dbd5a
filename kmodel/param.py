"""Limits and sizes of the modelled machine, and how they relate.

Small on purpose: the questions are about order, and every page more multiplies
the states. All relations are checked at once, before anything is built.
"""

from __future__ import annotations

from typing import Any, Final

import attrs

PAGE_SHIFT: Final = 12
PAGE_SIZE: Final = 1 << PAGE_SHIFT
PROT_NONE, PROT_READ, PROT_WRITE, PROT_EXEC = 0, 1, 2, 4
MAX_CPUS: Final = 16
"""What is kept for each CPU has so many cells."""
STOCK_ITEMS: Final = 4
"""Items on a page of the pools that have a stock; many more on the real machine, and few
here, so that a pool runs out within a small run."""
STOCKS: Final = ("entry_stock", "header_stock", "pted_stock", "anon_stock")


def _at_least(low: int, high: int) -> list[Any]:
    return [attrs.validators.ge(low), attrs.validators.le(high)]


def size(default: int, low: int, high: int, text: str) -> int:
    """A whole-number parameter with its range and one line that says what it is."""
    field: int = attrs.field(
        default=default,
        validator=_at_least(low, high),
        metadata={"range": (low, high), "text": text},
    )
    return field


def choice(default: str, options: tuple[str, ...], text: str) -> str:
    """A parameter with a few named values."""
    field: str = attrs.field(
        default=default,
        validator=attrs.validators.in_(options),
        metadata={"options": options, "text": text},
    )
    return field


def words(text: str) -> str:
    """A parameter that is text: by default none. Who takes it says what it may be."""
    field: str = attrs.field(default="", metadata={"text": text})
    return field


def switch(text: str) -> bool:
    """A parameter that is off unless said otherwise."""
    field: bool = attrs.field(default=False, metadata={"text": text})
    return field


@attrs.frozen(kw_only=True)
class KernelParams:
    """The modelled machine. Every scenario has these parameters beside its own."""

    lap: str = choice(
        "wakes",
        ("wakes", "silent", "counts"),
        "page-daemon lap with no shortage: wakes uvm_wait sleepers (1.101, 1.148) or not (1.137); "
        "or it counts them, and does not sleep while there are any (1.157, of a fork)",
    )
    rwlock: str = choice(
        "wake-all",
        ("wake-all", "wake-one-writer", "hand-off"),
        "sleeping locks: kern_rwlock.c 1.48-1.50, 1.58, or a hypothetical FIFO hand-off",
    )
    rwlock_spins: int = size(
        0, 0, 8, "times that a try of kernel_map's lock looks again while a writer has it"
    )
    mutex: str = choice(
        "spin",
        ("spin", "park"),
        "mutexes: spinning in no order (before December 2025), or first come first served (1.85)",
    )
    churn: str = choice(
        "hold",
        ("hold", "alloc", "read", "wire"),
        "what a kernel-map churner does under the lock: only hold it, take and give a range, hold "
        "it as a reader, or let it go and keep the map busy (vm_map_busy)",
    )
    pool_memory: str = choice(
        "kernel_map",
        ("kernel_map", "intrsafe", "direct"),
        "where page-table pages get addresses: kernel_map, interrupt-safe map, or a direct map "
        "(then single pages have one too)",
    )
    pmap_pools: str = choice(
        "pool",
        ("pool", "wrapper", "inline", "reserved"),
        "pmap's pools: as they are, a thin wrapper over pages, descriptors inside the tables, or "
        "NOWAIT gets served from what the thread took before",
    )
    pmap_error: str = choice(
        "errno", ("errno", "cause"), "what a failing pmap_enter returns: ENOMEM, or why"
    )
    daemon_refill: str = choice(
        "waitok",
        ("waitok", "trylock"),
        "daemon-refill: how the page daemon allocates for pools",
    )
    no_anon: str = choice(
        "anwait",
        ("anwait", "wait"),
        "a fault without an anon: uvm_anwait (get one with WAITOK, put it back), or, as no kernel, "
        "uvm_wait, as where pmap_enter fails",
    )
    uvm_fault: str = choice(
        "1.165",
        ("1.165", "1.171", "1.173"),
        "uvm_fault.c: 1.165; 1.171 upgrades the map's lock for needs-copy; 1.173 also locks amaps "
        "and objects for reading until something must change",
    )
    neighbours: int = size(
        0, 0, 4, "pages that a fault maps ahead on either side (the kernel: 3 back, 4 forward)"
    )
    map_busy: bool = switch("mlock keeps its process's map busy while it wires (vm_map_busy)")
    amap_chunks: bool = switch("a slot of an amap needs a chunk, which may have to be allocated")
    refill_items: int = size(1, 1, 16, "refill, daemon-refill: items that a refill aims at")
    retry_free: int = size(
        0, 0, 4096, "lock-retry: pages that must be free beyond what an allocation leaves alone"
    )
    kmem_pages: int = size(16, 0, 256, "pages of the interrupt-safe map left for the pools")
    kmem_entries: int = size(
        0, 0, 16, "map entries in that map's static list at the start; 0: as many as it needs"
    )
    pool_cache: int = size(
        0, 0, 8, "items in a list of the pmap pools' per-CPU caches, two a CPU; 0 is none"
    )
    pool_recycle: bool = switch(
        "pmap's pools give idle pages back (but vp's those of kernel_map only), as time passes: a "
        "story says how much"
    )
    pool_hiwat: int = size(8, 0, 8, "pool_recycle: idle pages a pool keeps (pr_maxpages)")
    pool_lowat: int = size(
        0, 0, 8, "pool_recycle: idle pages that the collector leaves a pmap pool (pr_minpages)"
    )
    page_cache: int = size(
        0, 0, 8, "pages in a magazine of the per-CPU page caches, two a CPU; 0 is none"
    )
    npages: int = size(64, 4, 4096, "physical pages")
    fragmented: bool = switch("every second page that boot left free is somebody else's, for good")
    pv_lists: bool = switch(
        "pages know where they are mapped (pv lists), and users of a pmap are counted: what "
        "pmap_page_protect needs"
    )
    kernel_pmap: bool = switch(
        "the kernel's own pmap is modelled: kernel_map's addresses are entered in it, and it grows"
    )
    kva_boot: int = size(
        256, 0, 256, "pages of kernel_map that have descriptors at boot (kernel_pmap)"
    )
    tlb: bool = switch("the hardware's half of page tables, and what TLBs remember, is modelled")
    table_reclaim: str = choice(
        "never",
        ("never", "last", "all"),
        "page tables that become empty are freed at once: none (as in the kernel), those of the "
        "last level, or all but the top one",
    )
    pageout: bool = switch(
        "the page daemon writes pages to swap; off, nothing is on the page queues"
    )
    buffers: int = size(0, 0, 64, "pages of the buffer cache, which laps of the page daemon shed")
    reserve_kernel: int = size(2, 0, 64, "pages only the kernel may take")
    reserve_pagedaemon: int = size(1, 0, 64, "pages only the page daemon may take")
    kva_pages: int = size(24, 0, 256, "pages of kernel_map's address space left for the pools")
    swap_pages: int = size(100, 0, 1 << 20, "swap slots")
    swap_used: int = size(0, 0, 1 << 20, "swap slots that hold pages found only there")
    swap_broken: bool = switch("reads from swap fail: an I/O error")
    levels: int = size(3, 3, 4, "page-table levels (arm64 user pmaps have 3)")
    index_bits: int = size(9, 1, 9, "bits of each page-table index")
    watch_nowait: bool = switch(
        "note who is in a NOWAIT request, for the check that none of them sleeps"
    )
    must: str = words(
        "properties to check beside those that the story asks for, by name, a comma between two "
        "(kmodel list --properties)"
    )
    most: int = size(-1, -1, 64, "must: a bound other than a property's own; -1: its own")
    vp_stock: int = size(0, 0, 64, "page-table items in the vp pool at the start")
    pted_stock: int = size(4, 0, 64, "descriptors in the pted pool at the start")
    anon_stock: int = size(4, 0, 64, "anons in their pool at the start")
    amap_stock: int = size(4, 0, 64, "amaps in their pool at the start, where a story needs any")
    chunk_stock: int = size(4, 0, 64, "amap chunks in their pool at the start, likewise")
    entry_stock: int = size(4, 0, 64, "kernel_map entries in their pool at the start")
    header_stock: int = size(8, 0, 64, "pool page headers in phpool at the start")
    km_pages: int = size(8, 0, 64, "one-page kernel addresses in the uvm_km_pages stock")
    km_lowat: int = size(
        0,
        0,
        16,
        "addresses below which a thread refills that stock, to 4 times so many; 0: none "
        "(with a direct map there is no stock)",
    )
    km_batch: int = size(2, 1, 16, "addresses that this thread takes at a time (16 in the kernel)")

    @property
    def own_singles(self) -> bool:
        """Do one-page addresses come and go, as ranges of kernel_map?"""
        return self.pool_memory != "direct" and (self.pool_recycle or self.km_lowat > 0)


def contradictions(p: KernelParams, processes: int = 0) -> list[str]:
    """What no machine can be, one sentence each; with so many ``processes``, what it could not
    hold either."""
    wrong: list[str] = []
    if p.pool_memory == "intrsafe" and p.pmap_pools == "wrapper":
        wrong.append(
            "pool_memory=intrsafe and pmap_pools=wrapper: no wrapper over that map is modelled"
        )
    if p.pool_memory != "kernel_map" and p.kernel_pmap:
        wrong.append(
            f"pool_memory={p.pool_memory} and kernel_pmap: only kernel_map's addresses are entered "
            "in the kernel's pmap"
        )
    if p.uvm_fault == "1.173" and p.pageout:
        wrong.append(
            "uvm_fault=1.173 and pageout: page queues under a lock that is only read-locked are "
            "not modelled"
        )
    if p.reserve_kernel >= p.npages:
        wrong.append(f"reserve_kernel ({p.reserve_kernel}) must be below npages ({p.npages})")
    if p.reserve_pagedaemon > p.reserve_kernel:
        wrong.append(
            f"reserve_pagedaemon ({p.reserve_pagedaemon}) must not exceed reserve_kernel "
            f"({p.reserve_kernel})"
        )
    if p.swap_used > p.swap_pages:
        wrong.append(f"swap_used ({p.swap_used}) must not exceed swap_pages ({p.swap_pages})")
    return wrong + _too_small(p, processes)


def _too_small(p: KernelParams, processes: int) -> list[str]:
    """What the stocks at the start take, and the top table of each process, where there is less
    of it. What a process has touched takes more."""
    pages = {name: -(-getattr(p, name) // STOCK_ITEMS) for name in STOCKS}
    keeps = p.pmap_pools != "wrapper"
    single, tables = sum(pages.values()), p.vp_stock * keeps + processes
    takers = "vp_stock" + " and a process" * bool(processes)
    whole = " and ".join((*STOCKS, takers, *["buffers"] * bool(p.buffers)))
    needs = [("npages", single + 2 * tables + p.buffers, whole)]
    if p.pool_memory != "direct":
        needs.append(("km_pages", single, " and ".join(STOCKS)))
    if p.pool_memory == "kernel_map":
        needs.append(("kva_pages", 2 * tables, takers))
        needs.append(("entry_stock", tables, takers))
    if p.kernel_pmap:
        needs.append(("kva_boot", 2 * tables, takers))
    if p.pool_memory == "intrsafe":
        needs.append(("kmem_pages", 2 * tables, takers))
    needs.append(("header_stock", tables * keeps, takers))
    return [
        f"{name} ({getattr(p, name)}) is less than the {need} that {takers} take at boot"
        for name, need, takers in needs
        if (pages[name] * STOCK_ITEMS if name in pages else getattr(p, name)) < need
    ]
