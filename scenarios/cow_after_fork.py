"""Two processes write to one page after a fork, each through threads of its own.

The page is both's until one of them writes: the first copies the amap and then the page,
the last keeps it. Somebody locks the kernel map meanwhile, so that the copy may be made and
not mapped, and the fault comes round again. Nobody may lose what it wrote, nor see what
the other wrote.
"""

from kmodel import Machine, parameter, scenario

VA = 0x20_0000


@scenario
def cow_after_fork(
    m: Machine,
    writers: int = parameter(1, 1, 3, "threads of the parent that write to the page"),
    readers: int = parameter(0, 0, 3, "threads of the parent that read it"),
    holds: int = parameter(1, 0, 4, "times that kernel_map is locked meanwhile; 0: for ever"),
) -> None:
    m.watch_contents()
    parent = m.process("parent")
    m.resident(parent, VA)
    child = m.forked(parent, "child")
    for writer in range(writers):
        m.cpu("PQR"[writer], add_and_read, parent, writer + 1)
    for reader in range(readers):
        m.cpu("XYZ"[reader], read_twice, parent)
    m.cpu("C", add_and_read, child, 9)
    m.background("K", m.kernel_map.churn, holds or None)
    m.must("pages stay whole", "no stale map data", "a timestamp tells of every writer")
    m.sometimes("a page was copied before it was written to")
    m.sometimes("a NOWAIT get was refused by the map lock")


async def add_and_read(space, more: int) -> None:
    await space.add(VA, more)
    await space.load(VA)


async def read_twice(space) -> None:
    await space.load(VA)
    await space.load(VA)
