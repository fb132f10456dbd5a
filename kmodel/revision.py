"""Which model it is: a digest of its source, so that an edit is known and not guessed."""

from __future__ import annotations

from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Final

ROOMS: Final = (
    *("point", "recorder", "shared", "table", "world", "event", "panic", "param"),
    *("untracked", "remembered", "streak"),
    *("sync", "vm", "pmap", "fault", "uvmfault", "vmspace", "wiring"),
    *("fixes", "pagedaemon"),
    *("allocation", "boot", "demands", "leak", "properties", "shortage", "machine"),
)
"""The modules and packages whose text says what a step does. Not what loads a scenario,
searches it or writes it down."""


@cache
def revision(package: Path = Path(__file__).parent) -> str:
    """8 hex digits of the source of the model in ``package``: names and text of its files."""
    digest = blake2b(digest_size=4)
    for room in ROOMS:
        for path in (package / f"{room}.py", *sorted((package / room).rglob("*.py"))):
            if path.is_file():
                text = path.read_bytes()
                digest.update(
                    f"{path.relative_to(package).as_posix()} {len(text)}\n".encode() + text
                )
    return digest.hexdigest()
