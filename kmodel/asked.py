"""What was asked of a case's parameters and of its fix, and what the answers were.

Whatever a search, its checks and its judges do is a function of the answers that they
got. So it holds word for word of every other case that would have answered the same: of a
kernel whose page daemon differs only in what no lap ever came to ask, say. Or of one whose
sleeping locks follow another policy, if no two schedules show which (``policies``).
"""

from __future__ import annotations

from typing import Any, Final, cast

import attrs

from kmodel.explore.graph import Graph
from kmodel.explore.tree import Predicate
from kmodel.fixes import Fix
from kmodel.param import KernelParams
from kmodel.sync.rwlock import RwLock, WakeAll, WakeOneWriter

POLICY: Final = "rwlock"


@attrs.define
class Asked:
    """The answers so far, by the name of what was asked for. Any of ``policies`` instead of
    the one that the locks had would have made no difference."""

    kernel: dict[str, Any] = attrs.field(factory=dict)
    fix: dict[str, Any] = attrs.field(factory=dict)
    policies: tuple[str, ...] = ()

    def heard(self, kernel: KernelParams, fix: Fix) -> tuple[KernelParams, Fix]:
        """Both as they are, but that each question to them is noted here."""
        return (
            cast(KernelParams, _Heard(kernel, self.kernel)),
            cast(Fix, _Heard(fix, self.fix)),
        )

    def would_be(self, kernel: KernelParams, fix: Fix) -> bool:
        """Would these have answered the same?"""
        if self.policies and kernel.rwlock in self.policies:
            kernel = attrs.evolve(kernel, rwlock=self.kernel[POLICY])
        both = ((kernel, self.kernel), (fix, self.fix))
        return all(getattr(of, name) == told for of, said in both for name, told in said.items())

    def searched(self, graph: Graph) -> None:
        """``graph`` is all that the answers led to."""
        locks = [thing for thing in graph.world.objects if isinstance(thing, RwLock)]
        if graph.complete and POLICY in self.kernel and not any(_shows(graph, x) for x in locks):
            self.policies = ("wake-all", "wake-one-writer")


def _shows(graph: Graph, lock: RwLock) -> bool:
    """Can it be told which of the kernel's two policies ``lock`` follows?

    Not while no writer sleeps: then both let in who finds room, and wake all readers. And not
    if only writers come, of whom never two sleep at once: then both let in who finds room (a
    reader might be held off), and wake the one that sleeps (of two only one might be). All
    their state is then the same but for its names.
    """
    if not isinstance(lock, WakeAll | WakeOneWriter):
        return True
    ops = {node.op for nodes in graph.histories.nodes for node in nodes if node.op is not None}
    wants = [(kind.event, args[1]) for kind, thing, args in ops if thing is lock and len(args) > 1]
    if ("lock.contended", True) not in wants:
        return False
    crowded = Predicate(lambda: len(lock.sleeping()) > 1)
    parts = map(graph.keys.shared, range(len(graph.keys.parts)))
    return not all(write for _, write in wants) or any(
        crowded.value(part, graph.world) for part in parts
    )


class _Heard:
    """Stands for ``of``, all of whose attributes are constants."""

    __slots__ = ("_of", "_said")

    def __init__(self, of: Any, said: dict[str, Any]) -> None:
        self._of, self._said = of, said

    def __getattr__(self, name: str) -> Any:
        value = self._said[name] = getattr(self._of, name)
        return value
