"""A process forks while another thread of it writes to memory.

The fork takes the right to write away from what is mapped, and from then on either process
copies what it writes. What the child reads is what the page held at the fork; a write of the
parent's other thread comes before that or after it, never half.
"""

from kmodel import Machine, parameter, scenario

VA = 0x20_0000


@scenario
def fork_meanwhile(
    m: Machine,
    writes: int = parameter(1, 1, 4, "writes of the parent's other thread"),
    pages: int = parameter(1, 1, 4, "pages that it writes to in turn"),
) -> None:
    m.watch_contents()
    parent = m.process("parent", threads=2)
    for page in range(pages):
        m.resident(parent, VA + page * 0x1000, mapped=True)
    child = m.child(parent, "child", threads=1)
    m.cpu("W", write, parent, writes, pages)
    m.cpu("F", fork, parent, child)
    m.cpu("C", read_twice, child, pages)
    m.must("pages stay whole", "no stale map data", "a timestamp tells of every writer")
    m.sometimes("an amap was copied")
    m.sometimes("a page was copied before it was written to")


async def write(space, writes: int, pages: int) -> None:
    for number in range(writes):
        await space.add(VA + number % pages * 0x1000, number + 1)
    await space.exit()


async def fork(parent, child) -> None:
    await parent.fork(child)
    await parent.exit()


async def read_twice(space, pages: int) -> None:
    await space.begin()
    for page in range(2 * pages):
        await space.load(VA + page % pages * 0x1000)
    await space.exit()
