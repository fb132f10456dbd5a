"""The digest of the model's source: what changes it, and what does not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from test_floors import FLOOR0, FLOORS, KERNEL

import kmodel
from kmodel.revision import ROOMS, revision

LOADING = {"settings", "situations", "story"}
"""Of the kernel's floors those that only find a scenario and check its parameters."""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the package."""
    package = tmp_path / "kmodel"
    shutil.copytree(Path(kmodel.__file__).parent, package)
    return package


def test_every_room_of_the_model_is_covered() -> None:
    """Floor 0 and the kernel's, but for what loads a scenario. A new room must be entered."""
    assert set(ROOMS) == (FLOOR0 | KERNEL) - LOADING
    assert all(FLOORS[room] <= 5 for room in ROOMS)


def test_a_copy_has_the_same_revision(copy: Path) -> None:
    """Wherever it lies, whatever else is there."""
    (copy / "vm" / "notes.txt").write_text("not of the model")
    assert revision(copy) == revision()
    assert len(revision()) == 8


@pytest.mark.parametrize("name", ["fault.py", "fixes/wait.py", "vm/pool.py", "point.py"])
def test_an_edit_of_the_model_is_another_revision(copy: Path, name: str) -> None:
    """One character is enough."""
    before = revision()
    (copy / name).write_text((copy / name).read_text() + "\n")
    assert revision(copy) != before


@pytest.mark.parametrize("name", ["explore/graph.py", "cli/replay.py", "log/show.py", "judge.py"])
def test_an_edit_of_anything_else_is_not(copy: Path, name: str) -> None:
    """What searches, judges and prints says nothing about what a step does."""
    (copy / name).write_text("raise NotImplementedError\n")
    assert revision(copy) == revision()


def test_moving_text_from_file_to_file_is_another_revision(copy: Path) -> None:
    """Names and lengths are covered, not only the text in a row."""
    one, two = copy / "fixes" / "populate.py", copy / "fixes" / "wait.py"
    one_text, two_text = one.read_text(), two.read_text()
    one.write_text(one_text + two_text[:10])
    two.write_text(two_text[10:])
    assert revision(copy) != revision()
