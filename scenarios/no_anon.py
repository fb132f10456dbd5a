"""A fault finds no anon, with memory plentiful: the thread's pattern, in another pool.

The anons' pool has none left and may not sleep; its page needs an address of the one-page stock,
which is empty; and the thread that refills the stock sleeps for the kernel map's lock. As with
``pmap_enter`` the fault is told only that there is none. It unlocks all, gets an anon with
PR_WAITOK, puts it straight back (uvm_anwait) and starts again; a thief may have taken it by then.
With ``no_anon=wait`` it waits for memory, which is there, as a fault whose ``pmap_enter`` failed.
"""

from kmodel import Machine, parameter, scenario

REGION = 0x20_0000


@scenario(
    anon_stock=0,
    km_lowat=1,
    km_pages=6,
    kva_pages=12,
    npages=48,
    entry_stock=8,
    pted_stock=8,
    vp_stock=4,
    header_stock=8,
)
def no_anon(
    m: Machine,
    cpus: int = parameter(1, 1, 3, "CPUs that fault once, each in a process of its own"),
    thefts: int = parameter(0, 0, 4, "anons that a thief takes, as others do who need some"),
    holds: int = parameter(1, 0, 4, "times that kernel_map is locked meanwhile; 0: for ever"),
) -> None:
    for cpu in range(cpus):
        m.cpu("ABC"[cpu], m.process().fault, REGION)
    if thefts:
        m.cpu("T", steal, m.kernel.anons, thefts)
    m.background("K", m.kernel_map.churn, holds or None)
    m.must("nobody waits for what is there")
    m.sometimes("a fault found no anon")


async def steal(anons, many: int) -> None:
    taken = [await anons.uvm_analloc() for _ in range(many)]
    for anon in taken:
        if anon is not None:
            await anons.pool.put(anon)
