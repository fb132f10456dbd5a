"""Random programs for up to three CPUs, each run in every order, against a plain dict.

Rules only *queue* operations. At the end of an example the program is put on CPUs
and searched; each final state must be what some sequential order of the same
operations gives. Planted bugs show that this machine would notice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from pmaps import DISTANT, NEAR, VA, out, pmap
from worlds import Cell, look, stuck

from kmodel.explore.graph import Limits, Search
from kmodel.param import PAGE_SIZE, PROT_READ
from kmodel.pmap.pmap import Pmap
from kmodel.pmap.populate import pmap_populate
from kmodel.pmap.pte import Pted, Slot, index
from kmodel.point import operation, procedure
from kmodel.properties import CONSERVED, LINKED, NOT_MAPPED, ONE_INSTALLER, RIGHTS
from kmodel.shared import Atomic, shared

ADDRESSES = (VA, NEAR, DISTANT)
CPUS = "ABC"
MOST_OPERATIONS = 5
MOST_STATES = 20_000
EXAMPLES = 150


@attrs.frozen
class Operation:
    """One thing that a CPU does to the pmap."""

    what: str
    va: int
    page: int = 0

    async def apply(self, pm: Pmap) -> int | None:
        if self.what == "enter":
            return await pm.pmap_enter(self.va, self.page, True, canfail=True)
        if self.what == "remove":
            await pm.pmap_remove(self.va, self.va + PAGE_SIZE)
        elif self.what == "protect":
            await pm.pmap_protect(self.va, self.va + PAGE_SIZE, PROT_READ)
        elif self.what == "populate":
            await HOW.populate(pm, self.va)
        else:
            return await pm.pmap_extract(self.va)
        return None


@attrs.define
class How:
    """Which populate is tested; a planted one takes its place."""

    populate: Callable[[Pmap, int], Any] = pmap_populate


HOW = How()


# --- the specification: a dict, one operation after the other -----------------------------

Told = tuple[tuple[int | None, ...], ...]
"""What each CPU's operations returned."""
State = dict[int, Any]
"""Address -> page (below 0: read-only), or 0 for a populated slot; and region -> ``True`` if it
has a table."""


def specified(op: Operation, state: State) -> tuple[State, int | None]:
    after = dict(state)
    if op.what == "extract":
        return after, abs(state.get(op.va, 0)) or None
    if op.what == "protect":
        if after.get(op.va):
            after[op.va] = -abs(after[op.va])
        return after, None
    if op.what == "remove":
        if after.get(op.va):
            del after[op.va]
        return after, None
    after[region(op.va)] = True
    if op.what == "enter":
        after[op.va] = op.page
        return after, 0
    after.setdefault(op.va, 0)
    return after, None


def region(va: int) -> int:
    """The 2 MiB region of an address, told apart from an address by its sign."""
    return -(va >> 21)


def slots(state: State) -> tuple[tuple[Slot, int], ...]:
    """What the tables must say of each address."""
    said = []
    for va in ADDRESSES:
        if va in state:
            said.append((Slot.VALID if state[va] else Slot.POPULATED, state[va]))
        else:
            said.append((Slot.EMPTY if region(va) in state else Slot.NO_TABLE, 0))
    return tuple(said)


def sequential(programs: tuple[tuple[Operation, ...], ...]) -> set[tuple[Any, Told]]:
    """(slots, what was told) at the end of every sequential order."""
    return {(slots(state), told) for state, told in _orders(programs, {}, ((),) * len(programs))}


def _orders(
    programs: tuple[tuple[Operation, ...], ...], state: State, told: Told
) -> Iterator[tuple[State, Told]]:
    if not any(programs):
        yield state, told
    for cpu, program in enumerate(programs):
        if program:
            after, answer = specified(program[0], state)
            rest = (*programs[:cpu], program[1:], *programs[cpu + 1 :])
            more = (*told[:cpu], (*told[cpu], answer), *told[cpu + 1 :])
            yield from _orders(rest, after, more)


# --- the model, run in every order --------------------------------------------------------


@shared
class Finished:
    """How many CPUs are done; the last thing to run waits for all."""

    count: Atomic[int]

    def __init__(self) -> None:
        self.count = 0

    @operation(event="task.pause")
    def one(self) -> None:
        self.count += 1

    @operation(lambda self, cpus: self.count == cpus, event="task.pause")
    def all(self, cpus: int) -> None: ...


async def work(pm: Pmap, program: tuple[Operation, ...], told: Cell, finished: Finished) -> None:
    for op in program:
        answer = await op.apply(pm)
        told.value = (*told.value, answer)
    await finished.one()


async def conclude(pm: Pmap, cpus: int, seen: Cell, finished: Finished, destroy: bool) -> None:
    """When all are done: look at every slot, and destroy the pmap if that is asked."""
    await finished.all(cpus)
    said = []
    for va in ADDRESSES:
        slot, pted = pm.pmap_vp_lookup(va)
        page, write = (pted.pte if pted is not None else None) or (0, True)
        said.append((slot, page if write else -page))
    seen.value = tuple(said)
    if destroy:
        await pm.pmap_destroy()


def verify(programs: tuple[tuple[Operation, ...], ...], destroy: bool, whole: bool) -> None:
    """Search the program; compare every final state with the specification. ``whole``: with pv
    lists and the hardware's half."""
    m, pm = pmap(vp_stock=11, pted_stock=8, pv_lists=whole, tlb=whole)
    m.must(NOT_MAPPED, *([RIGHTS] if whole else []), ONE_INSTALLER, LINKED, CONSERVED)
    with m.world:
        seen, finished, told = Cell(), Finished(), [Cell(()) for _ in programs]
    for name, program, cell in zip(CPUS, programs, told):
        m.cpu(name, work, pm, program, cell, finished)
    m.cpu("end", conclude, pm, len(programs), seen, finished, destroy)
    found = Search(m.world, Limits(states=MOST_STATES))
    while found.advance(1000):
        pass
    graph = found.graph
    assert [wrong.message for wrong in graph.violations if wrong.judged] == []
    assert stuck(graph) == [] or not graph.complete
    allowed = sequential(programs)
    for number in range(len(graph)):
        if graph.final(number):
            end = look(graph, number, lambda: (seen.value, tuple(cell.value for cell in told)))
            assert end in allowed, f"no sequential order gives {end}"
            assert not destroy or look(graph, number, lambda: out(pm)) == (0, 0)


class Programs(RuleBasedStateMachine):
    """Queue operations; the teardown runs them."""

    def __init__(self) -> None:
        super().__init__()
        self.programs: dict[str, list[Operation]] = {}
        self.destroy = self.whole = False

    @initialize(destroy=st.booleans(), whole=st.booleans())
    def begin(self, destroy: bool, whole: bool) -> None:
        self.destroy, self.whole = destroy, whole

    @precondition(lambda self: sum(map(len, self.programs.values())) < MOST_OPERATIONS)
    @rule(
        cpu=st.sampled_from(CPUS),
        what=st.sampled_from(["enter", "remove", "populate", "extract", "protect"]),
        va=st.sampled_from(ADDRESSES),
        page=st.integers(1, 2),
    )
    def queue(self, cpu: str, what: str, va: int, page: int) -> None:
        self.programs.setdefault(cpu, []).append(Operation(what, va, page))

    def teardown(self) -> None:
        if self.programs:
            programs = tuple(tuple(self.programs[cpu]) for cpu in sorted(self.programs))
            verify(programs, self.destroy, self.whole)


BUDGET = settings(
    max_examples=EXAMPLES,
    stateful_step_count=MOST_OPERATIONS + 1,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def test_every_order_ends_as_some_sequential_order_does():
    """What CPUs do to a pmap at once looks as if they had done it one after the other."""
    run_state_machine_as_test(Programs, settings=BUDGET)


# --- planted bugs ---------------------------------------------------------------------------


async def remove_and_keep(self: Pmap, va: int, pted: Pted) -> None:
    """Planted: the descriptor is unhooked, and not given back."""
    self.resident_count -= 1
    vp = self.top
    for level in (1, 2):
        vp = self.table(vp, va, level)
    vp.slots[index(va, 3)] = None


def lookup_any(self: Pmap, va: int) -> tuple[Slot, Pted | None]:
    """Planted: a descriptor in its slot counts as valid, whatever it holds."""
    slot, pted = LOOKUP(self, va)
    return (Slot.VALID if slot is Slot.POPULATED else slot), pted


LOOKUP = Pmap.pmap_vp_lookup


@procedure
async def populate_from_memory(pm: Pmap, va: int) -> None:
    """Planted: an empty slot is looked at before the sleep, and not again after it."""
    await pm.lock()
    slot, _ = pm.pmap_vp_lookup(va)
    await pm.unlock()
    if slot is not Slot.EMPTY:
        await pmap_populate(pm, va)
        return
    pted = await pm.pools.get_pted(True)
    await pm.lock()
    vp = pm.top
    for level in (1, 2):
        vp = pm.table(vp, va, level)
    vp.slots[index(va, 3)] = pted
    await pm.unlock()


@pytest.mark.parametrize(
    ("owner", "name", "planted"),
    [
        (Pmap, "pmap_remove_pted", remove_and_keep),
        (Pmap, "pmap_vp_lookup", lookup_any),
        (HOW, "populate", populate_from_memory),
    ],
    ids=["descriptor kept", "populated is valid", "slot not read again"],
)
def test_the_machine_finds_a_planted_bug(monkeypatch, owner, name, planted):
    """Each is found within the number of examples that the machine is given."""
    monkeypatch.setattr(owner, name, planted)
    found = settings(BUDGET, phases=[Phase.generate], report_multiple_bugs=False)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(Programs, settings=found)
