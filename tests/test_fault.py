"""A page fault: what it returns, what it keeps over a restart, and where it waits."""

import pytest
from facts import fact
from worlds import Steered, alone, at_end, boot, everywhere, marks, run, search, stuck

from kmodel import fixes
from kmodel.fault import EFAULT, Kernel, Space
from kmodel.fixes import Fix
from kmodel.machine import Machine
from kmodel.param import PAGE_SIZE, KernelParams
from kmodel.pmap.pmap import ENOMEM
from kmodel.pmap.pte import Slot
from kmodel.sync.channel import assert_nothing_held
from kmodel.world import curcpu

VA = 0x20_0000

NEVER_REFUSED = ("intrsafe", "direct", "reserve")
"""Fixes with which no pmap_enter depends on the lock of kernel_map."""

REFUSED = [name for name in fixes.names() if name not in NEVER_REFUSED]


def contended(fix, **params):
    """One fault in a machine whose kernel map somebody keeps taking."""
    m = boot(fix, **params)
    space = m.process()
    m.cpu("A", space.fault, VA)
    m.background("K", m.kernel_map.churn)
    m.finish()
    return m, space


def held_map(fix, **params):
    """The same, stopped where K holds the kernel map."""
    m, space = contended(fix, **params)
    steered = Steered(m.world)
    steered.go("pagedaemon")
    steered.until("K", "lock.release")
    return m, space, steered


# --- results ------------------------------------------------------------------------------


@fact(
    "A fault outside the map is EFAULT before any lock is taken; the trap handler makes it SIGSEGV",
    "uvm_fault.c 1.165 uvm_fault_check, trap.c 1.54",
)
@pytest.mark.parametrize("va", [0, PAGE_SIZE - 1, 1 << 39, 1 << 40])
def test_an_address_outside_the_map_is_efault(va):
    """The range test comes before any lock: nothing is taken, and the signal is SIGSEGV."""
    m = boot()
    space = m.process()
    m.cpu("A", space.fault, va)
    found = run(m.world)
    assert found.results["A"] == EFAULT
    assert found.named("fault.end")[0]["signal"] == "SIGSEGV"
    assert found.named("lock.acquire") == []


@fact(
    "A kernel-mode fault with an error goes to its recovery address, and panics if there is none",
    "trap.c 1.54",
)
@pytest.mark.parametrize("recovery", [True, False])
def test_a_fault_of_the_kernel_kills_nobody(recovery):
    """copyin returns EFAULT, whatever the error was; without a recovery address, a panic."""
    m = boot(anon_stock=0, km_pages=4, swap_pages=0)
    space = m.process()
    m.cpu("A", space.kernel_fault, VA, True, recovery)
    found = run(m.world)
    assert [f["error"] for f in found.named("fault.end")] == [ENOMEM]
    assert not space.killed_for_nothing
    if recovery:
        assert found.results["A"] == EFAULT
    else:
        assert found.outcome.kind == "panic"
        assert "error 12" in found.outcome.message


def test_a_fault_of_the_kernel_maps_the_page_as_any_does():
    m = boot()
    space = m.process()
    assert alone(m.world, space.kernel_fault, VA, True, False) == 0
    assert space.pmap.pmap_vp_lookup(VA)[0] is Slot.VALID


@fact(
    "A fault on a mapping with neither amap nor object unlocks and is EFAULT",
    "uvm_fault.c 1.165 uvm_fault_check",
)
@pytest.mark.parametrize("write", [False, True])
def test_a_mapping_with_nothing_behind_it_is_efault(write):
    m = boot()
    space = m.process()
    space.map.entries[0].amap = None
    assert alone(m.world, space.fault, 0x20_0000, write) == EFAULT
    assert m.world.tasks[0].cpu.held == ()


@fact(
    "Without an anon and an object a fault promotes: a new anon with a zeroed page",
    "uvm_fault.c 1.165 uvmfault_promote",
)
def test_a_fault_maps_a_zero_filled_page():
    """One anon with one page is made, and the pmap maps that page, whatever was in it before."""
    m = boot()
    m.watch_contents()
    for page in range(m.params.npages):
        m.kernel.contents.store(page, 7)
    space = m.process()

    async def touch():
        error = await space.fault(VA)
        anon = space.map.amap.lookup(VA // PAGE_SIZE)
        return error, anon is not None and anon[1] == await space.pmap.pmap_extract(VA)

    assert alone(m.world, touch) == (0, True)
    assert m.kernel.anons.pool.nout == 1
    assert m.kernel.contents.value(("page", space.map.amap.lookup(VA // PAGE_SIZE).page)) == 0


@fact(
    "A page that is there already is mapped again, not made again (case 1A)",
    "uvm_fault.c 1.165 uvm_fault_upper",
)
def test_faulting_twice_uses_the_same_page():
    """The second fault finds the anon of the first, and the mapping as it is."""
    m = boot()
    space = m.process()

    async def touch():
        await space.fault(VA)
        first = space.map.amap.slots.used
        await space.fault(VA)
        return first == space.map.amap.slots.used

    assert alone(m.world, touch) is True


@pytest.mark.parametrize("fix", fixes.names())
def test_two_cpus_fault_on_one_page(fix):
    """In every order both succeed, and one page is there once."""
    m = boot(fix)
    space = m.process()
    m.cpu("A", space.fault, VA)
    m.cpu("B", space.fault, VA)
    graph = search(m.finish())
    assert stuck(graph) == []
    assert graph.violations == []
    ends = at_end(graph, lambda: (len(space.map.amap.slots.used), space.pmap.pmap_vp_lookup(VA)[0]))
    assert ends == {(1, Slot.VALID)}


@fact(
    "uvm_swapisfull: swpgonly >= swpages * 99 / 100, in whole numbers",
    "uvm_swap.c uvm_swapisfull",
)
@pytest.mark.parametrize(("used", "full"), [(98, False), (99, True), (100, True)])
def test_swap_is_full_at_99_percent(used, full):
    """uvm_swapisfull is integer arithmetic on the slots."""
    assert boot(swap_used=used).kernel.swap.full() is full


@fact(
    "A machine without swap has its swap full",
    "uvm_swap.c uvm_swapisfull",
)
def test_no_swap_at_all_counts_as_full():
    """With nothing to page out to, a failure is a failure."""
    assert boot(swap_pages=0).kernel.swap.full()


@fact(
    "When pmap_enter fails, swap is asked before anything else: full is ENOMEM, and SIGKILL",
    "uvm_fault.c 1.165 uvm_fault_upper",
)
@pytest.mark.parametrize("fix", REFUSED)
def test_a_failure_with_swap_full_is_enomem(fix):
    """The swap test comes before any fix: the process is killed at its first failure."""
    m, _, steered = held_map(fix, swap_used=100)
    steered.go("A")
    assert steered.outcome is not None
    (end,) = [fields for _, event, fields in steered.events if event == "fault.end"]
    assert (end["error"], end["signal"]) == (ENOMEM, "SIGKILL")
    assert m.kernel.pmap_pools.vp_pool.fails.nfail == 1


@fact(
    "A promotion that gets no anon asks swap too, and leaves nothing in the amap",
    "uvm_fault.c 1.165 uvmfault_promote",
)
def test_no_anon_with_swap_full_is_enomem():
    """A failed promotion is treated alike, and leaves nothing in the amap. What is short
    here is addresses: the kill is reported as one for nothing."""
    m = boot(anon_stock=0, km_pages=4, swap_used=100)
    space = m.process()
    m.cpu("A", space.fault, VA)
    ended = run(m.world)
    assert ended.outcome.kind == "unjustified-kill"
    assert ended.results["A"] == ENOMEM
    assert space.map.amap.slots.used == ()


def test_a_kill_with_memory_gone_is_justified():
    """With no page left to take and none to page out there is nothing else to do."""
    m = boot(npages=10, reserve_kernel=3, vp_stock=0, swap_used=100)
    space = m.process()
    m.cpu("A", space.fault, VA)
    assert run(m.world).outcome.kind == "done"


@fact(
    "uvmfault_promote takes the anon first, then the page; without a page the anon goes back",
    "uvm_fault.c 1.165 uvmfault_promote",
)
def test_no_page_with_swap_full_is_enomem_and_gives_the_anon_back():
    """The anon was taken first, so it goes back when the page cannot be had."""
    m = boot(npages=10, reserve_kernel=3, vp_stock=0, swap_used=100)
    space = m.process()
    assert m.physmem.nfree() == 3
    assert alone(m.world, space.fault, VA) == ENOMEM
    assert m.kernel.anons.pool.nout == 0


@fact(
    'No anon: uvm_anwait; no page: uvm_wait("flt_noram3"); then the fault restarts',
    "uvm_fault.c 1.165 uvmfault_promote",
)
@pytest.mark.parametrize(
    ("missing", "params", "why"),
    [
        ("anon", {"anon_stock": 0, "npages": 8}, "uvm_pmr_getpages"),
        ("page", {"anon_stock": 4, "npages": 10, "reserve_kernel": 3}, "flt_noram3"),
    ],
)
def test_without_memory_the_fault_waits_for_what_it_lacks(missing, params, why):
    """No anon: uvm_anwait, whose pool sleeps for a page. No page: uvm_wait. Swap has room,
    so nobody is killed, and nothing is kept while it waits."""
    m = boot(**params)
    space = m.process()
    m.cpu("A", space.fault, VA)
    with Steered(m.world) as steered:
        steered.go("A")
        assert steered.about_to("A") == "chan.woken"
        assert [f["why"] for _, event, f in steered.events if event == "page.wait"] == [why]
    assert space.map.amap.slots.used == ()
    assert len(m.kernel.anons.pool.free) == (0 if missing == "anon" else 4)


# --- restarts -----------------------------------------------------------------------------


@fact(
    "What a pass did before pmap_enter failed stays: the anon and its page",
    "uvm_fault.c 1.165 uvm_fault_upper",
)
@pytest.mark.parametrize("fix", REFUSED)
def test_the_page_of_a_failed_pass_is_kept(fix):
    """The restarted fault maps the anon and the page that it made before it failed."""
    m, space, steered = held_map(fix)
    steered.go("A")
    kept = space.map.amap.slots.used
    assert len(kept) == 1
    while steered.outcome is None:
        steered.step("K")
        steered.go("pagedaemon", "A")
    assert steered.outcome.kind == "done"
    assert space.map.amap.slots.used == kept
    assert m.kernel.anons.pool.nout == 1
    restarts = [event for _, event, _ in steered.events if event == "fault.restart"]
    assert len(restarts) == 1


@pytest.mark.parametrize("fix", fixes.names())
def test_in_every_order_a_finished_fault_has_one_page(fix):
    """However often it was restarted: one anon, one mapping, and both the same page."""
    m, space = contended(fix)
    graph = search(m.world)
    assert [wrong for wrong in graph.violations if wrong.judged] == []
    assert ("a fault was restarted" in marks(graph)) is (fix in REFUSED)

    def page():
        ((_, anon),) = space.map.amap.anons.members.used
        _, pted = space.pmap.pmap_vp_lookup(VA)
        return anon[1] == pted.pte[0], m.kernel.anons.pool.nout

    assert at_end(graph, page) == {(True, 1)}


@fact(
    "Where a fault waits after a failed pmap_enter it holds no lock of any kind",
    "uvm_fault.c 1.165 uvmfault_unlockall",
)
def test_no_lock_is_held_where_a_fault_waits():
    """Map, amap and pmap are all left before the fix runs."""

    async def look_around(kernel, space, va, error):
        assert curcpu().held == ()
        assert space.pmap.pm_mtx not in curcpu().held

    m = Machine(KernelParams(), Fix("probe", "looks what is held", look_around))
    space = m.process()
    m.cpu("A", space.fault, VA)
    m.background("K", m.kernel_map.churn)
    graph = search(m.world)
    assert graph.complete
    assert "a fault was restarted" in marks(graph)


def test_waiting_with_a_lock_held_panics():
    """The check at the wait points names what is held."""
    m = boot()
    space = m.process()

    async def wait():
        await space.map.lock.enter(False)
        assert_nothing_held("here")

    m.cpu("A", wait)
    outcome = run(m.world).outcome
    assert outcome.message == "here: cpu A would wait holding p0 vm_map"
    assert outcome.culprits == ("p0 vm_map",)


def test_a_kernel_is_built_with_its_fix():
    """What happens after a failure is the fix's, whatever it is."""
    called = []

    async def note(kernel, space, va, error):
        assert isinstance(kernel, Kernel)
        assert isinstance(space, Space)
        called.append(hex(va))
        await kernel.km.kernel_map.vm_map_lock()
        await kernel.km.kernel_map.vm_map_unlock()

    m = Machine(KernelParams(), Fix("noting", "notes its calls", note))
    space = m.process()
    m.cpu("A", space.fault, VA)
    m.background("K", m.kernel_map.churn)
    with Steered(m.world) as steered:
        steered.until("K", "lock.release")
        steered.go("A")
    assert called == [hex(VA)]


def test_memory_is_never_short_in_the_threads_situation():
    """The map's lock is refused although more pages are free than anybody asks for."""
    m, _ = contended("wait")
    graph = search(m.world)
    assert min(everywhere(graph, m.physmem.nfree)) > m.physmem.freetarg
    assert "a NOWAIT get was refused by the map lock" in marks(graph)
