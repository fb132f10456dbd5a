"""Two CPUs fault fresh pages of one process while a third keeps the kernel map busy.

The situation of the thread: memory is plentiful, swap is not full, and the vp
pool is empty, so that ``pmap_enter`` must make page-table pages while somebody
locks, holds and unlocks the kernel map for ever. Each fault lies in a 2 MiB
region of its own. The stocks grow with the number of faults, so that nothing is short
but the lock.
"""

from kmodel import Machine, parameter, scenario

REGION = 0x20_0000


def stock(each: int, more: int = 0, most: int = 1000):
    """So many for each fault, of two at least."""
    return lambda cpus, faults: min(each * max(cpus * faults, 2) + more, most)


@scenario(
    npages=stock(32),
    kva_pages=stock(10, 4),
    kmem_pages=stock(8),
    km_pages=stock(4, most=64),
    entry_stock=stock(2),
    header_stock=stock(2, 4),
    pted_stock=stock(2),
    anon_stock=stock(2),
)
def contended_kernel_map(
    m: Machine,
    cpus: int = parameter(2, 1, 6, "CPUs that fault"),
    faults: int = parameter(1, 1, 4, "faults that each of them takes, one after the other"),
) -> None:
    space = m.process()
    for cpu in range(cpus):
        first = REGION * (1 + cpu * faults)
        m.cpu("ABCDEF"[cpu], several, space, first, faults)
    m.background("K", m.kernel_map.churn())
    m.sometimes("a NOWAIT get was refused by the map lock")


async def several(space, first: int, faults: int) -> None:
    for turn in range(faults):
        if await space.fault(first + turn * REGION, write=True):
            return  # killed
