"""What is said while something takes long."""

from __future__ import annotations

import time

import pytest

from kmodel.cli import progress


@pytest.mark.parametrize(("quiet", "told"), [(0.0, "drawing\n"), (60.0, "")])
def test_only_what_takes_long_is_told(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    quiet: float,
    told: str,
) -> None:
    """On stderr, and never after it is over."""
    monkeypatch.setattr(progress, "QUIET", quiet)
    with progress.told_if_long("drawing"):
        time.sleep(0.1)
    assert capsys.readouterr() == ("", told)
