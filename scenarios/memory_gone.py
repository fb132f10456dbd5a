"""CPUs touch memory of processes of their own when no page is free beyond the reserve.

An idle process has pages that could be written to swap, if swap has room; so may those
that fault have pages of their own. A process that gets ENOMEM is killed, and what it had is
given back. What is touched was never touched before, or its page is on swap alone.
"""

from typing import Literal

from kmodel import Machine, parameter, scenario

VA = 0x20_0000
OWN = 0x40_0000
IDLE = 0x60_0000


@scenario
def memory_gone(
    m: Machine,
    cpus: int = parameter(2, 1, 4, "CPUs that fault, each in a process of its own"),
    idle: int = parameter(3, 0, 16, "pages of an idle process that could be paged out"),
    own: int = parameter(0, 0, 16, "pages of its own that each process has already"),
    touch: Literal["fresh", "swapped"] = parameter(
        "fresh", text="what is touched: a page that never was before, or one that is on swap"
    ),
) -> None:
    for cpu in range(cpus):
        space = m.process(threads=1)
        if touch == "swapped":
            m.on_swap(space, VA)
        for page in range(own):
            m.resident(space, OWN + page * 0x1000)
        m.cpu("ABCD"[cpu], touch_and_exit, space, VA)
    if idle:
        owner = m.process("idle")
        for page in range(idle):
            m.resident(owner, IDLE + page * 0x1000)
    m.must("nobody waits for what is there")
    m.sometimes("too few pages were free")


async def touch_and_exit(space, va: int) -> None:
    await space.fault(va, write=True)
    await space.exit()
