"""Runs for other programs, read back by another reader than the one that wrote them."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from recorded import record, recorded

from kmodel.log import chrome, lnav, perfetto, sequence
from kmodel.log.reader import Reader
from kmodel.log.record import Record
from kmodel.log.runs import LogError
from kmodel.log.tabular import write_csv
from kmodel.log.timeline import timeline
from kmodel.log.tracks import Count, Instant, Item, Slice, tracks

Fields = dict[int, list[Any]]


@pytest.fixture
def kernel(logs: Path) -> tuple[tuple[str, ...], list[Record]]:
    """A kernel's run."""
    recorded(logs, "plain", 5)
    (path,) = logs.iterdir()
    with Reader.open(path) as log:
        return log.tasks, list(log)


def items_of(path: Path | None) -> list[Item]:
    assert path is not None
    with Reader.open(path) as log:
        return list(tracks(log, log.pools))


def decoded(data: bytes) -> Fields:
    """The fields of a message of protocol buffers, by number; texts and messages as bytes."""
    found: Fields = {}
    stream = io.BytesIO(data)
    while (key := _varint(stream)) is not None:
        kind = key & 7
        value: Any = None
        if kind == 0:
            value = _varint(stream)
        elif kind == 1:
            value = int.from_bytes(stream.read(8), "little")
        else:
            assert kind == 2
            length = _varint(stream)
            assert length is not None
            value = stream.read(length)
            assert len(value) == length
        found.setdefault(key >> 3, []).append(value)
    return found


def _varint(stream: io.BytesIO) -> int | None:
    value = shift = 0
    while byte := stream.read(1):
        value |= (byte[0] & 127) << shift
        shift += 7
        if byte[0] < 128:
            return value
    assert not shift
    return None


def packets(items: list[Item], tasks: tuple[str, ...]) -> Iterator[Fields]:
    out = io.BytesIO()
    perfetto.write(items, tasks, out)
    trace = decoded(out.getvalue())
    assert set(trace) == {1}
    return map(decoded, trace[1])


def test_slices_flows_and_counters_of_a_small_run(logs: Path) -> None:
    items = items_of(record(logs).path)
    slices = [item for item in items if isinstance(item, Slice)]
    assert [
        (one.name, one.since, one.until) for one in slices if one.track.group == "Locks held"
    ] == [
        ("kernel_map", 1, 4),
        ("kernel_map", 5, 7),
    ]
    assert ("asleep on kernel_map", 4, 5) in [(s.name, s.since, s.until) for s in slices]
    (flow,) = [item for item in items if isinstance(item, Instant) and item.begins]
    assert (flow.track.cpu, flow.step, flow.name) == (0, 4, "lets B go")
    (end,) = [one for one in slices if one.ends]
    assert (end.track.cpu, end.since, end.ends) == (1, 5, (flow.begins,))
    counts = [item for item in items if isinstance(item, Count)]
    assert [(c.step, c.value) for c in counts if c.name == "kernel_map waiting"] == [
        *((1, 0), (3, 1), (5, 0)),
    ]


def test_slices_of_a_track_lie_apart_or_inside(
    kernel: tuple[tuple[str, ...], list[Record]],
) -> None:
    """Viewers drop a slice that begins inside another and ends after it. What a CPU does lies
    apart: who is woken too early and steps is not asleep in that step."""
    by_track: dict[Any, list[tuple[int, int]]] = {}
    for item in tracks(kernel[1], {}):
        if isinstance(item, Slice):
            by_track.setdefault(item.track, []).append((item.since, item.until))
    assert len(by_track) > 5
    for track, extents in by_track.items():
        inside: list[int] = []
        for begin, end in sorted(extents, key=lambda extent: (extent[0], -extent[1])):
            inside = [stop for stop in inside if stop > begin]
            assert all(end <= stop for stop in inside)
            assert not inside or track.group != "CPUs", (track, begin)
            inside.append(end)


def test_a_perfetto_trace_is_read_back(kernel: tuple[tuple[str, ...], list[Record]]) -> None:
    """By a decoder of its own: every track is described before it is used, every slice that
    begins ends, every flow has both its ends, and each value is what was to be drawn."""
    items = list(tracks(kernel[1], {"vp pool": 1}))
    described: dict[int, bytes] = {}
    depth: dict[int, int] = {}
    begun, ended, values = [], [], []
    # as the viewer does: by time, and what is written first comes first
    for packet in sorted(packets(items, kernel[0]), key=lambda packet: packet.get(8, [-1])[0]):
        assert packet[10] == [1]
        if 60 in packet:
            track = decoded(packet[60][0])
            described[track[1][0]] = track[2][0]
            assert track.get(5, [1])[0] in described
            continue
        event = decoded(packet[11][0])
        (uuid,) = event[11]
        assert uuid in described
        kind = event[9][0]
        depth[uuid] = depth.get(uuid, 0) + {1: 1, 2: -1}.get(kind, 0)
        assert kind != 3 or depth[uuid], "an instant lies in a slice"
        assert depth[uuid] in (0, 1, 2)
        begun += event.get(47, [])
        ended += event.get(48, [])
        if kind == 4:
            values.append((described[uuid].decode(), packet[8][0] // 1000, event[30][0]))
    assert set(depth.values()) == {0}
    assert begun
    assert sorted(begun) == sorted(ended)
    counts = [(c.name, c.step, c.value) for c in items if isinstance(c, Count)]
    assert values == sorted(counts, key=lambda count: count[1])
    assert {b"A", b"B", b"K", b"CPUs", b"vp pool out"} <= set(described.values())


def test_perfettos_own_classes_read_the_trace(
    kernel: tuple[tuple[str, ...], list[Record]],
) -> None:
    """Where they are installed, which is no dependency."""
    found = pytest.importorskip("perfetto.protos.perfetto.trace.perfetto_trace_pb2")
    items, out = list(tracks(kernel[1], {})), io.BytesIO()
    perfetto.write(items, kernel[0], out)
    trace = found.Trace()
    trace.ParseFromString(out.getvalue())
    events = [packet.track_event for packet in trace.packet if packet.HasField("track_event")]
    names = {event.name for event in events if event.type == event.TYPE_SLICE_BEGIN}
    assert names == {item.name for item in items if isinstance(item, Slice)}
    counters = [event.counter_value for event in events if event.type == event.TYPE_COUNTER]
    assert counters == [item.value for item in items if isinstance(item, Count)]


def test_chrome_events_are_read_back(kernel: tuple[tuple[str, ...], list[Record]]) -> None:
    items, out = list(tracks(kernel[1], {"vp pool": 1})), io.BytesIO()
    chrome.write(items, kernel[0], out)
    events = json.loads(out.getvalue())["traceEvents"]
    named = {(e["pid"], e["tid"]) for e in events if e["name"] == "thread_name"}
    drawn = [event for event in events if event["ph"] == "X"]
    assert {(event["pid"], event["tid"]) for event in drawn} <= named
    assert len(drawn) == sum(isinstance(item, Slice) for item in items)
    starts = [event["id"] for event in events if event["ph"] == "s"]
    assert starts == sorted(event["id"] for event in events if event["ph"] == "f")
    assert min(event["tid"] for event in drawn) >= 1000


def test_csv_has_a_row_an_event(kernel: tuple[tuple[str, ...], list[Record]]) -> None:
    out = io.BytesIO()
    write_csv(kernel[1], out)
    rows = list(csv.DictReader(io.StringIO(out.getvalue().decode())))
    assert [int(row["seq"]) for row in rows] == list(range(len(kernel[1])))
    assert json.loads(rows[-1]["fields"]) == kernel[1][-1].fields


def test_clocks_of_shiviz_are_ordered_as_the_events(logs: Path) -> None:
    path = record(logs).path
    assert path is not None
    with Reader.open(path) as log:
        lines = list(sequence.shiviz(log, log.tasks))
    pattern = re.compile(lines[0].replace("(?<", "(?P<"))
    told = [pattern.fullmatch("\n".join(pair)) for pair in zip(lines[2::2], lines[3::2])]
    clocks = [json.loads(one["clock"]) for one in told if one]
    assert len(clocks) == 9
    release, acquired = clocks[5], clocks[6]
    assert all(acquired[name] >= time for name, time in release.items())
    assert clocks[4] == {"A": 2, "B": 2}, "B met the lock that A had taken"


def test_mermaid_has_an_arrow_for_each_cause(logs: Path) -> None:
    path = record(logs).path
    assert path is not None
    with Reader.open(path) as log:
        lines = list(sequence.mermaid(timeline(log, log.tasks, {})))
    assert lines[0] == "sequenceDiagram"
    assert "    c0->>c1: 4: kernel_map" in lines
    assert not [line for line in lines if set(";<") & set(line.replace("#59;", ""))]


def test_lnav_has_times_and_levels(kernel: tuple[tuple[str, ...], list[Record]]) -> None:
    rows = [json.loads(line) for line in lnav.lines(kernel[1])]
    assert rows[0]["timestamp"] == "2000-01-01T00:00:00.000Z"
    late = [row["timestamp"] for row in rows if row["step"] == 1234]
    assert set(late) <= {"2000-01-01T00:00:01.234Z"}
    assert {row["severity"] for row in rows} <= {"info", "warning", "error"}
    form = json.loads(lnav.format_file())["kmodel_log"]
    fields = {part["field"] for part in form["line-format"] if isinstance(part, dict)}
    assert fields - {"__timestamp__", "__level__"} <= set(form["value"])
    assert {"outcome", "message", "why", "waiting"} <= fields
    assert not {name for name in fields if form["value"].get(name, {}).get("hidden")}


@pytest.mark.parametrize(
    ("outcome", "level"), [("done", "info"), ("limit", "warning"), ("deadlock", "error")]
)
def test_lnav_finds_how_a_run_went_wrong(outcome: str, level: str) -> None:
    end = Record(9, 9, None, None, "run.end", None, None, None, {"outcome": outcome})
    assert [json.loads(line)["severity"] for line in lnav.lines([end])] == [level]


def test_a_log_is_never_replaced_by_what_is_made_of_it(tmp_path: Path) -> None:
    """Not even by its own path in other words."""
    from kmodel.log.whole import written

    log = next((Path(__file__).parents[2] / "logs").glob("example-*")) / "events.jsonl"
    for name in ("events.jsonl", "events.jsonl.gz"):
        copy = tmp_path / name
        data = log.read_bytes()
        copy.write_bytes(gzip.compress(data) if name.endswith("gz") else data)
        before = copy.read_bytes()
        with pytest.raises(LogError, match="is the log of a run"), written(copy) as file:
            file.write(b"lost")
        assert copy.read_bytes() == before
