"""A pool's idle page goes back just while a fault needs one, and addresses are short.

A page that has been idle for more than eight seconds is freed by the collector, which runs
each second: out of the pool first, then, once it has kernel_map's lock, its addresses. A
fault that comes in between finds neither the item nor an address. It queues at the pool;
the collector frees the addresses and wakes nobody.
"""

from kmodel import Machine, parameter, scenario

REGION = 0x20_0000


@scenario(pool_recycle=True, kva_pages=6, km_pages=6, npages=40, vp_stock=1)
def idle_pages(
    m: Machine,
    cpus: int = parameter(1, 1, 4, "CPUs that fault, each in a region of its own"),
    seconds: int = parameter(9, 0, 60, "seconds that pass in all, nine a step"),
) -> None:
    space = m.process(threads=cpus)
    for cpu in range(cpus):
        m.cpu("ABCD"[cpu], touch_and_exit, space, REGION * (1 + cpu))
    m.time("T", seconds, 9)
    m.must("each page is in one place", "nfail counts each NULL", "a pool's waiter is served")
    m.sometimes("the collector gave an idle page back")


async def touch_and_exit(space, va: int) -> None:
    await space.fault(va, write=True)
    await space.exit()
