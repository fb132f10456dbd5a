"""The decision matrix on a terminal."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any, Final

import click

from kmodel.cell import at_least, stops
from kmodel.cli.options import finding_lines
from kmodel.verdict import Verdict

if TYPE_CHECKING:
    from kmodel.cell import Cell
    from kmodel.compare import Judged

COLOURS: Final = {"holds": "green", "violated": "red", "inconclusive": "yellow"}
OPEN: Final = "~"
"""Stands at numbers of what is not searched to its end."""
NOT_WHOLE: Final = (
    ">= found so far: not every variant was searched to its end, and there may be worse.\n"
    "inconclusive: nothing is broken so far, and not every variant was searched to its end."
)
WIDE: Final = 21
"""Characters of a situation's column in the overview, with its gap."""


def overview(found: list[Cell], cannot: list[dict[str, str]], width: int) -> None:
    """A row for each fix, a column for each situation: the worst of each cell. As many columns
    beside each other as there is room for."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    fixes = list(dict.fromkeys(cell.fix for cell in found))
    places = list(dict.fromkeys(cell.situation for cell in found))
    by = {(cell.fix, cell.situation): cell for cell in found}
    never = {(one["fix"], one["situation"]) for one in cannot}
    first = max(map(len, fixes), default=0) + 2
    columns = max((width - first) // WIDE, 1)
    console = Console(highlight=False, soft_wrap=True)
    for start in range(0, len(places), columns):
        here = places[start : start + columns]
        table = Table("fix", *map(_broken, here), box=box.SIMPLE_HEAD, pad_edge=False)
        table.show_edge = False
        for column in table.columns:
            column.no_wrap = True
        for fix in fixes:
            marks = [_short(by.get((fix, place)), (fix, place) in never) for place in here]
            table.add_row(f"[bold]{fix}[/bold]", *marks)
        console.print(table)
        console.print()
    if not all(cell.complete for cell in found):
        click.echo(NOT_WHOLE)


def _broken(place: str) -> str:
    """In two lines, if it is long."""
    head, hyphen, tail = place.partition("-")
    return f"{head}-\n{tail}" if hyphen and len(place) > 12 else place


def _short(cell: Cell | None, never: bool) -> str:
    if cell is None:
        return "-" if never else ""
    return _kind(cell.worst.verdict, cell.complete)


def finished(cell: Cell) -> str:
    """One line that says what became of a cell."""
    verdict, variants = cell.worst.verdict, len(cell.variants)
    states = max(judged.verdict.evidence.states for judged in cell.variants)
    many = f"{variants} variant{'' if variants == 1 else 's'}"
    kind = _kind(verdict, cell.complete)
    return f"{cell.fix} in {cell.situation}: {kind} ({many}, up to {states:,} states)"


def details(found: list[Cell]) -> None:
    """A table of verdicts and one of counts for each situation, and below them the commands
    that show what they say."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    notes: list[str] = []
    for situation in dict.fromkeys(cell.situation for cell in found):
        here = [cell for cell in found if cell.situation == situation]
        console.print(_title(situation, here))
        _print(console, _verdicts(here, notes))
        early = [
            f"{number} variant{'' if number == 1 else 's'} ({why})"
            for why, number in stops(judged for cell in here for judged in cell.variants)
        ]
        if early:
            click.echo(_filled(f"{OPEN} not searched to the end: {', '.join(early)}"))
        console.print("\nmost on any run (mean of random runs*):")
        _print(console, _counts(here))
        console.print()
    for number, note in enumerate(notes, 1):
        click.echo(f"[{number}] {note}")
    _afterword(found)


def tell_left_out(cannot: list[dict[str, str]]) -> None:
    """The cells that cannot be, those with the same reason in one line."""
    told: dict[tuple[str, str], list[str]] = {}
    for cell in cannot:
        told.setdefault((cell["situation"], cell["reason"]), []).append(cell["fix"])
    for (situation, reason), who in told.items():
        click.echo(_filled(f"left out of {situation} ({', '.join(who)}): {reason}."))


def _filled(line: str) -> str:
    return textwrap.fill(line, 78, break_on_hyphens=False, subsequent_indent="  ")


def _title(situation: str, here: list[Cell]) -> str:
    import attrs

    from kmodel import situations, story

    found = situations.load(situation)
    own = [f.name for f in attrs.fields(story.load(found.scenario).own)]
    every = [cell.bounds for cell in here]
    same = {k: v for k, v in every[0].items() if all(one.get(k) == v for one in every)}
    first, rest = (
        ", ".join(f"{key}={value}" for key, value in same.items() if (key in own) == mine)
        for mine in (True, False)
    )
    variants = "; ".join(
        f"{key} {' | '.join(map(str, here[0].kernels[key]))}" for key in found.variants
    )
    title = f"\n[bold]{situation}[/bold]: {found.summary}\nbounds: {first}"
    sizes = textwrap.fill(f"sizes: {rest}", 78, subsequent_indent="  ")
    return "\n".join(filter(None, (title, sizes, f"variants: {variants}", here[0].set_by_hand)))


def _verdicts(here: list[Cell], notes: list[str]) -> Any:
    """Each property of each fix, and of each variant of it."""
    table = _table("fix, variant", *here[0].worst.properties, "states")
    table.columns[-1].no_wrap = True
    for cell in here:
        marks = [_mark(cell.on(name), cell.complete, notes) for name in cell.worst.properties]
        table.add_row(f"[bold]{cell.fix}[/bold]", *marks)
        for judged in cell.variants:
            stop = "" if judged.complete else OPEN
            kinds = [_kind(one, judged.complete) for one in judged.properties.values()]
            table.add_row(_variant(judged), *kinds, f"{judged.verdict.evidence.states:,}{stop}")
    return table


def _counts(here: list[Cell]) -> Any:
    """What is counted: the most on any run, and the mean of random ones."""
    causes = sorted({c for cell in here for v in cell.variants for c in _failures(v)})
    table = _table("fix, variant", "refaults", *causes, "daemon laps", "random runs ended*")
    for cell in here:
        table.add_row(f"[bold]{cell.fix}[/bold]")
        for judged in cell.variants:
            counts = judged.verdict.counts
            means = counts.get("random", {})
            failed = means.get("mean_pool_failures", {})
            table.add_row(
                _variant(judged),
                _both(_most(judged, counts, "refaults"), means.get("mean_refaults")),
                *(
                    _both(_most(judged, _failures(judged), cause), means and failed.get(cause, 0))
                    for cause in causes
                ),
                _both(_most(judged, counts, "daemon_laps"), means.get("mean_daemon_laps")),
                f"{means['ended'].get('done', 0)} of {means['runs']}" if means else "",
            )
    return table


def _table(*heads: str) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(*heads, box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.columns[0].no_wrap = True
    return table


def _print(console: Any, table: Any) -> None:
    """Wider than the terminal if need be: no word is broken."""
    options = console.options.update(max_width=1000)
    for column in table.columns:
        every = [console.measure(c, options=options) for c in (column.header, *column.cells)]
        column.min_width = max(one.maximum if column.no_wrap else one.minimum for one in every)
    width = console.width
    needs = sum(column.min_width + 2 for column in table.columns)
    console.width = max(width, needs)
    console.print(table)
    console.width = width


def _variant(judged: Judged) -> str:
    return f"  {', '.join(map(str, judged.unit.variant.values()))}"


def _both(most: str, mean: Any) -> str:
    """The most of any run and, of a graph that is whole, the mean of random ones."""
    return most if mean in (None, {}) else f"{most} ({mean:g})"


def _failures(judged: Judged) -> dict[str, int | None]:
    failures: dict[str, int | None] = judged.verdict.counts.get("pool_failures", {})
    return failures


def _most(judged: Judged, counts: dict[str, Any], name: str) -> str:
    """The most of any run; ``?`` where there was no time left to tell."""
    if "pool_failures" not in judged.verdict.counts:
        return "?"
    most = counts.get(name, 0)
    if most is None:
        return "inf"
    return f"{most}" if judged.complete else f">={most}"


def _mark(verdict: Verdict, complete: bool, notes: list[str]) -> str:
    kind = _kind(verdict, complete)
    if verdict.replay is None:
        return f"[bold]{kind}[/bold]"
    notes.append(f"{verdict.message}\n    kmodel replay {verdict.replay}")
    return f"[bold]{kind} \\[{len(notes)}][/bold]"


def _kind(verdict: Verdict, complete: bool) -> str:
    word = at_least(verdict.kind or verdict.verdict, verdict, complete)
    return f"[{COLOURS[verdict.verdict]}]{word}[/]"


def _afterword(found: list[Cell]) -> None:
    from kmodel.properties import PROPERTIES
    from kmodel.sampling import SAMPLE_STEPS

    for name in dict.fromkeys(name for cell in found for name in cell.worst.properties):
        click.echo(f"{name}: {PROPERTIES[name].sentence}.")
    judged = [one for cell in found for one in cell.variants if "random" in one.verdict.counts]
    if judged:
        means = judged[0].verdict.counts["random"]
        click.echo(
            f"inf: without bound. * {means['runs']} random runs, seeds from {means['seed']}: a "
            "sample.\n  Given up where they begin to go round for ever, or after "
            f"{SAMPLE_STEPS} steps,\n  and counted as they stand. Refaults: most of one fault, "
            "mean of all."
        )
    for title, of in (("ruled out only by lock-grant", "excluded"), ("also found", "findings")):
        told: dict[str, tuple[list[str], Any]] = {}
        for cell in found:
            for finding, _ in cell.others(of):
                who, _ = told.setdefault(finding.kind + finding.message, ([], finding))
                who += [cell.fix] if cell.fix not in who else []
        for who, finding in told.values():
            click.echo(f"{title} ({', '.join(who)}): {finding_lines(finding)[0]}")
            if finding.replay:
                click.echo(f"    kmodel replay {finding.replay}")
    every = [cell.assumed for cell in found]
    shared = [one for one in every[0] if all(one in each for each in every)]
    click.echo(f"assumed: {'; '.join(shared)}")
