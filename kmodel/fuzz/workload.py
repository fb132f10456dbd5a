"""A workload: who does what, on which machine, and what is made to fail. Plain data, so that
it can be made smaller, stored, and pasted into a test."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

import attrs

from kmodel.explore.linear import Plain
from kmodel.param import PAGE_SIZE
from kmodel.settings import UsageError

SLOW, INTERRUPT, KILLED = "slow", "interrupt", "killed"
MISHAPS: Final = {
    SLOW: "{of} is held up with lock no. {nth} that it takes",
    INTERRUPT: "{of} is interrupted at its open point no. {nth}",
    KILLED: "{of}'s thread is killed in its sleep no. {nth}",
}
"""What can befall a CPU, and when. A point is open if no mutex masks interrupts."""


@attrs.frozen
class Operation:
    """What one CPU does next; its operations follow one another."""

    cpu: int
    name: str
    args: tuple[Plain, ...]

    def __str__(self) -> str:
        return f"cpu{self.cpu}: {self.called()}"

    def called(self, named: Iterable[str] = ()) -> str:
        """With the names of its arguments, if those are known."""
        values = [number(value) for value in self.args]
        given = [f"{name}={value}" for name, value in zip(named, values)]
        return f"{self.name}({', '.join(given or values)})"


def number(value: Plain) -> str:
    """As Python; addresses as one reads them."""
    if isinstance(value, tuple):
        return f"({', '.join(map(number, value))}{',' * (len(value) == 1)})"
    is_address = type(value) is int and value >= PAGE_SIZE
    return hex(value) if is_address else repr(value)


@attrs.frozen
class Injected:
    """Something that goes wrong: on the ``nth`` occasion, and on all later ones if ``on``.

    ``of`` an allocator, the occasions are the NOWAIT requests for a page that reach it, and
    ``cause`` is the name of a ``Cause`` with which they fail. ``of`` a CPU (``cpu1``) it is one
    of ``MISHAPS``.
    """

    of: str
    cause: str
    nth: int
    on: bool

    def __str__(self) -> str:
        later = " and all later ones" if self.on else ""
        if self.cause in MISHAPS:
            return MISHAPS[self.cause].format(of=self.of, nth=self.nth) + later
        return f"{self.of}: page {self.nth}{later} cannot be had ({self.cause})"

    def moved(self, to: Mapping[int, int]) -> Injected:
        """The same where CPUs have other numbers."""
        for cpu, now in to.items():
            if self.of == f"cpu{cpu}":
                return attrs.evolve(self, of=f"cpu{now}")
        return self


@attrs.frozen
class Workload:
    """One example of a fuzzer. ``params`` in the order of the target's."""

    target: str
    params: tuple[tuple[str, Plain], ...]
    operations: tuple[Operation, ...]
    injected: tuple[Injected, ...] = ()

    @classmethod
    def of(
        cls,
        target: str,
        params: Mapping[str, Plain],
        operations: Iterable[tuple[Any, ...]],
        injected: Iterable[tuple[str, str, int, bool]] = (),
    ) -> Workload:
        """From tuples: ``(cpu, name, *args)``, and those of ``Injected``."""
        return cls(
            target,
            tuple(params.items()),
            tuple(Operation(cpu, name, tuple(args)) for cpu, name, *args in operations),
            tuple(Injected(*one) for one in injected),
        )

    @classmethod
    def read(cls, text: str) -> Workload:
        """From what ``word`` wrote. ``UsageError`` for what is no workload; whether there is
        such a target is for ``Target.fits``."""
        try:
            return cls.of(**_plain(json.loads(text)))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise UsageError(f"this is no workload of kmodel fuzz: {text[:60]!r}") from error

    def word(self) -> str:
        """One line of JSON."""
        return json.dumps(self.document(), separators=(",", ":"))

    def param(self, name: str, older: Plain = None) -> Any:
        """``older`` is what holds of a workload from before there was this parameter."""
        return dict(self.params).get(name, older)

    @property
    def cpus(self) -> tuple[int, ...]:
        return tuple(sorted({one.cpu for one in self.operations}))

    @property
    def failing(self) -> tuple[Injected, ...]:
        """The allocations that are made to fail."""
        return tuple(one for one in self.injected if one.cause not in MISHAPS)

    def of_cpu(self, cpu: int) -> tuple[Operation, ...]:
        return tuple(one for one in self.operations if one.cpu == cpu)

    def document(self) -> dict[str, Any]:
        """The arguments of ``of``, as JSON knows them."""
        return {
            "target": self.target,
            "params": dict(self.params),
            "operations": [[one.cpu, one.name, *one.args] for one in self.operations],
            "injected": [list(attrs.astuple(one)) for one in self.injected],
        }

    def lines(self, named: Mapping[str, tuple[str, ...]] | None = None) -> list[str]:
        """For people: one line a CPU, then what is made to fail. ``named`` are the arguments of
        each operation."""
        lines, known = [", ".join(f"{name}={value}" for name, value in self.params)], named or {}
        for cpu in self.cpus:
            done = "; ".join(one.called(known.get(one.name, ())) for one in self.of_cpu(cpu))
            lines.append(f"cpu{cpu}: {done}")
        return lines + [f"injected: {one}" for one in self.injected]


def _plain(value: Any) -> Any:
    """JSON has lists where a workload has tuples."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return tuple(map(_plain, value)) if isinstance(value, list) else value
