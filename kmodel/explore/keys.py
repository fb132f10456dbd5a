"""The states that a search has met, each kept once and small.

Many states share their shared part: a task that only moved left it alone. So that is kept
once and numbered, and a state is one whole number: the number of its shared part, and
above it 16 bits a task for where that stands (Holzmann's collapse method).
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any, Final

from kmodel.explore.tree import State

PART_BITS: Final = 32
"""Of the number of a shared part."""
PART: Final = (1 << PART_BITS) - 1
BITS: Final = 16
"""Of a node's index: no task has more nodes."""
NODE: Final = (1 << BITS) - 1


def place(task: int) -> int:
    """The lowest bit of where ``task`` stands."""
    return PART_BITS + BITS * task


class Keys(Sequence[bytes]):
    """The states by number, ``0`` the first one met; ``keys[n]`` is all of its codes.

    ``packed[n]`` is the whole number that stands for it, and ``number`` leads back;
    ``parts`` has the numbers of the shared parts.
    """

    def __init__(self, locations: int, tasks: int) -> None:
        self.packed: list[int] = []
        self.number: dict[int, int] = {}
        self.parts: dict[bytes, int] = {}
        self._shared: list[bytes] = []
        self._locations = locations
        self._places = [place(task) for task in range(tasks)]

    def __len__(self) -> int:
        return len(self.packed)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Keys) and self[:] == other[:]

    __hash__ = None  # type: ignore[assignment]

    def __getitem__(self, number: Any) -> Any:
        if isinstance(number, slice):
            return [self[one] for one in range(*number.indices(len(self)))]
        return self.state(number).tobytes()

    def state(self, number: int) -> State[int]:
        """All codes of a state: of the shared locations, then of where the tasks stand."""
        return self.unpack(self.packed[number])

    def unpack(self, packed: int) -> State[int]:
        state = self.shared(packed)
        state.extend([packed >> low & NODE for low in self._places])
        return state

    def pack(self, state: State[int]) -> int:
        nodes = state[self._locations :]
        packed = self.part(state[: self._locations].tobytes())
        return packed | sum(index << low for index, low in zip(nodes, self._places))

    def find(self, state: State[int]) -> int | None:
        """The number of a state, if it was met before."""
        part = self.parts.get(state[: self._locations].tobytes())
        if part is None:
            return None
        nodes = state[self._locations :]
        return self.number.get(part | sum(node << low for node, low in zip(nodes, self._places)))

    def shared(self, packed: int) -> State[int]:
        """The codes of the shared part."""
        state = array("H")
        state.frombytes(self._shared[packed & PART])
        return state

    def part(self, shared: bytes) -> int:
        """The number of a shared part."""
        number = self.parts.setdefault(shared, len(self._shared))
        if number == len(self._shared):
            self._shared.append(shared)
        return number

    def add(self, packed: int) -> int:
        """Enter a state that was not met before; returns its number."""
        number = self.number[packed] = len(self.packed)
        self.packed.append(packed)
        return number

    def since(self, states: int, parts: int) -> tuple[list[int], list[bytes]]:
        """The states after so many, and the shared parts after so many."""
        return self.packed[states:], self._shared[parts:]

    def take(self, packed: list[int], shared: list[bytes]) -> None:
        """Enter what ``since`` gave. ``ValueError`` if some of it was met before."""
        self.parts.update(zip(shared, range(len(self._shared), len(self._shared) + len(shared))))
        self._shared += shared
        self.number.update(zip(packed, range(len(self.packed), len(self.packed) + len(packed))))
        self.packed += packed
        if len(self.parts) != len(self._shared) or len(self.number) != len(self.packed):
            raise ValueError("a state or a shared part twice")
