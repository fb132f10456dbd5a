"""A target: what is fuzzed. One small file in ``targets/`` each, found by its name.

It says which operations there are and what their arguments may be, how the machine may
differ, which allocators can be made to fail, and how all that becomes a ``World`` with
its oracle: a sequential specification (``Linear``), checks, and what may not be left over.
No target looks for a particular bug.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import TYPE_CHECKING, Final

import attrs

from kmodel.explore.linear import Plain
from kmodel.fuzz import targets
from kmodel.fuzz.workload import INTERRUPT, KILLED, MISHAPS, SLOW, Injected, Operation, Workload
from kmodel.settings import UsageError, did_you_mean
from kmodel.world import World

if TYPE_CHECKING:
    from hypothesis import strategies as st

LATEST: Final = {SLOW: 3, INTERRUPT: 10, KILLED: 2}
"""The n-th lock, open point, sleep: none later is drawn."""
Why = Callable[[], str]
"""By which known flaw a CPU hangs in the present state; nothing if by none."""
Choices = tuple[Plain, ...]
"""The values that something may have, the simplest first."""
ECHO: Final = 4
"""One operation in so many is what another CPU does already: who does the same needs the
same locks and memory."""
MAKES: Final = 3
"""One in so many makes what the others need, where a target says so."""
APART: Final = 3
"""One in so many goes to any CPU, the rest round robin: work for all."""


@attrs.frozen(kw_only=True)
class Target:
    """``build`` may return a ``Why``: a hang whose cause it names is a finding of its own, and
    once it is found the search goes on past it, so that it hides no other.

    ``operations``: name -> the choices of each argument. ``params``: name -> choices; of those
    that came ``later`` an older workload knows nothing.
    ``fails``: (allocator, cause) that may be injected, once or (``lasting``) from then on,
    where nothing waits for it to get better. ``mishaps`` are what can befall its CPUs. ``cpus``
    and ``most`` bound the workload, ``preemptions`` and ``states`` the search of its schedules.
    ``makes`` are operations without which the others find nothing: no workload leaves them out.
    ``named`` says, for people, what the arguments of an operation are called; ``pinned`` are
    parameters that keep a value (``with_pinned``)."""

    name: str
    summary: str
    build: Callable[[World, Workload], Why | None]
    operations: Mapping[str, tuple[Choices, ...]]
    params: Mapping[str, Choices]
    later: tuple[str, ...] = ()
    fails: tuple[tuple[str, str], ...] = ()
    lasting: bool = True
    mishaps: tuple[str, ...] = tuple(MISHAPS)
    cpus: int = 3
    most: int = 6
    preemptions: int = 2
    states: int = 20_000
    makes: tuple[str, ...] = ()
    named: Mapping[str, tuple[str, ...]] = {}
    pinned: Mapping[str, Plain] = {}

    def workloads(self) -> st.SearchStrategy[Workload]:
        """Swarm: each example leaves some operations out, and often all that goes wrong."""
        from hypothesis import strategies as st  # not needed to play a workload again

        return st.randoms(use_true_random=True).map(lambda random: _workload(random, self))

    def has_pinned(self, workload: Workload) -> bool:
        return all(workload.param(name) == value for name, value in self.pinned.items())

    def fits(self, workload: Workload) -> None:
        """Raise ``UsageError`` if the workload is none of this target."""
        for one in workload.operations:
            choices = self.operations.get(one.name)
            if choices is None or not _could_be(one.args, choices):
                raise UsageError(f"target {self.name} has no operation {one}")
            if type(one.cpu) is not int or not 0 <= one.cpu < self.cpus:
                raise UsageError(f"target {self.name} has the CPUs 0 to {self.cpus - 1}: {one}")
        named = [name for name, _ in workload.params]
        if named != [name for name in self.params if name in named or name not in self.later]:
            raise UsageError(f"target {self.name} has the parameters {', '.join(self.params)}")
        wrong = [
            f"{name}={value!r}" for name, value in workload.params if not self.can_be(name, value)
        ]
        if wrong:
            raise UsageError(f"target {self.name} has no {', '.join(wrong)}")
        if not workload.operations:
            raise UsageError("a workload needs at least one operation")
        for injected in workload.injected:
            on_cpu = injected.of.startswith("cpu") and injected.cause in self.mishaps
            if (
                type(injected.nth) is not int
                or injected.nth < 1
                or not (on_cpu or (injected.of, injected.cause) in self.fails)
            ):
                raise UsageError(f"in target {self.name} this cannot be injected: {injected}")

    def can_be(self, name: str, value: Plain) -> bool:
        return any(type(value) is type(one) and value == one for one in self.params[name])


def _could_be(args: tuple[Plain, ...], choices: tuple[Choices, ...]) -> bool:
    """Addresses and the like may be others than are drawn, names may not."""
    return len(args) == len(choices) and all(
        arg in among if isinstance(arg, str) else type(arg) in map(type, among)
        for arg, among in zip(args, choices)
    )


def _workload(random: Random, target: Target) -> Workload:
    """Evenly, from one number that Hypothesis draws. Its own draws of many small things favour
    repeats and simple values, for its shrinker, which is not used: a third of the workloads
    came twice, and three CPUs seldom did three different things."""
    drawn = {name: random.choice(among) for name, among in target.params.items()}
    params = tuple((drawn | dict(target.pinned)).items())
    names = list(target.operations)
    allowed = random.sample(names, random.randint(1, len(names)))
    cpus = random.choice((2, target.cpus, target.cpus))
    things = _things(random, target)
    operations: list[Operation] = []
    for number in range(max(random.randint(1, target.most) for _ in range(2))):
        if number and not random.randrange(ECHO):
            last = operations[-1]  # again, on the next CPU
            operations.append(attrs.evolve(last, cpu=(last.cpu + 1) % cpus))
            continue
        cpu = number % cpus if random.randrange(APART) else random.randrange(cpus)
        makes = target.makes and not random.randrange(MAKES)
        name = random.choice(target.makes if makes else allowed)
        args = tuple(random.choice(things[among]) for among in target.operations[name])
        operations.append(Operation(cpu, name, args))
    injected = (*_failing(random, target), *_befalling(random, target, cpus))
    return Workload(target.name, params, tuple(operations), injected)


def _things(random: Random, target: Target) -> dict[Choices, Choices]:
    """Of the things that operations may be about (addresses, pages, processes, not yes and no)
    this example has some, often one: else two operations seldom meet in the same."""
    every = dict.fromkeys(among for choices in target.operations.values() for among in choices)
    return {
        among: among
        if isinstance(among[0], bool)
        else tuple(random.sample(among, random.randint(1, len(among))))
        for among in every
    }


def _failing(random: Random, target: Target) -> Iterator[Injected]:
    """At times an allocation that fails."""
    if target.fails and not random.randrange(3):
        of, cause = random.choice(target.fails)
        lasts = target.lasting and random.choice((False, True))
        yield Injected(of, cause, random.randint(1, 3), lasts)


def _befalling(random: Random, target: Target, cpus: int) -> Iterator[Injected]:
    """At times something that befalls a CPU."""
    if target.mishaps and not random.randrange(3):
        cpu, what = random.randrange(cpus), random.choice(target.mishaps)
        nth, on = random.randint(1, LATEST[what]), random.choice((False, True))
        yield Injected(f"cpu{cpu}", what, nth, on)


def names() -> list[str]:
    """Every target there is, the floors of the model from the ground up."""
    found = [module.name for module in pkgutil.iter_modules(targets.__path__)]
    order = {
        name: rank for rank, name in enumerate(("locks", "pool", "kmap", "pmap", "vm", "fork"))
    }
    return sorted(found, key=lambda name: (order.get(name, len(order)), name))


def load(name: str) -> Target:
    """The target called ``name``. ``UsageError`` if there is none."""
    if name not in names():
        raise UsageError(f"There is no target {name!r}; there are {', '.join(names())}.")
    target: Target = importlib.import_module(f"{targets.__name__}.{name}").TARGET
    return target


def with_pinned(targets: list[Target], sets: Mapping[str, Plain]) -> list[Target]:
    """Those that have such a parameter draw and keep only that value. ``UsageError`` if none has,
    or one cannot have that value."""
    for name, value in sets.items():
        having = [target for target in targets if name in target.params]
        if not having:
            every = dict.fromkeys(param for target in targets for param in target.params)
            raise UsageError(f"No parameter {name!r}.{did_you_mean(name, list(every))}")
        for target in having:
            if not target.can_be(name, value):
                among = ", ".join(map(str, target.params[name]))
                raise UsageError(f"target {target.name}: {name} can be {among}, and not {value}")
    return [
        attrs.evolve(one, pinned={name: v for name, v in sets.items() if name in one.params})
        for one in targets
    ]
