"""A file that only grows: one line that says what it is, then chunks.

::

    {"schema":"kmodel.checkpoint/1",...,"sum":"7c1e..."}      newline
    length (4 bytes) | its check (4) | sum (8) | so many bytes, compressed
    ...

Each ``sum`` covers the sum before it, so that a changed, lost or moved chunk is found. A
kill can only leave the last chunk unfinished: a *torn tail*, which is cut. Anything else
that does not fit is damage, and is told with the byte where it begins. Sums find
accidents; they are no signature. Nothing that is read is ever run.
"""

from __future__ import annotations

import fcntl
import json
import os
import zlib
from collections.abc import Iterator
from contextlib import suppress
from hashlib import blake2b
from io import FileIO
from pathlib import Path
from typing import Any, Final

from kmodel import __version__

FORMAT: Final = "kmodel.checkpoint/"
SCHEMA: Final = FORMAT + "1"
HEAD: Final = 16
"""Bytes before the content of a chunk."""
LONGEST_LINE: Final = 1 << 20
LARGEST: Final = 1 << 30
"""Bytes of a chunk, also unpacked: a limit on what a foreign file can ask for."""


class CheckpointError(Exception):
    """The file is damaged, foreign, or does not fit the model; the message says where."""


class CheckpointRefused(Exception):
    """The file cannot be had: it is there already, not there, or another process has it."""


class Journal:
    """One such file, open and locked. Made by ``create`` or ``open``.

    ``header`` is the first line; ``end`` the byte after the last good chunk; ``torn`` how
    many bytes of an unfinished chunk were cut (known once ``chunks`` came to its end).
    """

    def __init__(self, path: Path, file: FileIO) -> None:
        self.path, self.header = path, dict[str, Any]()
        self.end = self.torn = 0
        self._file = file
        self._sum = b""

    @classmethod
    def create(cls, path: Path, about: dict[str, Any]) -> Journal:
        """Begin one at ``path``, where nothing may be. Raises ``CheckpointRefused``."""
        journal = cls(path, _locked(path, os.O_CREAT))
        try:
            if os.fstat(journal._file.fileno()).st_size:
                raise CheckpointRefused(
                    f"{path} is there already: go on with --resume {path}, or remove it first"
                )
            journal.header = {"schema": SCHEMA, "kmodel": __version__, **about}
            opened = json.dumps(journal.header, separators=(",", ":")).encode()[:-1]
            journal._sum = _digest(opened)
            journal._write(opened + b',"sum":"' + journal._sum.hex().encode() + b'"}\n')
        except OSError as error:
            journal.close()
            raise CheckpointRefused(f"{path} cannot be written: {_reason(error)}") from error
        except BaseException:
            journal.close()
            raise
        return journal

    @classmethod
    def open(cls, path: Path) -> Journal:
        """The one at ``path``, to read its ``chunks`` and go on. Raises ``CheckpointRefused``
        and ``CheckpointError``."""
        journal = cls(path, _locked(path, 0))
        try:
            journal._read_header()
        except BaseException:
            journal.close()
            raise
        return journal

    def chunks(self) -> Iterator[bytes]:
        """The content of every chunk; at the end a torn tail is cut off the file."""
        size = os.fstat(self._file.fileno()).st_size
        self._file.seek(self.end)
        while self.end < size:
            head = self._read(HEAD)
            length = int.from_bytes(head[:4])
            if len(head) == HEAD and head[4:8] != _check(head[:4], self._sum):
                raise self.damaged("what should be the head of a chunk is none")
            if len(head) < HEAD or self.end + HEAD + length > size:
                self.torn = size - self.end
                os.ftruncate(self._file.fileno(), self.end)
                return
            packed = self._read(min(length, LARGEST))
            if head[8:] != _digest(self._sum + packed):
                raise self.damaged("the content of this chunk is not what was written")
            yield self._unpacked(packed)
            self._sum = head[8:]
            self.end += HEAD + length

    def append(self, content: bytes, safe: bool) -> None:
        """Add a chunk; once ``safe`` it also survives a power cut. Raises ``OSError``, and
        then the file is as before."""
        packed = zlib.compress(content, 1)
        length, own = len(packed).to_bytes(4), _digest(self._sum + packed)
        self._write(length + _check(length, self._sum) + own + packed)
        self._sum = own
        if safe:
            os.fsync(self._file.fileno())

    def damaged(self, what: str) -> CheckpointError:
        """What to raise for harm at the present place."""
        return CheckpointError(
            f"{self.path} is damaged at byte {self.end}: {what}. What comes before is good: "
            f"'truncate -s {self.end} {self.path}', then --resume {self.path} goes on from there"
        )

    def close(self) -> None:
        """Let others have the file."""
        self._file.close()

    def _read_header(self) -> None:
        line, newline, _ = self._read(LONGEST_LINE).partition(b"\n")
        if not line or (not newline and line.startswith(b'{"schema":"' + FORMAT.encode())):
            raise CheckpointError(
                f"{self.path} holds nothing yet: the search ended before it wrote its first line. "
                "Remove it, and begin again with --checkpoint"
            )
        opened, _, own = line.removesuffix(b'"}').rpartition(b',"sum":"')
        try:
            row = json.loads(line)
            schema = row["schema"]
        except (ValueError, TypeError, KeyError, RecursionError):
            row, schema = {}, ""
        if not str(schema).startswith(FORMAT):
            raise CheckpointError(f"{self.path} is no checkpoint of kmodel")
        if schema != SCHEMA or row.get("kmodel") != __version__:
            raise CheckpointError(
                f"{self.path} is from another version ({schema}, kmodel {row.get('kmodel')}; this "
                f"is {SCHEMA}, kmodel {__version__}): go on with that one, or begin again"
            )
        if _digest(opened).hex().encode() != own:
            raise CheckpointError(f"{self.path} is damaged: its first line is not what was written")
        self.header, self._sum, self.end = row, _digest(opened), len(line) + 1

    def _unpacked(self, packed: bytes) -> bytes:
        unpacker = zlib.decompressobj()
        try:
            content = unpacker.decompress(packed, LARGEST)
        except zlib.error as error:
            raise self.damaged(f"this chunk cannot be unpacked ({error})") from error
        if not unpacker.eof:
            raise self.damaged(f"this chunk is larger than {LARGEST >> 20} MiB")
        return content

    def _read(self, most: int) -> bytes:
        """The next bytes: ``most``, unless the file ends before."""
        parts = []
        while most and (part := self._file.read(most)):
            parts.append(part)
            most -= len(part)
        return b"".join(parts)

    def _write(self, data: bytes) -> None:
        """Put ``data`` at the end, all of it or nothing."""
        descriptor, left = self._file.fileno(), memoryview(data)
        try:
            os.lseek(descriptor, self.end, os.SEEK_SET)
            while left:
                left = left[os.write(descriptor, left) :]
        except OSError:
            with suppress(OSError):  # what stays then is a torn tail
                os.ftruncate(descriptor, self.end)
            raise
        self.end += len(data)


def _locked(path: Path, flags: int) -> FileIO:
    """``path``, open, and nobody else's: the system's own lock goes when its process does."""
    try:
        file = FileIO(os.open(path, os.O_RDWR | os.O_CLOEXEC | flags, 0o666), "r+")
    except OSError as error:
        raise CheckpointRefused(f"{path} cannot be opened: {_reason(error)}") from error
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        who = _holder(os.fstat(file.fileno()).st_ino)
        file.close()
        raise CheckpointRefused(
            f"{path} is being written by {who}: two searches cannot share a checkpoint"
        ) from error
    return file


def _holder(inode: int) -> str:
    """Who has the lock, where the system tells."""
    with suppress(OSError, ValueError):
        for line in Path("/proc/locks").read_text().splitlines():
            _, kind, _, _, pid, place, *_ = line.split()
            if kind == "FLOCK" and place.rpartition(":")[2] == str(inode) and int(pid) > 0:
                return f"process {pid}"
    return "another process"


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=8).digest()


def _check(length: bytes, before: bytes) -> bytes:
    return blake2b(length + before, digest_size=4).digest()


def _reason(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
