from __future__ import annotations

import gzip
import json
import os
import tracemalloc
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from recorded import HEADER, STORY, record

from kmodel.explore.execution import Outcome
from kmodel.log import reader as reader_module
from kmodel.log.damage import Damage
from kmodel.log.reader import Reader
from kmodel.log.record import CHAIN_START, chained, encode
from kmodel.log.recorder import Recorder
from kmodel.log.runs import NoSuchRun, find

Lines = list[bytes]


def read(path: Path) -> tuple[int, Damage | None, bool]:
    """How many events could be read, what was wrong, was the run whole?"""
    with Reader.open(path) as log:
        assert len(list(log)) == log.records
        return log.records, log.damage, log.finished


def damaged(path: Path) -> tuple[int, Damage]:
    records, damage, finished = read(path)
    assert damage is not None
    assert not finished
    assert str(path) in damage.message
    assert damage.message.endswith(".")
    assert "\n" not in damage.message
    return records, damage


def test_a_whole_run_is_read(events: Path) -> None:
    for path in (events, events.parent):
        with Reader.open(path) as log:
            records = list(log)
            assert [record.event for record in records[:-1]] == [event for *_, event, _ in STORY]
            assert log.header["params"] == {"faults": 1}
            assert log.tasks == ("A", "B")
            assert log.finished
            assert log.end is records[-1]
            assert log.end.fields["outcome"] == "done"


def flip(line: bytes, at: int) -> bytes:
    return line[:at] + bytes([line[at] ^ 1]) + line[at + 1 :]


def edited(lines: Lines, change: Callable[[Lines], object]) -> bytes:
    change(lines)
    return b"".join(lines)


# lines[0] is the header, lines[5] the record with seq 4, lines[10] run.end
ZOO: dict[str, tuple[Callable[[Lines], object], str, int, int | None, str]] = {
    "a torn tail": (lambda f: f.append(f.pop()[:30]), "torn", 9, 11, "stops in the middle"),
    "zeros for a tail": (
        lambda f: f.append(f.pop()[:0] + b"\0" * 512),
        "torn",
        9,
        11,
        "512 zero bytes",
    ),
    "a torn tail and zeros": (
        lambda f: f.append(f.pop()[:30] + b"\0" * 9),
        "torn",
        9,
        11,
        "after 30 bytes; then come 9 zero",
    ),
    "other ends of lines": (
        lambda f: f.__setitem__(slice(5, 7), [line[:-1] + b"\r\n" for line in f[5:7]]),
        "changed",
        4,
        6,
        "CR LF",
    ),
    "other ends of all lines": (
        lambda f: f.__setitem__(slice(0, 11), [line[:-1] + b"\r\n" for line in f]),
        "changed",
        0,
        1,
        "CR LF",
    ),
    "a flipped bit": (
        lambda f: f.__setitem__(5, flip(f[5], 60)),
        "changed",
        4,
        6,
        "not what was written",
    ),
    "a flipped bit in a number": (
        lambda f: f.__setitem__(5, f[5].replace(b'"seq":4', b'"seq":5')),
        "changed",
        4,
        6,
        "its sum differs",
    ),
    "a flipped bit in a sum": (
        lambda f: f.__setitem__(5, flip(f[5], -4)),
        "changed",
        4,
        6,
        "its sum differs",
    ),
    "a flipped bit in the header": (
        lambda f: f.__setitem__(0, flip(f[0], -5)),
        "changed",
        0,
        1,
        "the header is not what was written",
    ),
    "no JSON in the middle": (
        lambda f: f.__setitem__(5, b"oops\n"),
        "changed",
        4,
        6,
        "not JSON any more",
    ),
    "lost newline in the middle": (
        lambda f: f.__setitem__(5, f[5][:-1]),
        "changed",
        4,
        6,
        "not JSON any more",
    ),
    "a missing record": (lambda f: f.pop(5), "missing", 4, 6, "record 4 is missing: record 5"),
    "missing records": (
        lambda f: f.__delitem__(slice(5, 8)),
        "missing",
        4,
        6,
        "records 4-6 are missing: record 7",
    ),
    "no header": (lambda f: f.pop(0), "missing", 0, 1, "the header is missing"),
    "a doubled record": (lambda f: f.insert(5, f[5]), "doubled", 5, 7, "same as the one before"),
    "a doubled block": (
        lambda f: f.__setitem__(slice(6, 6), f[3:6]),
        "doubled",
        5,
        7,
        "record 2 comes a second time, and 5 does not",
    ),
    "a doubled end": (lambda f: f.append(f[-1]), "doubled", 10, 12, "same as the one before"),
    "a doubled header": (lambda f: f.insert(1, f[0]), "doubled", 0, 2, "same as the one before"),
    "swapped records": (
        lambda f: f.insert(5, f.pop(6)),
        "moved",
        4,
        6,
        "records 4 and 5 have changed places",
    ),
    "two runs in one file": (lambda f: f.extend(f[:]), "trailing", 10, 12, "follows the end"),
    "a run in a run": (
        lambda f: f.insert(5, f[0]),
        "foreign",
        4,
        6,
        "another log begins in the middle",
    ),
    "an empty file": (lambda f: f.clear(), "empty", 0, None, "it is empty"),
    "a text": (
        lambda f: f.__setitem__(slice(None), [b"Dear list,\n", b"it hangs.\n"]),
        "foreign",
        0,
        1,
        "not a log of kmodel",
    ),
    "other JSON": (
        lambda f: f.__setitem__(slice(None), [b'{"level": "info"}\n']),
        "foreign",
        0,
        1,
        "its first line is no header",
    ),
    "deep JSON": (
        lambda f: f.__setitem__(slice(None), [b"[" * 100_000 + b"\n"]),
        "foreign",
        0,
        1,
        "its first line is no record",
    ),
    "a torn header": (
        lambda f: f.__setitem__(slice(None), [f[0][:99]]),
        "torn",
        0,
        1,
        "stops in the middle, after 99 bytes",
    ),
    "another schema": (
        lambda f: f.__setitem__(0, f[0].replace(b"events/1", b"events/9")),
        "schema",
        0,
        1,
        "schema kmodel.events/9, and this kmodel reads kmodel.events/1",
    ),
}


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize("name", ZOO)
def test_damage_is_named_with_its_place_and_all_before_it_is_read(
    events: Path, name: str, packed: bool
) -> None:
    change, harm, good, line, words = ZOO[name]
    data = edited(events.read_bytes().splitlines(keepends=True), change)
    if packed:
        events.unlink()
        events = events.with_name("events.jsonl.gz")
        data = gzip.compress(data)
    events.write_bytes(data)
    records, damage = damaged(events)
    assert (damage.harm, records, damage.records) == (harm, good, good)
    assert words in damage.message
    assert damage.line == line
    if line is not None:
        text = gzip.decompress(data) if packed else data
        before = text.splitlines(keepends=True)[: line - 1]
        assert damage.byte == len(b"".join(before))
        assert f"line {damage.line}, byte {damage.byte}" in damage.message


def test_every_single_flipped_bit_is_found(events: Path) -> None:
    data = events.read_bytes()
    for at in range(len(data) - 1):
        events.write_bytes(flip(data, at))
        damaged(events)


def test_a_cut_at_any_byte_is_damage_or_an_unfinished_run(events: Path) -> None:
    data = events.read_bytes()
    for length in range(len(data) - 1):
        events.write_bytes(data[:length])
        records, damage, finished = read(events)
        assert not finished
        assert records == max(data[: length + 1].count(b"\n") - 1, 0)
        at_a_line = length and (data[length - 1 : length] == b"\n" or data[length] == 10)
        assert (damage is None) == bool(at_a_line)


def test_a_packed_run_is_found_and_read(events: Path) -> None:
    events.with_name("events.jsonl.gz").write_bytes(gzip.compress(events.read_bytes()))
    events.unlink()
    assert read(events.parent) == (len(STORY) + 1, None, True)


def test_a_torn_or_changed_packed_file_is_damage(events: Path) -> None:
    whole = gzip.compress(events.read_bytes(), mtime=0)
    packed = events.with_suffix(".gz")
    for cut in range(2, len(whole)):
        packed.write_bytes(whole[:cut])
        assert damaged(packed)[1].harm in {"torn", "empty"}
    packed.write_bytes(flip(whole, len(whole) - 6))
    assert damaged(packed)[1].harm == "changed"


def test_a_directory_without_events_is_named(logs: Path) -> None:
    logs.mkdir()
    assert damaged(logs)[1].harm == "no-events"


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    _, damage = damaged(tmp_path / "gone")
    assert (damage.harm, damage.line) == ("unreadable", None)
    assert "no such file" in damage.message


def test_a_file_without_permission_is_named(events: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, flags: int) -> int:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(reader_module, "_open", refuse)
    _, damage = damaged(events)
    assert damage.harm == "unreadable"
    assert "permission denied" in damage.message


def rewritten(events: Path, *rows: dict[str, object]) -> None:
    """A log with the header of ``events``, and ``rows`` properly chained."""
    lines, before = [events.read_bytes().splitlines(keepends=True)[0]], CHAIN_START
    for row in rows:
        line, before = chained(encode(row), before)
        lines.append(line)
    events.write_bytes(b"".join(lines))


def test_unknown_events_and_keys_are_kept_as_data(events: Path) -> None:
    rewritten(events, {"step": 0, "seq": 0, "event": "quantum.leap", "spin": 0.5, "more": [1]})
    with Reader.open(events) as log:
        (found,) = log
        assert (found.event, found.fields) == ("quantum.leap", {"spin": 0.5, "more": [1]})
        assert found.cpu is None
        assert log.damage is None


@pytest.mark.parametrize("row", [{"step": "0", "seq": 0, "event": "x"}, {"seq": 0, "event": "x"}])
def test_a_chained_record_that_is_none_of_ours_is_foreign(
    events: Path, row: dict[str, object]
) -> None:
    rewritten(events, row)
    records, damage = damaged(events)
    assert (records, damage.harm) == (0, "foreign")
    assert "its 'step' is" in damage.message


def test_a_long_log_is_not_held_in_memory(logs: Path) -> None:
    with Recorder.start(HEADER, logs) as recorder:
        for step in range(20_000):
            recorder(step, 0, None, "lock.release", {"obj": "kernel_map"})
        recorder.close(Outcome("done", 20_000))
    assert recorder.path is not None
    tracemalloc.start()
    try:
        assert read_lazily(recorder.path) == 20_001
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < recorder.path.stat().st_size / 4


def read_lazily(path: Path) -> int:
    with Reader.open(path) as log:
        return sum(1 for _ in log)


def test_a_row_goes_back_to_the_bytes_of_its_line(events: Path) -> None:
    with Reader.open(events) as log:
        again = [encode(found.row()) for found in log]
    lines = events.read_bytes().splitlines()[1:]
    assert [line.rpartition(b',"sum"')[0] + b"}" for line in lines] == again
    assert json.loads(again[0])["event"] == "task.start"


def test_a_run_is_found_by_name_directory_or_file(logs: Path) -> None:
    recorder = record(logs)
    assert recorder.path is not None
    assert find("two_cpus-wait-seed7-1", logs) == recorder.path.parent
    assert find(str(recorder.path), logs) == recorder.path
    with pytest.raises(NoSuchRun, match="Did you mean two_cpus-wait-seed7-1"):
        find("two_cpu-wait-seed7-1", logs)
    with pytest.raises(NoSuchRun, match="The runs there: two_cpus-wait-seed7-1"):
        find("zzz", logs)
    with pytest.raises(NoSuchRun, match="holds no runs"):
        find("zzz", logs / "empty")
    for name in ("", "../zzz"):
        with pytest.raises(NoSuchRun):
            find(name, logs)


def test_a_named_pipe_that_nobody_writes_to_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    _, damage = damaged(tmp_path / "pipe")
    assert damage.harm == "empty"
    assert "it is a pipe or a device, and nothing came out of it" in damage.message


def follow(path: Path, parts: Iterable[bytes]) -> list[int]:
    """Read ``path`` while ``parts`` are written to it, one each time there is no more."""
    left = iter(parts)

    def wait() -> bool:
        part = next(left, None)
        if part is None:
            return False
        with path.open("ab") as file:
            file.write(part)
        return True

    with Reader.open(path, wait) as log:
        seqs = [record.seq for record in log]
        assert log.damage is None, log.damage
    assert next(left, None) is None
    return seqs


@pytest.mark.parametrize("size", [1, 7, 100, 5000])
def test_a_growing_log_is_followed_to_its_end(events: Path, size: int) -> None:
    """However it grows, in the middle of lines too; an end that does not come is given up."""
    data = events.read_bytes()
    events.write_bytes(data[:10])
    rest = [data[at : at + size] for at in range(10, len(data), size)]
    assert follow(events, rest) == list(range(10))
    events.write_bytes(data[:10])
    whole = data[10:].rindex(b"\n", 0, -1) + 11
    assert follow(events, [data[10:whole]]) == list(range(9))


def test_a_followed_log_that_is_replaced_by_less_is_damaged(events: Path) -> None:
    data = events.read_bytes()
    events.write_bytes(data[:900])

    def cut() -> bool:
        events.write_bytes(b"")
        return True

    with Reader.open(events, cut) as log:
        assert len(list(log)) > 2
    assert log.damage is not None
    assert "shorter while it was read" in log.damage.message


def test_damage_is_told_while_following(events: Path) -> None:
    """A bad line is named at once: nothing better will come after it."""
    lines = events.read_bytes().splitlines(keepends=True)
    lines[5] = flip(lines[5], 60)
    events.write_bytes(b"".join(lines[:6]))

    def never() -> bool:
        raise AssertionError("it waits for more")

    with Reader.open(events, never) as log:
        assert len(list(log)) == 4
    assert log.damage is not None
    assert log.damage.line == 6
