"""``kmodel replay``: a recorded run again, step by step."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from kmodel.cli.options import as_json, print_json

if TYPE_CHECKING:
    from kmodel.case import Case
    from kmodel.explore.schedule import Token
    from kmodel.refit import Refit

UNEXPLAINED: Final = (
    "Neither the kernel model nor the scenario file changed since: what it imports did, or it is "
    "not deterministic."
)


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
    who waits for whom, who holds what, why the loop is fair, and which two events would have
    had to come the other way round. Ends with the digest of the events, which must be the
    one in the token.

    If the kernel model or the scenario was edited since, and the run with it, a token is
    followed by its anchors instead: each task steps until it stands where it stood when
    another went on. The output says so, says whether that still breaks the same, and gives
    the token of the run as it is now. A log has no anchors.

    \b
    Exit status:
      0  the run breaks nothing (not any more, after an edit; that proves nothing)
      1  it shows a violation: the token's, or after an edit another one
      2  its scenario or fix is not there, or is wrong
      3  nothing was edited, and yet the run is another one
      4  it hangs for want of who is not in the model, which shows nothing
      5  the token is damaged, or an event or task of its run is not there any more

    \b
    Example:
      kmodel replay k2-...
    """
    from kmodel.explain.decided import document
    from kmodel.explain.ran import Ran
    from kmodel.explain.story import deciding, story
    from kmodel.explore.host import TrioHost, on_trio
    from kmodel.explore.moment import Watch
    from kmodel.explore.purity import pure
    from kmodel.refit import case_of
    from kmodel.shown import Shown
    from kmodel.verdict import UNEVENTFUL

    token, whole = _token(token_or_file)
    with pure():
        case = case_of(token)
        fresh = _fitted(case, token, whole)
        token = fresh.token if fresh else token
        shown = Shown(case, token, logs, keep=True, whole=whole)
        watch = Watch(shown.execution, shown.strategy)
        host = TrioHost(shown.execution, watch, shown.max_steps)
        outcome = _ran(on_trio, host.run)
        digest = shown.close(outcome)
        ran = Ran(token, shown.execution, watch, shown.recorder.records)
        told, pair = [], None
        if token.kind not in UNEVENTFUL:
            # of a run that went otherwise than recorded no other order can be told
            search = deciding(token, case.build) if digest == token.digest else None
            told = story(ran, case.build, search)
            pair = document(search.pair, ran.names) if search else None
    if as_json:
        more = {"story": told, "decisive": pair}
        print_json(_document(case, token, shown, digest, fresh) | more)
    else:
        _print(token, shown, digest, told, fresh)
    sys.exit(_status(token, digest))


def _fitted(case: Case, token: Token, whole: bool) -> Refit | None:
    """What becomes of ``token`` in a model that was edited since; ``None`` if its run is still
    the same, event for event."""
    from kmodel.explore.schedule import TokenError
    from kmodel.refit import changed, refit, repeats

    edited = changed(case, token)
    if not edited or repeats(case, token, whole):
        return None
    if whole:
        raise TokenError(
            f"the log does not fit the model as it is now: {' and '.join(edited)} changed since, "
            "and the same steps are another run. A log has no anchors to follow; a token has."
        )
    return refit(case, token)


def _ran(run: Any, host: Any) -> Any:
    """Run it. A recorded step that is not possible, with nothing edited, is a divergence."""
    from kmodel.explore.strategy import ReplayDiverged
    from kmodel.explore.tree import Divergence

    try:
        return run(host)
    except ReplayDiverged as error:
        raise Divergence(f"{error}. {UNEXPLAINED}") from error


def _token(token_or_file: str) -> tuple[Token, bool]:
    """The token itself, the one in a file, or that of a log's run (then it is ``whole``)."""
    from kmodel.explore.schedule import OLDER, PREFIX, TokenError, parse
    from kmodel.shown import from_log

    if token_or_file.startswith((PREFIX, OLDER)):
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
        if word.startswith((PREFIX, OLDER)):
            return parse(word), False
    if "log.header" in text[:100]:
        return from_log(path), True
    raise TokenError(f"{path} holds no token: no word in it begins with {PREFIX}")


def _print(token: Token, shown: Any, digest: str, told: list[str], fresh: Refit | None) -> None:
    from kmodel.log.show import render

    stem, loop = token.schedule()
    tasks = [task.name for task in shown.execution.world.tasks]
    marks = {len(stem): f"--- the loop begins ({len(loop)} steps)"} if loop else {}
    shows = f"{token.kind} ({token.property})" if token.property else "nothing is broken"
    fix = f", fix {token.fix}" if token.fix else ""
    click.echo(f"{token.scenario}{fix}: {shows}")
    if fresh:
        click.echo(_followed(fresh))
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
    if fresh:
        click.echo(f"\nThe token of this run, as the model is now:\n  kmodel replay {token.word()}")
    click.echo(f"\ndigest {digest}")
    if shown.recorder.path:
        click.echo(f"log: {shown.recorder.path}")


def _followed(fresh: Refit) -> str:
    """What was edited, and whether the run still shows what it did."""
    what = " and ".join(fresh.changed)
    was = f"{fresh.old.kind} ({fresh.old.property})"
    shows = f"It still shows {was}" if fresh.again else f"It does not show {was} any more"
    return (
        f"{what[0].upper()}{what[1:]} changed since the token was made: its run was followed by "
        f"its anchors.\n{shows}: {fresh.shows}."
    )


def _document(
    case: Case, token: Token, shown: Any, digest: str, fresh: Refit | None
) -> dict[str, Any]:
    from kmodel.shown import replayed

    document = replayed(case, token, shown, digest).document()
    if fresh:
        document["followed"] = {
            "changed": list(fresh.changed),
            "again": fresh.again,
            "shows": fresh.shows,
            "of": fresh.old.word(),
        }
    return document


def _status(token: Token, digest: str) -> int:
    """1: it shows a violation (0: a run without one; 4: a hang for want of who is not in the
    model). 3: the same steps are another run, and
    nothing that would explain it was edited."""
    from kmodel.verdict import UNEVENTFUL

    if digest == token.digest:
        special = {"scenario-error": 2, "left-out": 4}
        return special.get(token.kind, int(token.kind not in UNEVENTFUL))
    click.echo(
        f"Error: the same schedule gave other events: digest {digest} now, {token.digest} when it "
        f"was recorded. {UNEXPLAINED}",
        err=True,
    )
    return 3
