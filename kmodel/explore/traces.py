"""Which runs of a sample differ in an order that matters, and how many have not come yet.

A *trace* (Mazurkiewicz 1977) is a run up to swapping neighbouring steps that do not
conflict: of the same task no two steps may be swapped, nor two whose operations share an
object (``footprint``). A trace is told by its normal form (Cartier and Foata 1969):
each step gets a level, one above all steps that it depends on, and the steps are
listed by level and task. The lists are compared, not hashes of them. Traces are
exact for what has no data race; a race on plain fields can hide a difference.

How likely is a run of a trace not seen before? By Good and Turing (Good 1953): the
share of runs whose trace came only once. An estimate, as if runs were drawn alike.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable

from kmodel.explore.execution import Execution, Strategy, begin
from kmodel.explore.footprint import footprint
from kmodel.point import Op

Label = tuple[str, tuple[int, ...]]
"""What a step is to a trace: its operation's event and footprint."""


class Traces:
    """Gives equal numbers to equal traces, over many runs."""

    def __init__(self) -> None:
        self._labels: dict[Label, int] = {}
        self._numbers: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._numbers)

    def label(self, label: Label) -> int:
        return self._labels.setdefault(label, len(self._labels))

    def number(self, normal_form: bytes) -> int:
        return self._numbers.setdefault(normal_form, len(self._numbers))


class Trace:
    """The trace of one run, step by step."""

    def __init__(self, traces: Traces) -> None:
        self._traces = traces
        self._steps: list[tuple[int, int, int]] = []
        self._of_task: dict[int, int] = {}
        self._of_object: dict[int, int] = {}

    def add(self, task: int, op: Op) -> None:
        """``task`` does ``op`` next."""
        objects = footprint(op)
        level = self._of_task.get(task, 0)
        for number in objects:
            level = max(level, self._of_object.get(number, 0))
        level += 1
        self._of_task[task] = level
        for number in objects:
            self._of_object[number] = level
        self._steps.append((level, task, self._traces.label((op[0].event, objects))))

    def number(self) -> int:
        """The number of this trace among all of ``traces``."""
        # the levels follow from the list itself, so they need not be in it
        words = array("I")
        for _, task, label in sorted(self._steps):
            words.append(label << 8 | task)
        return self._traces.number(words.tobytes())


class Traced:
    """A strategy that chooses as ``inner`` does, and notes the trace."""

    def __init__(self, inner: Strategy, traces: Traces) -> None:
        self.inner, self.trace = inner, Trace(traces)

    def begin(self, execution: Execution) -> None:
        begin(execution, self.inner)
        self._pending = execution.pending

    def choose(self, enabled: list[int], current: int | None) -> int:
        chosen = self.inner.choose(enabled, current)
        op = self._pending[chosen]
        assert op is not None
        self.trace.add(chosen, op)
        return chosen


def next_new(numbers: Iterable[int]) -> float:
    """Good-Turing: the chance that one more run shows a trace that none of these did.
    Without a run, certainly."""
    seen = Counter(numbers)
    singles = sum(times == 1 for times in seen.values())
    return singles / seen.total() if seen else 1.0
