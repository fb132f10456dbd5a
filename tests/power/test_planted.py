"""Each planted bug is found by a search, within a budget, by a run of a stated size."""

import pytest
from planted import BUGS, plant
from stories import judged, write

from kmodel.explore.graph import Limits

WORLDS = {
    "contended": '''"""Two fault, in a region each, while somebody takes the kernel map."""
from kmodel import Machine, scenario


@scenario
def contended(m: Machine) -> None:
    space = m.process()
    m.cpu("A", space.fault(0x20_0000))
    m.cpu("B", space.fault(0x40_0000))
    m.background("K", m.kernel_map.churn())
''',
    "one page": '''"""Two fault on one page while somebody takes the kernel map."""
from kmodel import Machine, scenario


@scenario
def one_page(m: Machine) -> None:
    space = m.process()
    m.cpu("A", space.fault(0x20_0000))
    m.cpu("B", space.fault(0x20_0000))
    m.background("K", m.kernel_map.churn())
''',
    "populated": '''"""A page is mapped whose address was populated before."""
from kmodel import Machine, scenario
from kmodel.pmap.populate import pmap_populate


async def map_populated(space):
    await pmap_populate(space.pmap, 0x20_0000)
    await space.fault(0x20_0000)


@scenario
def populated(m: Machine) -> None:
    m.cpu("A", map_populated, m.process())
''',
    "unmapping": '''"""One populates an address, another maps its neighbour and unmaps it again."""
from kmodel import Machine, scenario
from kmodel.pmap.populate import pmap_populate


async def map_and_unmap(space):
    await space.pmap.pmap_enter(0x20_1000, 1, True, canfail=True)
    await space.pmap.pmap_remove(0x20_1000, 0x20_2000)


@scenario
def unmapping(m: Machine) -> None:
    space = m.process()
    m.cpu("A", pmap_populate, space.pmap, 0x20_0000)
    m.cpu("B", map_and_unmap, space)
''',
}


def broken(tmp_path, world, states):
    """What a search for that many states finds: (kind, message) -> finding."""
    path = write(tmp_path, WORLDS[world])
    found = judged(path, "populate", limits=Limits(states=states)).found
    broken_ones = [*found.violated, *found.racing, *found.inverted]
    return {(one.kind, one.message): one for one in broken_ones}, found.graph


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_is_found(bug, tmp_path, monkeypatch):
    """As what it is, within its budget of states, by a run no longer than stated."""
    plant(monkeypatch, bug)
    found, _ = broken(tmp_path, bug.world, bug.states)
    shown = [
        finding
        for (kind, message), finding in found.items()
        if kind == bug.kind and bug.message in message
    ]
    assert shown, sorted(found)
    assert min(len(finding.stem or b"") for finding in shown) <= bug.steps
    assert min(finding.preemptions for finding in shown) <= bug.preemptions


@pytest.mark.parametrize("world", WORLDS)
def test_the_kernel_itself_has_none_of_them(world, tmp_path):
    """Searched to the end, the same worlds show nothing but the kernel's own slip."""
    found, graph = broken(tmp_path, world, 100_000)
    assert graph.complete
    assert {message.split(" of ")[0] for _, message in found} <= {"resident_count"}
    assert world != "populated" or not found
