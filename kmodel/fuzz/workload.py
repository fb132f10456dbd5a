"""A workload: who does what, on which machine, and what is made to fail. Plain data, so that
it can be made smaller, stored, and pasted into a test."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from kmodel.explore.linear import Plain


@attrs.frozen
class Operation:
    """What one CPU does next; its operations follow one another."""

    cpu: int
    name: str
    args: tuple[Plain, ...]

    def __str__(self) -> str:
        return f"cpu{self.cpu}: {self.name}({', '.join(map(repr, self.args))})"


@attrs.frozen
class Injected:
    """The ``nth`` NOWAIT request for a page that reaches the allocator ``of`` fails with
    ``cause`` (the name of a ``Cause``), and all later ones if ``on``."""

    of: str
    cause: str
    nth: int
    on: bool

    def __str__(self) -> str:
        which = f"page {self.nth} and all later ones" if self.on else f"page {self.nth}"
        return f"{self.of}: {which} cannot be had ({self.cause})"


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

    def param(self, name: str) -> Any:
        return dict(self.params)[name]

    @property
    def cpus(self) -> tuple[int, ...]:
        return tuple(sorted({one.cpu for one in self.operations}))

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

    def lines(self) -> list[str]:
        """For people: one line a CPU, then what is made to fail."""
        lines = [", ".join(f"{name}={value}" for name, value in self.params)]
        for cpu in self.cpus:
            done = "; ".join(str(one).partition(": ")[2] for one in self.of_cpu(cpu))
            lines.append(f"cpu{cpu}: {done}")
        return lines + [f"made to fail: {one}" for one in self.injected]
