"""How a logged run ends, told from the same run made again: the story that a replay tells."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from kmodel.explain.ran import Ran
from kmodel.explain.story import deciding, story
from kmodel.explore.execution import run
from kmodel.explore.moment import Watch
from kmodel.explore.schedule import Token, TokenError, parse
from kmodel.explore.strategy import ReplayDiverged
from kmodel.log.record import Record
from kmodel.refit import case_of
from kmodel.settings import UsageError
from kmodel.shown import Shown, from_log
from kmodel.verdict import UNEVENTFUL
from kmodel.world import ScenarioError

LONGEST: Final = 20_000
"""Steps of a run that is made again; what it was like before each is kept."""


def ending(path: Path, header: dict[str, Any], end: Record) -> list[str]:
    """The story of how the run at ``path`` ends; nothing for one that breaks nothing.

    Raises ``TokenError`` where it cannot be made again as it was."""
    if end.fields.get("outcome") in UNEVENTFUL:
        return []
    if end.step > LONGEST:
        raise TokenError(f"it has more than {LONGEST:,} steps")
    token, whole = _token(path, header)
    try:
        case = case_of(token)
        shown = Shown(case, token, keep=True, whole=whole)
        watch = Watch(shown.execution, shown.strategy)
        digest = shown.close(run(shown.execution, watch, shown.max_steps))
    except (ReplayDiverged, UsageError, ScenarioError) as error:
        raise TokenError(str(error)) from error
    if digest != end.fields.get("digest"):
        raise TokenError("the model or the scenario has changed since")
    ran = Ran(token, shown.execution, watch, shown.recorder.records)
    return story(ran, case.build, deciding(token, case.build))


def _token(path: Path, header: dict[str, Any]) -> tuple[Token, bool]:
    """Of a replayed run the token that it was made from, which knows its loop."""
    word = header.get("token")
    if not isinstance(header.get("scenario"), str) or not isinstance(header.get("params"), dict):
        raise TokenError("its header does not say of which scenario it is")
    if isinstance(word, str):
        return parse(word), False
    try:
        return from_log(path), True
    except (KeyError, TypeError) as error:
        raise TokenError("it is no log of a run of kmodel") from error
