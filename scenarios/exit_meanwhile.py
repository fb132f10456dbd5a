"""A process exits while other threads of it are in a fault.

A thread that is in a fault does not look at signals: it ends its fault, and then goes. The
last one to go frees the address space. Somebody locks the kernel map meanwhile, so that
faults fail and wait with no lock held.
"""

from kmodel import Machine, parameter, scenario

REGION = 0x20_0000


@scenario
def exit_meanwhile(
    m: Machine,
    cpus: int = parameter(2, 1, 4, "CPUs that fault"),
    holds: int = parameter(1, 0, 4, "times that kernel_map is locked meanwhile; 0: for ever"),
) -> None:
    space = m.process(threads=cpus + 1)
    for cpu in range(cpus):
        m.cpu("ABCD"[cpu], touch_and_exit, space, REGION * (1 + cpu))
    m.cpu("X", space.exit)
    m.background("K", m.kernel_map.churn, holds or None)
    m.sometimes("a NOWAIT get was refused by the map lock")
    m.sometimes("the last thread of a process freed its address space")


async def touch_and_exit(space, va: int) -> None:
    await space.fault(va, write=True)
    await space.exit()
