"""Targets: what the model does right is explained; workloads give all CPUs work."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from kmodel.fuzz.daemon import ASKED_IN_VAIN, SILENT_LAP
from kmodel.fuzz.judged import judge
from kmodel.fuzz.process import STAYS, VA
from kmodel.fuzz.reduce import _smaller
from kmodel.fuzz.target import load, names, with_pinned
from kmodel.fuzz.targets.fork import FILE
from kmodel.fuzz.targets.pmap import ADDRESSES as MAPPED
from kmodel.fuzz.targets.pmap import PLENTY
from kmodel.fuzz.workload import Workload
from kmodel.param import PROT_NONE, PROT_READ
from kmodel.settings import UsageError

PMAP = {"stock": PLENTY, "levels": 3, "destroy": False}
VM = {"fix": "populate", "memory": "plenty", "exit": False, "lap": "wakes", "tables": 0}
VM |= {"rwlock": "wake-all"}
FIRST, SECOND, _ = MAPPED


@pytest.mark.parametrize(
    ("target", "params", "operations"),
    [
        ("pmap", PMAP, [(0, "populate", FIRST), (0, "remove", FIRST), (1, "extract", FIRST)]),
        ("pmap", PMAP, [(0, "enter", FIRST, 1, True, True), (1, "protect", FIRST, PROT_READ)]),
        ("pmap", PMAP, [(0, "enter", FIRST, 1, True, True), (1, "unwire", FIRST)]),
        (
            "pmap",
            PMAP,
            [
                (0, "enter", FIRST, 1, True, False),
                (0, "enter", SECOND, 1, True, False),
                (0, "page_protect", 1, PROT_NONE),
                (1, "extract", FIRST),
            ],
        ),
        ("vm", VM, [(0, "fault", 0, VA, True), (1, "munmap", 0), (1, "mmap", 0)]),
        ("vm", VM | {"exit": True}, [(0, "fault", 0, VA, True), (1, "fault", 0, VA, False)]),
        ("vm", VM, [(0, "fault", 0, VA, True), (1, "protect", 0, PROT_READ), (0, "unwire", 0)]),
        ("vm", VM, [(0, "wire", 0, VA), (1, "protect", 0, PROT_NONE), (1, "unwire", 0)]),
        ("vm", VM, [(0, "wire", 0, VA), (1, "munmap", 0), (0, "fault", 0, STAYS, False)]),
    ],
)
def test_what_the_model_does_is_what_some_order_gives(
    target: str, params: dict[str, Any], operations: list[tuple[Any, ...]]
) -> None:
    judged = judge(load(target), Workload.of(target, params, operations))
    assert judged.whole
    assert not judged.shown


@pytest.mark.parametrize("tables", [0, 2])
def test_page_tables_grow_with_the_kernel_map(tables: int) -> None:
    params = {"kva": 4, "rwlock": "wake-all", "tables": tables}
    many = [(0, "alloc", 2, True), (1, "alloc", 2, True), (0, "free")]
    judged = judge(load("kmap"), Workload.of("kmap", params, many))
    assert judged.whole
    assert not judged.shown


@pytest.mark.parametrize("uvm_fault", ["1.165", "1.171", "1.173"])
def test_a_child_has_what_its_parent_had_when_it_forked(uvm_fault: str) -> None:
    params = {"uvm_fault": uvm_fault, "touched": True, "rwlock": "wake-all"}
    many = [(0, "fork"), (0, "load", 1, VA), (1, "add", 0, VA)]
    judged = judge(load("fork"), Workload.of("fork", params, many))
    assert not judged.shown


@pytest.mark.parametrize("file", ["private", "shared"])
def test_who_writes_to_a_file_writes_for_all_or_for_itself(file: str) -> None:
    params = {"uvm_fault": "1.165", "touched": True, "rwlock": "wake-all", "file": file}
    many = [(0, "fork"), (0, "add", 0, FILE), (0, "load", 1, FILE), (1, "cut")]
    judged = judge(load("fork"), Workload.of("fork", params, many))
    assert judged.whole
    assert not judged.shown


@pytest.mark.parametrize("memory", ["short", "gone"])
def test_what_is_wired_is_never_written_out(memory: str) -> None:
    many = [(0, "fault", 0, VA, True), (0, "wire", 0, VA), (0, "fault", 1, VA, True)]
    params = VM | {"memory": memory, "tables": 6}
    judged = judge(load("vm"), Workload.of("vm", params, many))
    assert not [one for one in judged.shown if not one.preemptions]


@pytest.mark.parametrize("memory", ["short", "gone"])
def test_without_memory_a_fault_waits_for_swap_or_is_killed(memory: str) -> None:
    """Alone, with no preemption, so that the daemon's lost wakeup has no place."""
    many = [(0, "fault", 0, VA, True), (0, "fault", 0, VA + 0x1000, True), (0, "munmap", 0)]
    params = VM | {"memory": memory, "tables": 6, "exit": True}
    judged = judge(load("vm"), Workload.of("vm", params, many))
    assert not [one for one in judged.shown if not one.preemptions]


@pytest.mark.parametrize("memory", ["plenty", "short"])
@pytest.mark.parametrize("fix", ["wait", "populate"])
def test_a_fault_that_is_refused_only_when_it_begins_anew_leaves_its_page(
    memory: str, fix: str
) -> None:
    """It had its page, waited before it mapped it, and lost its rights meanwhile."""
    many = [(0, "fault", 0, VA, True), (1, "protect", 0, PROT_READ), (2, "hold")]
    judged = judge(load("vm"), Workload.of("vm", VM | {"memory": memory, "fix": fix}, many))
    assert not [one for one in judged.shown if one.signature.kind == "invariant"]


@pytest.mark.parametrize("name", ["locks", "vm"])
def test_workloads_differ_and_busy_all_cpus(name: str) -> None:
    target, drawn = load(name), []

    @seed(1)
    @settings(
        max_examples=300,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(target.workloads())
    def look(workload: Workload) -> None:
        drawn.append(workload)
        target.fits(workload)

    look()
    assert len(set(drawn)) > 0.9 * len(drawn)
    assert sum(len(workload.cpus) == target.cpus for workload in drawn) > 0.3 * len(drawn)


@pytest.mark.parametrize("name", names())
def test_each_argument_has_a_name(name: str) -> None:
    """Else a failure says ``enter(0x201000, 1, True, False)``."""
    target = load(name)
    taking = {name: len(choices) for name, choices in target.operations.items() if choices}
    assert {name: len(named) for name, named in target.named.items()} == taking


def test_what_is_pinned_does_not_vary() -> None:
    (target,) = with_pinned([load("vm")], {"fix": "populate", "exit": True})
    drawn: list[Workload] = []

    @seed(1)
    @settings(max_examples=50, database=None, phases=[Phase.generate])
    @given(target.workloads())
    def look(workload: Workload) -> None:
        drawn.append(workload)

    look()
    assert {(one.param("fix"), one.param("exit")) for one in drawn} == {("populate", True)}
    assert len({one.param("memory") for one in drawn}) == 3
    smaller = {other.param("fix") for one in drawn for other in _smaller(target, one, 1)}
    assert smaller == {"populate"}


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        ({"fx": "populate"}, "No parameter 'fx'. Did you mean 'fix'"),
        ({"fix": "populat"}, "target vm: fix can be wait, .*, and not populat"),
        ({"exit": 1}, "exit can be False, True, and not 1"),
    ],
)
def test_what_cannot_be_pinned_is_said(sets: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        with_pinned([load("pool"), load("vm")], sets)


def test_a_workload_may_be_older_than_a_parameter_and_lacks_no_other() -> None:
    older = {"primed": True, "pages": 1, "items": 1, "hardlimit": 0}
    load("pool").fits(Workload.of("pool", older, [(0, "put")]))
    with pytest.raises(UsageError, match="has the parameters"):
        load("pool").fits(Workload.of("pool", {"primed": True}, [(0, "put")]))


@pytest.mark.parametrize("recycle", [False, True])
def test_one_cpu_finds_what_its_cache_and_the_pool_have(recycle: bool) -> None:
    """Alone, with no preemption: refused is nobody, and nothing is lost."""
    params = {"primed": False, "pages": 1, "items": 2, "hardlimit": 0}
    params |= {"cached": 1, "recycle": recycle}
    many = [(0, "get", False), (0, "get", True), (0, "put"), (0, "put"), (0, "get", False)]
    judged = judge(load("pool"), Workload.of("pool", params, many))
    assert not [one for one in judged.shown if not one.preemptions]


def test_a_lap_that_woke_nobody_is_the_cause_also_where_memory_is_short_by_the_time_it_hangs():
    """The lap passes over who waits while pages are plenty; then another CPU takes them."""
    params = VM | {"fix": "wait", "memory": "short", "lap": "silent", "tables": 6}
    many = [
        (0, "fault", 0, VA, True),
        (1, "fault", 0, VA, True),
        (0, "fault", 0, VA + 0x1000, True),
    ]
    workload = Workload.of("vm", params, many)
    judged = judge(load("vm"), workload, frozenset({ASKED_IN_VAIN}))
    assert {one.cause for one in judged.shown} == {SILENT_LAP}
    assert not judge(load("vm"), workload, frozenset({ASKED_IN_VAIN, SILENT_LAP})).shown
