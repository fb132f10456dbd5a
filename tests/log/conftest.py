from __future__ import annotations

from pathlib import Path

import pytest
from recorded import record


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    return tmp_path / "logs"


@pytest.fixture
def events(logs: Path) -> Path:
    """The file of a whole run: a header, nine events and ``run.end``."""
    path = record(logs).path
    assert path is not None
    return path
