"""The README's pictures show what the commands show."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from xml.etree import ElementTree

DOCS = Path(__file__).parent.parent / "docs"


def test_the_pictures_are_what_the_commands_show_now() -> None:
    """If not: ``python docs/pictures.py``."""
    spec = importlib.util.spec_from_file_location("pictures", DOCS / "pictures.py")
    assert spec
    assert spec.loader
    pictures = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pictures)
    found = pictures.made()
    readme = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    for name, text in found.items():
        ElementTree.fromstring(text)
        assert (DOCS / name).read_text(encoding="utf-8") == text, "run python docs/pictures.py"
        assert f"docs/{name}" in readme
