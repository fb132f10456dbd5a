"""One line of a log: which keys, in which order, and the checksum that ends it.

A record is a flat JSON object on one line of ASCII::

    {"step":30,"seq":40,"cpu":2,"task":"K","event":"lock.contended","cause":37,
     "obj":"kernel_map","result":true,"sum":"7c1e..."}

``sum`` is taken over the sum of the record before and this line up to ``,"sum":``,
so that a changed, lost, doubled or moved line is found. The first record of a file
is the *header*; it has a sum of its own and is no part of the chain, because the
same schedule must give the same lines and the same digest under any header.

The *digest* of a run is blake2b-128 over its lines after the header, each without
``sum``, and ``run.end`` without ``digest`` too::

    tail -n +2 events.jsonl | sed -E 's/,"(digest|sum)":"[0-9a-f]*"//g' | b2sum -l 128
"""

from __future__ import annotations

import enum
import json
import math
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, Final

import attrs

from kmodel import __version__

SCHEMA: Final = "kmodel.events/1"
HEADER: Final = "log.header"
END: Final = "run.end"

FIRST_KEYS: Final = ("step", "seq", "cpu", "task", "event", "cause", "obj", "result")
"""These come first, in this order; an event's other fields follow by name, then ``sum``."""

KEPT_KEYS: Final = frozenset(FIRST_KEYS) - {"obj", "result"} | {"sum"}
"""What the record says itself: an event's own field of such a name gets a ``_`` after it."""

CHAIN_START: Final = b"0" * 16
"""Stands for the sum before the first event. A constant: see the digest above."""

SUM_KEY: Final = b',"sum":"'
SUM_TAIL: Final = len(SUM_KEY) + 16 + len(b'"}')
"""Bytes at the end of each line, its newline apart, that the sum itself takes up."""

EXACT: Final = 2**53
"""Above this, many JSON readers no longer tell two neighbouring integers apart."""

Row = dict[str, Any]
"""A record as a dict, keys in the order of the file."""

_encoder = json.JSONEncoder(separators=(",", ":"), check_circular=False, allow_nan=False)


def ordered(row: Mapping[str, Any]) -> Row:
    """``row`` in the fixed key order, flat, without what is ``None``."""
    found = {}
    for key in FIRST_KEYS:
        value = row.get(key)
        if value is not None:
            found[key] = plain(value)
    for key in sorted(row.keys() - _FIRST):
        value = row[key]
        if value is not None:
            found[key] = plain(value)
    return found


_FIRST = frozenset(FIRST_KEYS)
_AS_IS = (str, bool, type(None))


def plain(value: Any) -> str | int | float | bool | None:
    """``value`` as one JSON scalar that is the same in every process.

    Objects give their ``name`` or their class, never their ``repr``: that may hold
    an address. Integers that JSON readers would round become hex strings.
    """
    kind = type(value)
    if kind in _AS_IS:
        return value  # type: ignore[no-any-return]
    if kind is int:
        return value if -EXACT <= value <= EXACT else hex(value)
    if isinstance(value, enum.Enum):
        return plain(value.value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, (bytes, bytearray)):
        return value.hex()
    if isinstance(value, (tuple, list)):
        # names have blanks in them ("p0 amap")
        return ", ".join(str(plain(item)) for item in value)
    if isinstance(value, (set, frozenset)):
        return ", ".join(sorted(str(plain(item)) for item in value))
    name = getattr(value, "name", None)
    return name if isinstance(name, str) else kind.__name__


def own_names(fields: Mapping[str, Any]) -> Row:
    """An event's own fields, none of them named like a key of the record."""
    return {f"{key}_" if key in KEPT_KEYS else key: value for key, value in fields.items()}


def encode(row: Mapping[str, Any]) -> bytes:
    """``row`` as JSON, without a newline. ASCII: other text is escaped."""
    return _encoder.encode(row).encode("ascii")


def chained(body: bytes, before: bytes) -> tuple[bytes, bytes]:
    """The whole line for the JSON object ``body``, newline included, and its sum.

    ``before`` is the sum of the record before, as written."""
    own = sum_of(before, body[:-1])
    return body[:-1] + SUM_KEY + own + b'"}\n', own


def sum_of(before: bytes, opened: bytes) -> bytes:
    """16 hex digits. ``opened`` is a line up to ``,"sum":``."""
    return blake2b(before + opened, digest_size=8).hexdigest().encode()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@attrs.frozen(kw_only=True)
class Header:
    """What is known before a run begins. The only place for nested values and wall time.

    ``tasks`` are the names by index (one task a CPU). ``scenario_digest`` and ``model`` are
    digests of the source that is run. ``token`` replays the run; ``pools`` says of each pool
    how many items are out before it; ``started`` is UTC, ISO 8601.
    """

    scenario: str
    tasks: tuple[str, ...]
    scenario_digest: str | None = None
    model: str | None = None
    params: Mapping[str, Any] = attrs.field(factory=dict)
    fix: str | None = None
    situation: str | None = None
    strategy: str | None = None
    seed: int | None = None
    token: str | None = None
    assumptions: tuple[str, ...] = ()
    pools: Mapping[str, int] = attrs.field(factory=dict)
    kmodel: str = __version__
    python: str = attrs.field(factory=platform.python_version)
    started: str = attrs.field(factory=_now)

    def line(self) -> bytes:
        """The first line of the file. Raises ``TypeError`` for parameters that are not JSON."""
        row = {
            "event": HEADER,
            "schema": SCHEMA,
            "kmodel": self.kmodel,
            "scenario": self.scenario,
            "scenario_digest": self.scenario_digest,
            "model": self.model,
            "params": dict(self.params),
            "fix": self.fix,
            "situation": self.situation,
            "strategy": self.strategy,
            "seed": self.seed,
            "token": self.token,
            "assumptions": self.assumptions,
            "tasks": self.tasks,
            "pools": dict(self.pools),
            "python": self.python,
            "started": self.started,
        }
        return chained(encode(row), HEADER.encode())[0]


@attrs.frozen
class Record:
    """An event as read back. ``fields`` are all keys without an attribute of their own.

    ``step`` counts from 0 and is shared by all events of one step; ``seq`` numbers
    the records; ``cause`` is the ``seq`` of the event that let this one happen.
    """

    step: int
    seq: int
    cpu: int | None
    task: str | None
    event: str
    cause: int | None
    obj: Any
    result: Any
    fields: Row

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Record:
        """Raises ``ValueError``, naming the key, where ``row`` is no record."""
        rest = {key: value for key, value in row.items() if key not in _FIRST}
        rest.pop("sum", None)
        return cls(
            _typed(row, "step", int),
            _typed(row, "seq", int),
            _typed(row, "cpu", int, optional=True),
            _typed(row, "task", str, optional=True),
            _typed(row, "event", str),
            _typed(row, "cause", int, optional=True),
            row.get("obj"),
            row.get("result"),
            rest,
        )

    def row(self) -> Row:
        """The record as a dict in the order of the file, without ``sum``."""
        first = {key: getattr(self, key) for key in FIRST_KEYS}
        return {key: value for key, value in first.items() if value is not None} | self.fields


def _typed(row: Mapping[str, Any], key: str, kind: type, optional: bool = False) -> Any:
    value = row.get(key)
    if type(value) is not kind and not (optional and value is None):
        raise ValueError(f"its {key!r} is {value!r}, where a record has {kind.__name__}")
    return value
