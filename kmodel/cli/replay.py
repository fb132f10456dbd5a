"""``kmodel replay``: a recorded run again, step by step."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kmodel.cli.options import as_json, print_json

if TYPE_CHECKING:
    from kmodel.case import Case
    from kmodel.explore.schedule import Token


UNEVENTFUL = ("done", "limit")
"""Outcomes of a run that show no violation."""


@click.command()
@click.argument("token_or_file")
@click.option(
    "--logs",
    type=click.Path(path_type=Path, file_okay=False),
    help="Also write the run's log there.",
)
@as_json
def replay(token_or_file: str, logs: Path | None, as_json: bool) -> None:
    """Run TOKEN again on Trio tasks: every step, one column a CPU.

    A token is what explore, compare and run print; a file may hold one, or be the log of
    a run. A lasso's loop is shown once. Then it is told in a few sentences:
    who waits for whom, who holds what, why the loop is fair. Ends with the digest of the
    events, which must be the one in the token.

    \b
    Example:
      kmodel replay k1-...
    """
    import trio

    from kmodel.case import Case
    from kmodel.explain.ran import Ran
    from kmodel.explain.story import story
    from kmodel.explore.host import TrioHost
    from kmodel.explore.moment import Watch
    from kmodel.explore.purity import pure
    from kmodel.shown import Shown

    token, whole = _token(token_or_file)
    with pure():
        case = Case.of(token.scenario, token.params, token.fix or None)
        shown = Shown(case, token, logs, keep=True, whole=whole)
        watch = Watch(shown.execution, shown.strategy)
        host = TrioHost(shown.execution, watch, shown.max_steps)
        outcome = trio.run(host.run)
        digest = shown.close(outcome)
        ran = Ran(token, shown.execution, watch, shown.recorder.records)
        told = story(ran, case.build) if token.kind not in UNEVENTFUL else []
    if as_json:
        print_json(_document(case, token, shown, digest) | {"story": told})
    else:
        _print(token, shown, digest, told)
    sys.exit(_status(case, token, digest))


def _token(token_or_file: str) -> tuple[Token, bool]:
    """The token itself, the one in a file, or that of a log's run (then it is ``whole``)."""
    from kmodel.explore.schedule import PREFIX, TokenError, parse
    from kmodel.shown import from_log

    if token_or_file.startswith(PREFIX):
        return parse(token_or_file), False
    path = Path(token_or_file)
    if path.is_dir():
        path = path / "events.jsonl"
    if not path.is_file():
        raise TokenError(
            f"{token_or_file[:60]!r} is neither a token (those begin with {PREFIX}) nor a file"
        )
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise TokenError(f"{path} cannot be read: {error.strerror}") from error
    for word in text.replace('"', " ").split():
        if word.startswith(PREFIX):
            return parse(word), False
    if "log.header" in text[:100]:
        return from_log(path), True
    raise TokenError(f"{path} holds no token: no word in it begins with {PREFIX}")


def _print(token: Token, shown: Any, digest: str, told: list[str]) -> None:
    from kmodel.log.show import render

    stem, loop = token.schedule()
    tasks = [task.name for task in shown.execution.world.tasks]
    marks = {len(stem): f"--- the loop begins ({len(loop)} steps)"} if loop else {}
    fix = f", fix {token.fix}" if token.fix else ""
    click.echo(f"{token.scenario}{fix}: {token.kind} ({token.property})")
    click.echo(render(shown.recorder.records, tasks, mark_steps=marks), nl=False)
    if loop:
        click.echo(
            "--- and so on for ever: every shared value is again what it was at the loop's "
            "beginning"
        )
    for name, place in shown.execution.waiting().items():
        click.echo(f"{name} is at {place}")
    if told:
        click.echo("\nWhat happened")
    for sentence in told:
        click.echo(f"  {sentence}")
    click.echo(f"\ndigest {digest}")
    if shown.recorder.path:
        click.echo(f"log: {shown.recorder.path}")


def _document(case: Case, token: Token, shown: Any, digest: str) -> dict[str, Any]:
    from kmodel.shown import replayed

    return replayed(case, token, shown, digest).document()


def _status(case: Case, token: Token, digest: str) -> int:
    """1: it shows a violation again (0: a run without one). 5: the token is of another
    model. 3: neither."""
    if digest == token.digest:
        return 2 if token.kind == "scenario-error" else int(token.kind not in UNEVENTFUL)
    import kmodel

    changed = [
        what
        for what, then, now in (
            ("kmodel's version", token.version, kmodel.__version__),
            ("the scenario file", token.scenario_digest, case.scenario.digest),
        )
        if then != now
    ]
    if changed:
        click.echo(
            f"Error: the run ends with another digest ({token.digest} was recorded), and "
            f"{' and '.join(changed)} changed since: the token does not fit.",
            err=True,
        )
        return 5
    click.echo(
        f"Error: the same schedule gave other events: digest {digest} now, {token.digest} when it "
        "was recorded. Either the model's code was edited since, or it is not deterministic.",
        err=True,
    )
    return 3
