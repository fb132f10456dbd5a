"""Two CPUs fault fresh pages of one process while a third keeps the kernel map busy.

The situation of the thread: memory is plentiful, swap is not full, and the vp
pool is empty, so that ``pmap_enter`` must make page-table pages while somebody
locks, holds and unlocks the kernel map for ever. Each fault lies in a 2 MiB
region of its own.
"""

from kmodel import Machine, parameter, scenario

REGION = 0x20_0000


@scenario
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
