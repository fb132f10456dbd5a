"""A thread unmaps an address and maps it again while others of its process fault on it.

Somebody locks the kernel map meanwhile, so that faults fail and wait with no lock held:
what they found before may be gone when they come back. A fault that finds the address
unmapped ends in SIGSEGV: that is the program's own doing.
"""

from kmodel import Machine, parameter, scenario
from kmodel.point import Loop

VA = 0x20_0000


@scenario
def unmapped_meanwhile(
    m: Machine,
    cpus: int = parameter(1, 1, 4, "CPUs that fault on the address"),
    rounds: int = parameter(1, 0, 4, "times that it is unmapped and mapped; 0: for ever"),
    holds: int = parameter(1, 0, 4, "times that kernel_map is locked meanwhile; 0: for ever"),
) -> None:
    space = m.process()
    for cpu in range(cpus):
        m.cpu("ABCD"[cpu], space.fault, VA)
    if rounds:
        m.cpu("U", several, space, rounds)
        m.sometimes("munmap or exit took pages away")
    else:
        # a fault that is never restarted is over, and with it the run, before its page goes
        m.background("U", for_ever, space)
        m.sometimes("a fault found its address unmapped")
    m.background("K", m.kernel_map.churn, holds or None)
    m.must("populated is not mapped")
    m.sometimes("a NOWAIT get was refused by the map lock")


async def several(space, rounds: int) -> None:
    for _ in range(rounds):
        await space.munmap(VA, VA + 0x1000)
        await space.mmap()


async def for_ever(space) -> None:
    loop = Loop()
    while True:
        loop.head()
        await several(space, 1)
