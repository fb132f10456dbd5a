"""``kmodel log eval``: when is this true?"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kmodel.cli.amount import Amount
from kmodel.cli.log.columns import aligned
from kmodel.cli.log.run import UNFINISHED, Refused, caption, of_a_run, opened, state_of
from kmodel.cli.options import as_json

if TYPE_CHECKING:
    from kmodel.log.expression import Expression
    from kmodel.log.names import Names
    from kmodel.log.reader import Reader
    from kmodel.log.record import Record
    from kmodel.rerun import Rerun

SCHEMA = "kmodel.log-eval/1"

Value = bool | str | None
"""True, false, none, or anything else in words."""

TOO_LONG = 4


@click.command("eval")
@of_a_run
@click.argument("expression", required=False)
@click.option("--names", is_flag=True, help="List what an expression can speak of.")
@click.option(
    "--max-seconds",
    type=Amount(0.01),
    default=60.0,
    show_default=True,
    help="Then it stops, at a step that is named.",
)
@as_json
def evaluate(
    run: str, logs: Path, expression: str | None, names: bool, max_seconds: float, as_json: bool
) -> None:
    """Run RUN again and show where the value of EXPRESSION changes.

    EXPRESSION is an expression of Python over the shared objects of the scenario; it can
    look and do nothing else. An object whose name is no word is found by its kind:
    mutex("vp.pr_mtx"). A thread is its name in quotes, wherever an object holds one: "A" in
    channel("&uvmexp.free").sleepers; in a kernel's story, cpu("A").held are the locks that it
    holds. There are len, any, all, min, max, sum, and bits, which counts the ones of a
    number. The scenario named in the log is run.

    Exit status: 0 shown, 2 no such run or a wrong expression, 4 --max-seconds was not
    enough, 5 the log is damaged or does not fit the model (all before is shown).

    \b
    Examples:
      kmodel log eval contended_kernel_map-wait-seed7-1 'kernel_map.writer == "K"'
      kmodel log eval contended_kernel_map-wait-seed7-1 'pool("vp").nout > 1'
      kmodel log eval contended_kernel_map-wait-seed7-1 --names
    """
    from kmodel.explore.purity import pure
    from kmodel.log.expression import Expression, ExpressionError
    from kmodel.log.names import Names
    from kmodel.rerun import Rerun

    if (expression is None) is not names:
        raise click.UsageError("Give an EXPRESSION, or --names.")
    late = False
    with opened(run, logs) as reader, pure():
        if not reader.header:
            return
        rerun = Rerun(reader)
        known = Names(rerun.world)
        if expression is None:
            rerun.execution.close()
            _list(known, as_json)
            return
        try:
            asked = Expression(expression, known)
            asked.check()
        except ExpressionError as error:
            rerun.execution.close()
            raise Refused(f"{expression}: {error}.") from error
        watched = Watched(rerun, asked, time.monotonic() + max_seconds)
        show = _print_json if as_json else _print_lines
        show(reader, expression, watched)
        late = watched.late
    if late:
        click.echo(f"kmodel log: stopped after {watched.steps} steps: --max-seconds.", err=True)
        sys.exit(TOO_LONG)


class Watched:
    """The changes of an expression's value: iterate it once. ``steps`` are those taken."""

    def __init__(self, rerun: Rerun, expression: Expression, deadline: float) -> None:
        self._rerun, self._expression, self._deadline = rerun, expression, deadline
        self.steps = 0
        self.late = False

    def __iter__(self) -> Iterator[tuple[Record | None, Value]]:
        """The first record of the step that changed it (``None``: before the first), and
        the new value."""
        value = self._value()
        yield None, value
        for record in self._rerun:
            self.steps += 1
            now = self._value()
            if now != value:
                value = now
                yield record, value
            if time.monotonic() > self._deadline:
                self.late = True
                self._rerun.execution.close()
                return

    def _value(self) -> Value:
        from kmodel.log.names import Undefined, told

        try:
            value = self._expression.value()
        except Undefined as error:
            return f"undefined: {error}"
        return value if isinstance(value, bool) or value is None else told(value)


def _print_lines(reader: Reader, expression: str, watched: Watched) -> None:
    from kmodel.log.show import printable, text_of

    click.echo(caption(reader))
    click.echo(f"{'step':>6}  {printable(expression)}")
    changes = -1
    for record, value in watched:
        changes += 1
        if record is None:
            click.echo(f"{'start':>6}  {printable(str(value))}")
        else:
            by = f"{record.task}: {text_of(record)}"
            click.echo(f"{record.step:>6}  {printable(str(value)):<12}  {by}")
    click.echo(f"{changes} change{'s' * (changes != 1)} in {watched.steps} steps")
    if reader.end is None and reader.damage is None and not watched.late:
        click.echo(f"--- {UNFINISHED} ---")


def _print_json(reader: Reader, expression: str, watched: Watched) -> None:
    out = sys.stdout
    head = {"schema": SCHEMA, "run": str(reader.path), "expression": expression}
    out.write(json.dumps(head)[:-1] + ', "changes": [')
    for number, (record, value) in enumerate(watched):
        row: dict[str, Any] = {"step": None, "value": value}
        if record is not None:
            row = {"step": record.step, "value": value, "seq": record.seq}
            row |= {"task": record.task, "event": record.event, "obj": record.obj}
        out.write((",\n" if number else "\n") + json.dumps(row))
    rest = {"steps": watched.steps, "complete": not watched.late} | state_of(reader)
    if watched.late:
        # it has not been read to its end
        rest["unfinished"] = None
    out.write("\n], " + json.dumps(rest)[1:] + "\n")


def _list(names: Names, as_json: bool) -> None:
    from kmodel.log.names import fields_of

    rows = [
        (names.how(name), type(thing).__name__, " ".join(fields_of(thing)))
        for name, thing in names.things.items()
    ]
    if as_json:
        json.dump({"schema": SCHEMA, "names": [row[0] for row in rows]}, sys.stdout, indent=2)
        sys.stdout.write("\n")
    else:
        click.echo("\n".join(aligned(("write", "kind", "fields"), rows, 110)))
