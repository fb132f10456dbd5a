"""A target: what is fuzzed. One small file in ``targets/`` each, found by its name.

It says which operations there are and what their arguments may be, how the machine may
differ, which allocators can be made to fail, and how all that becomes a ``World`` with
its oracle: a sequential specification (``Linear``), checks, and what may not be left over.
No target looks for a particular bug.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from typing import Any

import attrs
from hypothesis import strategies as st

from kmodel.explore.linear import Plain
from kmodel.fuzz import targets
from kmodel.fuzz.workload import Injected, Operation, Workload
from kmodel.settings import UsageError
from kmodel.world import World

Choices = tuple[Plain, ...]
"""The values that something may have, the simplest first."""


@attrs.frozen(kw_only=True)
class Target:
    """``operations``: name -> the choices of each argument. ``params``: name -> choices.
    ``fails``: (allocator, cause) that may be injected, once or (``lasting``) from then on,
    where nothing waits for it to get better. ``cpus`` and ``most`` bound the
    workload, ``preemptions`` and ``states`` the search of its schedules."""

    name: str
    summary: str
    build: Callable[[World, Workload], None]
    operations: Mapping[str, tuple[Choices, ...]]
    params: Mapping[str, Choices]
    fails: tuple[tuple[str, str], ...] = ()
    lasting: bool = True
    cpus: int = 3
    most: int = 6
    preemptions: int = 2
    states: int = 20_000

    def workloads(self) -> st.SearchStrategy[Workload]:
        """Swarm: each example leaves some operations, and often all failures, out."""
        return _workload(self)

    def fits(self, workload: Workload) -> None:
        """Raise ``UsageError`` if the workload is none of this target."""
        for one in workload.operations:
            choices = self.operations.get(one.name)
            if choices is None or len(choices) != len(one.args):
                raise UsageError(f"target {self.name} has no operation {one}")
        if tuple(name for name, _ in workload.params) != tuple(self.params):
            raise UsageError(f"target {self.name} has the parameters {', '.join(self.params)}")
        if not workload.operations:
            raise UsageError("a workload needs at least one operation")


@st.composite
def _workload(draw: st.DrawFn, target: Target) -> Workload:
    params = tuple((name, draw(st.sampled_from(among))) for name, among in target.params.items())
    names = sorted(target.operations)
    left_out = draw(st.sets(st.sampled_from(names), max_size=len(names) - 1))
    allowed = [name for name in target.operations if name not in left_out]
    cpus = draw(st.integers(2, target.cpus))
    one = st.tuples(st.integers(0, cpus - 1), st.sampled_from(allowed).flatmap(_arguments(target)))
    many = draw(st.integers(1, target.most))
    queued = draw(st.lists(one, min_size=many, max_size=many))
    operations = tuple(Operation(cpu, name, args) for cpu, (name, args) in queued)
    injected: tuple[Injected, ...] = ()
    if target.fails and draw(st.integers(0, 2)) == 2:
        of, cause = draw(st.sampled_from(target.fails))
        lasts = target.lasting and draw(st.booleans())
        injected = (Injected(of, cause, draw(st.integers(1, 3)), lasts),)
    return Workload(target.name, params, operations, injected)


def _arguments(target: Target) -> Callable[[str], st.SearchStrategy[tuple[str, Any]]]:
    def arguments(name: str) -> st.SearchStrategy[tuple[str, Any]]:
        choices = target.operations[name]
        return st.tuples(st.just(name), st.tuples(*map(st.sampled_from, choices)))

    return arguments


def names() -> list[str]:
    """Every target there is, the floors of the model from the ground up."""
    found = [module.name for module in pkgutil.iter_modules(targets.__path__)]
    order = {name: rank for rank, name in enumerate(("locks", "pool", "kmap", "pmap", "vm"))}
    return sorted(found, key=lambda name: (order.get(name, len(order)), name))


def load(name: str) -> Target:
    """The target called ``name``. ``UsageError`` if there is none."""
    if name not in names():
        raise UsageError(f"There is no target {name!r}; there are {', '.join(names())}.")
    target: Target = importlib.import_module(f"{targets.__name__}.{name}").TARGET
    return target
