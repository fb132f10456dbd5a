"""A run as columns, one a CPU, so that an eye can follow a fault from CPU to CPU.

::

     step    seq  A          B          K          pagedaemon
       28     37  |          lock.release kernel_map
       30     40  |          |          lock.contended kernel_map <- 37

An event begins in its CPU's column and may run on to the right: there is one event
a line, so nothing is in its way. The step is given where it begins; ``<- 37`` names
the event (by ``seq``) that let this one happen.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final

import attrs

from kmodel.log.record import END, Record

ROOM: Final = 36
"""Characters that the rightmost column must leave for its event."""

NARROWEST, WIDEST = 6, 20
"""A CPU's column, in characters. If it came out narrower there is one column for all."""

WORDS: Final[dict[tuple[str, bool], str]] = {
    ("lock", True): "had",
    ("lock", False): "refused",
    ("mutex", True): "had",
    ("mutex", False): "refused",
}
"""(noun of the event, result) -> how a reader of the kernel says it."""

STYLES: Final[tuple[tuple[str, str], ...]] = (
    ("inv.violation", "bold red"),
    ("run.end", "bold"),
    ("mark", "cyan"),
    ("*.fail", "yellow"),
    ("fault.restart", "yellow"),
    ("chan.*", "magenta"),
    ("lock.contended", "magenta"),
)
"""Event glob -> rich style; the first that fits."""


@attrs.frozen
class Line:
    """One line of the view: plain text, and the rich style it has on a terminal."""

    text: str
    style: str = ""


@attrs.frozen
class Layout:
    """Where things stand. ``width`` is the terminal's, or ``None`` where none is: a pipe
    or a file gets every line whole. ``pitch`` is the width of a CPU's column, 0 where
    all CPUs share one."""

    tasks: tuple[str, ...]
    width: int | None
    pitch: int

    @classmethod
    def fit(cls, tasks: Sequence[str], width: int | None = None) -> Layout:
        names = tuple(map(printable, tasks))
        wanted = min(WIDEST, max(map(len, names), default=0) + 2)
        pitch = max(wanted, NARROWEST)
        if width is not None and len(names) > 1:
            pitch = min(pitch, (width - len(GUTTER) - ROOM) // (len(names) - 1))
        return cls(names, width, pitch if names and pitch >= NARROWEST else 0)

    def head(self) -> str:
        """The line that names the columns."""
        if not self.pitch:
            return self.cut(f"{GUTTER}{'cpu':<{self._name_width()}}event")
        names = [name[: self.pitch - 1].ljust(self.pitch) for name in self.tasks[:-1]]
        return self.cut("".join([GUTTER, *names, self.tasks[-1]]))

    def line(self, gutter: str, cpu: int | None, task: str | None, text: str) -> str:
        """One event: ``text`` in the column of its CPU, bars in those of the others."""
        if not self.pitch:
            name = printable(task or "")[: self._name_width() - 1]
            return self.cut(f"{gutter}{name:<{self._name_width()}}{text}".rstrip())
        if cpu is None or not 0 <= cpu < len(self.tasks):
            return self.cut(gutter + text)
        bar = "|".ljust(self.pitch)
        line = gutter + bar * cpu + text
        for other in range(cpu + 1, len(self.tasks)):
            place = len(gutter) + self.pitch * other
            if len(line) < place:
                line = line.ljust(place) + "|"
        return self.cut(line)

    def cut(self, text: str) -> str:
        """``text`` in one line of the terminal; ``...`` says that there was more."""
        if self.width is None or len(text) <= self.width:
            return text
        return text[: max(self.width - 3, 0)] + "..."[: self.width]

    def _name_width(self) -> int:
        return min(max([3, *map(len, self.tasks)]) if self.tasks else 10, 10) + 1


GUTTER: Final = f"{'step':>6} {'seq':>6}  "


def lines(
    records: Iterable[Record],
    tasks: Sequence[str],
    *,
    width: int | None = None,
    mark_steps: Mapping[int, str] | None = None,
) -> Iterator[Line]:
    """The view of ``records``, line by line as they come.

    ``mark_steps`` puts a line of its own before the first event shown of that step or a
    later one: ``{41: "--- loop begins ---"}``.
    """
    layout = Layout.fit(tasks, width)
    yield Line(layout.head(), "bold")
    marks = sorted((mark_steps or {}).items(), reverse=True)
    shown = None
    for record in records:
        while marks and marks[-1][0] <= record.step:
            yield Line(layout.cut(printable(marks.pop()[1])), "bold cyan")
            shown = None
        # a step is atomic: its number stands once, at its first event
        step = record.step if record.step != shown else ""
        gutter = f"{step:>6} {record.seq:>6}  "
        yield Line(layout.line(gutter, record.cpu, record.task, text_of(record)), style_of(record))
        shown = record.step


def render(
    records: Iterable[Record],
    tasks: Sequence[str],
    *,
    width: int | None = None,
    mark_steps: Mapping[int, str] | None = None,
) -> str:
    """``lines`` as one plain text."""
    view = lines(records, tasks, width=width, mark_steps=mark_steps)
    return "".join(line.text + "\n" for line in view)


def print_lines(
    records: Iterable[Record],
    tasks: Sequence[str],
    *,
    mark_steps: Mapping[int, str] | None = None,
) -> None:
    """``lines`` on stdout: fitted and coloured on a terminal, whole and plain elsewhere."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    on_terminal = console.is_terminal
    width = console.width if on_terminal else None
    for line in lines(records, tasks, width=width, mark_steps=mark_steps):
        if on_terminal:
            console.print(Text(line.text, line.style))
        else:
            sys.stdout.write(line.text + "\n")
    # once, not for each line: logs may be long
    sys.stdout.flush()


def text_of(record: Record) -> str:
    """``lock.try kernel_map refused <- 37``: the event in short, on one line."""
    words = [record.event]
    if record.obj is not None:
        words.append(_value(record.obj))
    if record.result is not None:
        words.append(_result(record))
    if record.cause is not None:
        # before what may be cut off at the edge of the terminal
        words.append(f"<- {record.cause}")
    fields = dict(record.fields)
    if record.event == END:
        words.append(_value(fields.pop("outcome", "")))
    said = fields.pop("text", None)
    words += [f"{key}={_value(value)}" for key, value in fields.items()]
    if said is not None:
        words.append(_value(said))
    return printable(" ".join(filter(None, words)))


def style_of(record: Record) -> str:
    """The rich style of a record; a refused or failed one stands out."""
    for glob, style in STYLES:
        if fnmatchcase(record.event, glob):
            return style
    refused = record.result is False and (_noun(record.event), False) in WORDS
    return "yellow" if refused else ""


def printable(text: str) -> str:
    """``text`` without anything that could move a cursor or reverse a line."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def _result(record: Record) -> str:
    if isinstance(record.result, bool):
        said = f"-> {_value(record.result)}"
        return WORDS.get((_noun(record.event), record.result), said)
    return f"-> {_value(record.result)}"


def _noun(event: str) -> str:
    return event.partition(".")[0]


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
