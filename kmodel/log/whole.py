"""Files that are there whole or not at all: written under another name, then renamed; or
copied to standard output, where ``-`` is named."""

from __future__ import annotations

import gzip
import os
import shutil
import sys
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from kmodel.log.record import HEADER
from kmodel.log.runs import LogError

STDOUT: Final = Path("-")
"""The name that means standard output."""


@contextmanager
def written(path: Path) -> Iterator[BinaryIO]:
    """A file to write to, which takes the place of ``path`` when all went well; what is
    written to ``STDOUT`` goes there then.

    Raises ``LogError`` where the system refuses, and for what is there and is no file (a
    device, a pipe) or is the log of a run: those must never be replaced. What was there
    before is then left."""
    if path == STDOUT:
        with tempfile.NamedTemporaryFile() as file:
            yield file  # type: ignore[misc]
            file.flush()
            with open(file.name, "rb") as whole:
                shutil.copyfileobj(whole, sys.stdout.buffer)
            sys.stdout.flush()
        return
    if path.exists() and not path.is_file():
        raise LogError(
            f"{path} is a pipe, a device or a directory, and not a file that can be replaced. "
            "Name a file, or - for standard output."
        )
    path = path.resolve()
    if path.exists() and _is_a_log(path):
        raise LogError(f"{path} is the log of a run, and would be replaced. Name another file.")
    temporary: Path | None = None
    try:
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=f".{path.name[:80]}.", delete=False
        ) as file:
            temporary = Path(file.name)
            yield file  # type: ignore[misc]
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise LogError(f"{path} cannot be written: {reason}. Name another file.") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


class _Enough(Exception):
    """All that a probe wanted to know."""


def probe(path: Path) -> None:
    """Raises what ``written`` would, and leaves nothing behind: for before a long work."""
    with suppress(_Enough), written(path):
        raise _Enough


def _is_a_log(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            begins = file.read(64)
        if begins.startswith(b"\x1f\x8b"):
            with gzip.open(path) as unpacked:
                begins = unpacked.read(64)
    except (OSError, EOFError, zlib.error):
        return False
    return HEADER.encode() in begins


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
