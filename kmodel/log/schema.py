"""The JSON Schema of a log's lines, and the page that explains the events.

Both are made from the one table in ``vocabulary``. The schema lies beside this file, so
that others can use it without kmodel::

    kmodel log schema > kmodel/log/events.schema.json
    kmodel log schema --page > docs/events.md
"""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from kmodel.log.record import END, HEADER, SCHEMA
from kmodel.log.vocabulary import Field, Word, words

FILE: Final = Path(__file__).with_name("events.schema.json")

_TYPES: Final[dict[str, dict[str, Any]]] = {
    "int": {"type": "integer"},
    "flag": {"type": "boolean"},
    "text": {"type": "string"},
    "hex": {"type": "string", "pattern": "^0x[0-9a-f]+$"},
    "any": {"type": ["string", "number", "boolean"]},
}

_COUNT: Final = {"type": "integer", "minimum": 0}
_TEXT_OR_NULL: Final = {"type": ["string", "null"]}
_NAMES: Final = {"type": "array", "items": {"type": "string"}}

_FIRST: Final[dict[str, Any]] = {
    "step": _COUNT | {"description": "Counts from 0; all events of one step share it."},
    "seq": _COUNT | {"description": "Numbers the records from 0."},
    "cpu": _COUNT | {"description": "Index into the header's tasks."},
    "task": {"type": "string", "description": "The thread on that CPU."},
    "event": {"type": "string", "description": "noun.verb; a scenario may have its own."},
    "cause": _COUNT | {"description": "seq of the event that let this one happen."},
    "obj": {"type": "string", "description": "The object it happened to, by name."},
    "result": _TYPES["any"] | {"description": "What the thread learned."},
}

_SUM: Final = {
    "type": "string",
    "pattern": "^[0-9a-f]{16}$",
    "description": "Checksum over the sum before and this line; chains the records.",
}

_HEADER: Final[dict[str, Any]] = {
    "event": {"const": HEADER},
    "schema": {"const": SCHEMA},
    "kmodel": {"type": "string", "description": "Version that wrote the log."},
    "scenario": {"type": "string"},
    "scenario_digest": _TEXT_OR_NULL,
    "model": _TEXT_OR_NULL | {"description": "Digest of the model's source."},
    "params": {"type": "object"},
    "fix": _TEXT_OR_NULL,
    "situation": _TEXT_OR_NULL,
    "strategy": _TEXT_OR_NULL,
    "seed": {"type": ["integer", "null"]},
    "token": _TEXT_OR_NULL,
    "assumptions": _NAMES,
    "tasks": _NAMES | {"description": "The threads by index, one a CPU."},
    "pools": {
        "type": "object",
        "additionalProperties": {"type": "integer"},
        "description": "Items of each pool that are out when the run begins.",
    },
    "python": {"type": "string"},
    "started": {"type": "string", "description": "UTC, ISO 8601; the only wall time."},
    "sum": _SUM,
}


def schema() -> dict[str, Any]:
    """The whole schema, JSON Schema draft 2020-12."""
    known = list(words())
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:{SCHEMA.replace('.', ':').replace('/', ':')}",
        "title": "A line of a kmodel event log",
        "description": (
            f"{SCHEMA}. The first line is {HEADER}, the last of a run that closed cleanly is "
            f"{END}. A renamed or removed event or field is a new version; readers skip what "
            "they do not know."
        ),
        "type": "object",
        "required": ["event"],
        "allOf": [
            *({"if": _is(word.event), "then": _ref(word.event)} for word in known),
            {"if": {"not": _is(HEADER)}, "then": _ref("record")},
        ],
        "$defs": {
            "record": {
                "description": "What every line but the header has. Flat.",
                "properties": _FIRST | {"sum": _SUM},
                "additionalProperties": {"type": ["string", "number", "boolean"]},
                "required": ["step", "seq", "event", "sum"],
            },
            **{word.event: _definition(word) for word in known},
        },
    }


def text() -> str:
    """The schema as it lies in the file."""
    return json.dumps(schema(), indent=2) + "\n"


def _is(event: str) -> dict[str, Any]:
    return {"properties": {"event": {"const": event}}}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{name}"}


def _definition(word: Word) -> dict[str, Any]:
    found: dict[str, Any] = {"description": word.meaning}
    if word.file:
        found["x-kernel"] = {"function": word.function, "file": word.file}
    if word.event == HEADER:
        return found | {
            "properties": _HEADER,
            "additionalProperties": True,
            "required": list(_HEADER),
        }
    first = [] if word.event == END else ["cpu", "task"]
    return found | {
        "properties": {"event": {"const": word.event}}
        | {field.name: _TYPES[field.type] for field in word.fields},
        "required": [*first, "event", *(field.name for field in word.fields if field.required)],
    }


_ABOUT: Final = f"""\
# The events of a log

Schema `{SCHEMA}`, one JSON object a line. This page and `kmodel/log/events.schema.json` are
made from one table (`kmodel log schema --page`, `kmodel log schema`); do not edit them.

The first line is `{HEADER}`: what was run, and the only wall time. Every other line has

| key | meaning |
|---|---|
| `step` | counts from 0; all events of one step share it, and a step is atomic |
| `seq` | numbers the records from 0 |
| `cpu`, `task` | the CPU, from 0, and the thread on it (not on `{END}`) |
| `event` | `noun.verb` |
| `cause` | `seq` of the wakeup or release that let this one happen; absent where none had to |
| `obj` | the object it happened to, by name |
| `result` | what the thread learned from it |
| (others) | the event's own, below, by name |
| `sum` | a checksum over the `sum` of the line before and this line |

Keys are in this order. Addresses are strings ("0x200000"). A `?` marks a field that may be
absent. A scenario may have events of its own. An event that is renamed or loses a field
makes a new version of the schema; new events and fields do not.
"""


def page() -> str:
    """The page, in Markdown."""
    lines = [_ABOUT]
    for noun, family in groupby(words(), lambda word: word.event.partition(".")[0]):
        lines += [
            f"## {noun}",
            "",
            "| event | what happened | kernel | fields |",
            "|---|---|---|---|",
        ]
        for word in family:
            fields = ", ".join(map(_shown, word.fields)) or "-"
            kernel = f"`{word.function}` ({word.file})" if word.file else "-"
            lines.append(f"| `{word.event}` | {word.meaning} | {kernel} | {fields} |")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _shown(field: Field) -> str:
    return f"`{field.name}{'' if field.required else '?'}` {field.type}"
