"""Shared containers: tables, sparse tables, sets of tasks, and stamps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

from kmodel import point
from kmodel.point import RUN, Task, curtask, procedure
from kmodel.recorder import Recorder, SharedStateError
from kmodel.shared import Hidden, register, shared

T = TypeVar("T")


class Table(Generic[T]):
    """A fixed number of cells, each a location of its own: ``table[i] = child``."""

    def __init__(self, cells: list[T]) -> None:
        self._oid = -1
        self._cells = list(cells)
        register(self)

    def attach(self, recorder: Recorder, label: str) -> None:
        self._rec, self._first = recorder, len(recorder.state)
        for index, value in enumerate(self._cells):
            recorder.add(f"{label}[{index}]", value, _cell_storer(self._cells, index), "state")
        self.__class__ = RecordedTable

    def __len__(self) -> int:
        return len(self._cells)

    def __getitem__(self, index: int) -> T:
        if not 0 <= index < len(self._cells):
            raise IndexError(f"index {index} outside a table of {len(self._cells)}")
        return self._cells[index]

    def __setitem__(self, index: int, value: T) -> None:
        if not 0 <= index < len(self._cells):
            raise IndexError(f"index {index} outside a table of {len(self._cells)}")
        self._cells[index] = value

    def __iter__(self) -> Iterator[T]:
        return (self[index] for index in range(len(self._cells)))


def _cell_storer(cells: list[Any], index: int) -> Callable[[Any], None]:
    def store(value: Any) -> None:
        cells[index] = value

    return store


class RecordedTable(Table[T]):
    def __getitem__(self, index: int) -> T:
        value = super().__getitem__(index)
        self._rec.get(self._first + index)
        return value

    def __setitem__(self, index: int, value: T) -> None:
        super().__getitem__(index)
        self._rec.put(self._first + index, value)
        super().__setitem__(index, value)


@shared
class Sparse(Generic[T]):
    """A table of which few cells are in use: one location, kept sorted by index.

    For tables of hundreds of cells that one lock protects as a whole, such as a
    page-table page: a location a cell would only lengthen every state. Who reads or sets one
    cell learns nothing of the others.
    """

    used: tuple[tuple[int, T], ...]

    def __init__(self) -> None:
        self.used = ()

    @procedure
    def __getitem__(self, index: int) -> T | None:
        for at, value in self.used:
            if at == index:
                return value
        return None

    @procedure
    def __setitem__(self, index: int, value: T | None) -> None:
        rest = [cell for cell in self.used if cell[0] != index]
        if value is not None:
            rest.append((index, value))
        self.used = tuple(sorted(rest, key=_by_first))


def _by_first(cell: tuple[int, Any]) -> int:
    return cell[0]


class Tasks(tuple[Task, ...]):
    """A value of shared state: tasks of which nobody asks who came first.

    Kept by number, so that they tell no two states apart that differ in nothing else; and
    where like tasks change places (``Turn``) it is the same set of others.
    """

    __slots__ = ()

    def __new__(cls, tasks: Iterable[Task] = ()) -> Tasks:
        return super().__new__(cls, sorted(tasks, key=_by_index))

    def and_also(self, *tasks: Task) -> Tasks:
        return Tasks((*self, *tasks))

    def without(self, task: Task) -> Tasks:
        return Tasks(one for one in self if one is not task)


def observe(value: bool | int) -> bool | int:
    """Say what the running task learns from hidden state: ``value``, nothing else."""
    if RUN.seen is not None:
        RUN.seen.extend(point.encode_live((value,)))
    return value


def oracle(about: Any, look: Callable[[], bool]) -> bool:
    """Ask ``look`` about the shared object ``about`` and others of its world as somebody
    outside of it: no access of the running task, so no race. Model code may note the
    answer for a check; it must not act on it."""
    recorder = getattr(about, "_rec", None)
    if recorder is None:
        return look()
    seen, trace = len(recorder.seen), len(recorder.trace)
    answer = look()
    del recorder.seen[seen:], recorder.trace[trace:]
    return bool(observe(answer))


@shared
class Stamp:
    """A version number of which only "still the same?" is ever asked.

    A counter that only grows would make every state new. What matters is which
    live copies equal the present value, and that is all that is kept: the tasks
    whose copy is still current. A task holds at most one copy of a stamp.
    ``value`` stands for the number itself: it carries the accesses, for races.
    """

    value: int
    current: Hidden[Tasks]
    stale: Hidden[Tasks]

    def __init__(self) -> None:
        self.value = 0
        self.current, self.stale = Tasks(), Tasks()

    def bump(self) -> None:
        """The value changes: every copy is stale from now on."""
        self.value = 0
        if self.current:
            self.current, self.stale = Tasks(), self.stale.and_also(*self.current)

    def copy(self) -> None:
        """The running task notes the present value (an older copy of its is gone)."""
        self.value  # noqa: B018  (a read, for race detection)
        self.drop()
        self.current = self.current.and_also(curtask())

    def same(self) -> bool:
        """Is the running task's copy still the present value?"""
        self.value  # noqa: B018
        if curtask() not in self.current and curtask() not in self.stale:
            raise SharedStateError(f"{curtask()} compares a stamp of which it holds no copy")
        return bool(observe(curtask() in self.current))

    def drop(self) -> None:
        """The running task's copy is dead."""
        me = curtask()
        if me in self.current:
            self.current = self.current.without(me)
        if me in self.stale:
            self.stale = self.stale.without(me)


def _by_index(task: Task) -> int:
    return task.index
