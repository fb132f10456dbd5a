"""A file that only grows: whole, unfinished, damaged, foreign, or somebody else's."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from kmodel.explore.journal import LARGEST, SCHEMA, CheckpointError, CheckpointRefused, Journal

CHUNKS = [b"first", b"second" * 40, bytes(range(256)), b""]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def written(file: Path, chunks: list[bytes] = CHUNKS) -> list[int]:
    """A file with these chunks; where each of them ends, the header first."""
    journal = Journal.create(file, {"what": "a test"})
    ends = [file.stat().st_size]
    for chunk in chunks:
        journal.append(chunk, safe=False)
        ends.append(file.stat().st_size)
    journal.close()
    return ends


def read(file: Path) -> tuple[list[bytes], int]:
    """All chunks, and how many bytes of an unfinished one were cut."""
    journal = Journal.open(file)
    try:
        return list(journal.chunks()), journal.torn
    finally:
        journal.close()


def test_what_was_written_is_read(file: Path) -> None:
    """The header too."""
    written(file)
    assert read(file) == (CHUNKS, 0)
    header = json.loads(file.read_bytes().partition(b"\n")[0])
    assert (header["schema"], header["what"]) == (SCHEMA, "a test")


def test_a_file_can_be_gone_on_with(file: Path) -> None:
    """The sums go on where they were."""
    written(file, CHUNKS[:2])
    for chunk in CHUNKS[2:]:
        journal = Journal.open(file)
        assert list(journal.chunks())
        journal.append(chunk, safe=True)
        journal.close()
    assert read(file) == (CHUNKS, 0)


def test_a_torn_tail_is_cut_at_every_byte(file: Path) -> None:
    """Each length that a kill can leave: all whole chunks are there, and it is said."""
    ends = written(file)
    whole = file.read_bytes()
    for length in range(ends[0], ends[-1]):
        file.write_bytes(whole[:length])
        good = max(number for number, end in enumerate(ends) if end <= length)
        assert read(file) == (CHUNKS[:good], length - ends[good])
        assert file.stat().st_size == ends[good]
        assert read(file) == (CHUNKS[:good], 0)


def test_after_a_torn_tail_one_goes_on(file: Path) -> None:
    """What is added follows the last whole chunk."""
    ends = written(file)
    os.truncate(file, ends[2] + 5)
    journal = Journal.open(file)
    assert list(journal.chunks()) == CHUNKS[:2]
    journal.append(b"new", safe=False)
    journal.close()
    assert read(file) == ([*CHUNKS[:2], b"new"], 0)


@pytest.mark.parametrize("bit", [0, 3, 7])
def test_a_bit_that_flipped_is_found_wherever_it_is(file: Path, bit: int) -> None:
    """Every byte: told with the place where the damage begins, from which it can be cut."""
    ends = written(file)
    whole = file.read_bytes()
    for place in range(len(whole)):
        harmed = bytearray(whole)
        harmed[place] ^= 1 << bit
        file.write_bytes(harmed)
        with pytest.raises(CheckpointError) as caught:
            read(file)
        if place >= ends[0]:
            good = max(number for number, end in enumerate(ends) if end <= place)
            assert f"damaged at byte {ends[good]}" in str(caught.value)
            os.truncate(file, ends[good])
            assert read(file) == (CHUNKS[:good], 0)


def test_chunks_that_were_lost_moved_or_doubled_are_found(file: Path) -> None:
    """Each sum covers the one before."""
    ends = written(file)
    whole = file.read_bytes()
    head, one, two, three, _ = (
        whole[a:b] for a, b in zip([0, *ends], [*ends, len(whole)]) if a < b
    )
    for parts in ((head, two, three), (head, two, one, three), (head, one, one, two)):
        file.write_bytes(b"".join(parts))
        with pytest.raises(CheckpointError, match="damaged at byte"):
            read(file)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "holds nothing yet"),
        (b'{"schema":"kmodel.checkpoint/1","kmo', "holds nothing yet"),
        (b"\x00" * 5000, "no checkpoint of kmodel"),
        (b"#!/bin/sh\necho\n", "no checkpoint of kmodel"),
        (b"[" * 100_000, "no checkpoint of kmodel"),
        (b'{"schema":"kmodel.events/1","kmodel":"0"}\n', "no checkpoint of kmodel"),
        (b'{"schema":"kmodel.checkpoint/2","new":1}\n', "another version"),
        (b'["schema"]\n', "no checkpoint of kmodel"),
        (b'{"schema":7}\n', "no checkpoint of kmodel"),
    ],
)
def test_what_is_no_checkpoint_is_said(file: Path, content: bytes, said: str) -> None:
    """And left as it is."""
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match=said):
        read(file)
    assert file.read_bytes() == content


def test_a_checkpoint_of_another_kmodel_is_not_gone_on_with(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its search may have been another one."""
    written(file)
    monkeypatch.setattr("kmodel.explore.journal.__version__", "99")
    with pytest.raises(CheckpointError, match="another version"):
        read(file)


def test_a_chunk_that_unpacks_to_too_much_is_refused(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not taken into memory to find out."""
    written(file, [b"0" * 5000])
    monkeypatch.setattr("kmodel.explore.journal.LARGEST", 4000)
    assert LARGEST > 4000
    with pytest.raises(CheckpointError, match="larger than"):
        read(file)


def test_a_file_that_is_there_is_not_begun_again(file: Path) -> None:
    """Unless it is empty."""
    written(file)
    with pytest.raises(CheckpointRefused, match=r"there already.*--resume"):
        written(file)
    file.write_bytes(b"")
    written(file)
    assert read(file) == (CHUNKS, 0)


def test_one_file_has_one_writer(file: Path) -> None:
    """The other one is told who it is, and may have the file afterwards."""
    mine = Journal.create(file, {})
    for way in (lambda: Journal.create(file, {}), lambda: Journal.open(file)):
        with pytest.raises(CheckpointRefused, match=f"process {os.getpid()}|another process"):
            way()
    mine.close()
    assert read(file) == ([], 0)


def test_a_file_that_cannot_be_had_is_said(tmp_path: Path) -> None:
    """No such file, no such directory, a directory, a full disk."""
    with pytest.raises(CheckpointRefused, match="no such file"):
        Journal.open(tmp_path / "none")
    with pytest.raises(CheckpointRefused, match="no such file"):
        Journal.create(tmp_path / "none" / "none", {})
    with pytest.raises(CheckpointRefused, match="is a directory"):
        Journal.create(tmp_path, {})
    if os.path.exists("/dev/full"):
        with pytest.raises(CheckpointRefused, match="no space left"):
            Journal.create(Path("/dev/full"), {})
