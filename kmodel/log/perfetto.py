"""Tracks as a Perfetto trace: protocol buffers, written by hand, since only a dozen fields of
TracePacket, TrackDescriptor and TrackEvent are needed (perfetto's ``trace_packet.proto``)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, BinaryIO, Final

from kmodel.log.chrome import track_name
from kmodel.log.tracks import Count, Instant, Item, Track

GROUPS: Final = ("CPUs", "Faults", "Locks held", "Counters")

STEP: Final = 1000
"""Nanoseconds of a step."""

LARGEST: Final = 1 << 63

BEGIN: Final = 1
END: Final = 2
INSTANT: Final = 3
COUNTER: Final = 4

EXPLICIT: Final = 3
"""Children in the order of their ranks."""


def write(items: Iterable[Item], tasks: Sequence[str], file: BinaryIO) -> None:
    """Packet by packet, as they come; the viewer sorts them by time."""
    writer = _Writer(tasks, file)
    for item in items:
        writer.put(item)


class _Writer:
    def __init__(self, tasks: Sequence[str], file: BinaryIO) -> None:
        self._tasks, self._file = tasks, file
        self._uuids: dict[Track | str, int] = {}
        for number, group in enumerate(GROUPS, 1):
            body = _number(1, number) + _text(2, group) + _number(11, EXPLICIT)
            self._packet(_bytes(60, body + _number(12, number)))

    def put(self, item: Item) -> None:
        if isinstance(item, Count):
            body = _number(9, COUNTER) + _number(11, self._uuid(item.name))
            self._event(item.step, body + _number(30, item.value))
            return
        uuid = _number(11, self._uuid(item.track))
        told = uuid + _text(23, item.name) + _annotated(item.args)
        if isinstance(item, Instant):
            flow = b"" if item.begins is None else _fixed(47, item.begins)
            # in the middle of its step, or it would lie under the slice that begins with it
            self._event(item.step + 0.5, _number(9, INSTANT) + told + flow)
            return
        flows = b"".join(_fixed(48, flow) for flow in item.ends)
        self._event(item.since, _number(9, BEGIN) + told + flows)
        self._event(item.until, _number(9, END) + uuid)

    def _uuid(self, track: Track | str) -> int:
        """The number of a track, which is described when it is first met."""
        known = self._uuids.get(track)
        if known is not None:
            return known
        uuid = self._uuids[track] = len(GROUPS) + 1 + len(self._uuids)
        if isinstance(track, str):
            parent, name, rank = len(GROUPS), track, uuid
            kind = _bytes(8, b"")
        else:
            parent, rank = GROUPS.index(track.group) + 1, 64 * track.cpu + track.row
            name, kind = track_name(track, self._tasks), b""
        body = _number(1, uuid) + _text(2, name) + _number(5, parent) + kind
        self._packet(_bytes(60, body + _number(12, rank)))
        return uuid

    def _event(self, step: float, body: bytes) -> None:
        self._packet(_number(8, int(step * STEP)) + _bytes(11, body))

    def _packet(self, body: bytes) -> None:
        # all of one sequence: there is one writer
        self._file.write(_bytes(1, body + _number(10, 1)))


def _annotated(args: dict[str, Any]) -> bytes:
    found = b""
    for key, value in args.items():
        exact = isinstance(value, int) and -LARGEST <= value < LARGEST
        said = _number(4, value) if exact else _text(6, str(value))
        found += _bytes(4, _text(10, key) + said)
    return found


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(int(value))


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _text(field: int, value: str) -> bytes:
    return _bytes(field, value.encode(errors="replace"))


def _fixed(field: int, value: int) -> bytes:
    return _varint(field << 3 | 1) + value.to_bytes(8, "little")
