"""Tokens: a run as one word that can be pasted.

A run is a function of (scenario, parameters, schedule); a token holds those, and the
digest that the run must end with. The schedule is kept as *blocks*: one task steps for a
while, up to a place that has a name, so that the run can also be followed in a model
that was edited since (``kmodel.explore.anchors``).

Text form: ``k2-`` and base64 of a checksum and compressed JSON.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable
from typing import Any, Final

import attrs

PREFIX: Final = "k2-"
OLDER: Final = "k1-"
MAX_LENGTH: Final = 1 << 20
"""Characters of a token, bytes that it may unpack to, and steps of its run: a limit on
hostile input."""

FAMILIAR: Final = (
    b'"use-after-free","double-free","unjustified-kill","panic","leak","deadlock","lock-order",'
    b'"data-race","invariant","starvation","lost-wakeup","livelock","scenario-error","no panic",'
    b'"no data race","lock order","resident_count of p0","no refault livelock","ends","0.1.0",'
    b'["contended_kernel_map",{"cpus":1,"faults":2,"lap":"silent","rwlock":"wake-one-writer"},'
    b'"populate","lock-retry","wait",["A","B","C","K","pagedaemon"],["through ","task.pause",'
    b'"mutex.try ","mutex.leave ","chan.sleep ","chan.wakeup ","lock.try kernel_map",'
    b'"mutex.enter fpageqlock","lock.contended kernel_map","lock.acquire kernel_map",'
    b'"lock.acquire p0 vm_map","lock.acquire p0 amap","lock.release kernel_map",'
    b'"chan.woken &uvmexp.free","chan.woken &uvm.pagedaemon","task.end"],[[3,3,0],[0,23,1],'
    b"[2,2,2],[1,1,3]"
)
"""Text for the compression to refer to: what is in it costs a token next to nothing, what is
not is written out. It is a part of the form: another text needs another ``PREFIX``."""


class TokenError(Exception):
    """The text is no token, is damaged, is from another version, or does not fit the model
    as it is now; the message says which."""


@attrs.frozen
class Block:
    """``task`` (a number) takes ``steps`` steps without another in between.

    It then stands before the operation called ``label``, and has come to stand before one
    of that name for the ``time``-th time in this block. ``None``: where it stands does not
    matter. See ``kmodel.explore.anchors`` for ends and panics.
    """

    task: int
    steps: int = 1
    label: str | None = None
    time: int = 1


@attrs.frozen
class Token:
    """A recorded run.

    ``blocks`` are its schedule, in numbers of ``tasks``; ``loop`` (may be empty) is then
    gone round for ever. ``digest`` is that of the event records of the blocks and the loop
    once. ``property`` says what the run shows. ``scenario_digest`` and ``model`` are digests
    of the source that it ran.
    """

    scenario: str
    params: dict[str, Any]
    fix: str
    tasks: tuple[str, ...]
    blocks: tuple[Block, ...]
    loop: tuple[Block, ...]
    digest: str
    kind: str
    property: str
    scenario_digest: str
    model: str
    version: str

    def schedule(self) -> tuple[bytes, bytes]:
        """The steps before the loop and those of the loop, each the number of its task."""
        return spread(self.blocks), spread(self.loop)

    def word(self) -> str:
        """The token as one word."""
        labels = list(
            dict.fromkeys(b.label for b in self.blocks + self.loop if b.label is not None)
        )
        values = [
            *(self.scenario, self.params, self.fix, self.tasks, labels),
            [_packed(block, labels) for block in self.blocks],
            [_packed(block, labels) for block in self.loop],
            *(self.kind, self.property, self.version),
            *(self.scenario_digest, self.model, self.digest),
        ]
        body = json.dumps(values, separators=(",", ":")).encode()
        packer = zlib.compressobj(9, wbits=-15, zdict=FAMILIAR)
        packed = packer.compress(body) + packer.flush()
        data = zlib.crc32(packed).to_bytes(4) + packed
        return PREFIX + base64.urlsafe_b64encode(data).decode().rstrip("=")


def spread(blocks: Iterable[Block]) -> bytes:
    """One task number a step."""
    return b"".join(bytes([block.task]) * block.steps for block in blocks)


def bare(choices: bytes) -> tuple[Block, ...]:
    """Blocks that say how many steps, and not where to: of a run that is only repeated."""
    found: list[Block] = []
    for task in choices:
        if found and found[-1].task == task:
            found[-1] = Block(task, found[-1].steps + 1)
        else:
            found.append(Block(task))
    return tuple(found)


def parse(text: str) -> Token:
    """The token that ``text`` is. Raises ``TokenError``."""
    text = text.strip()
    if text.startswith(OLDER):
        raise TokenError(
            f"{text[:24]!r} is a token of an older kmodel ({OLDER}): it counts steps of a model "
            f"that is gone. Search again for a token that begins with {PREFIX} (kmodel explore)."
        )
    if not text.startswith(PREFIX):
        raise TokenError(
            f"{text[:24]!r} is not a token of this version of kmodel: those begin with {PREFIX}"
        )
    if len(text) > MAX_LENGTH:
        raise TokenError(f"the token is longer than {MAX_LENGTH} characters")
    try:
        word = text[len(PREFIX) :]
        data = base64.b64decode(word + "=" * (-len(word) % 4), altchars=b"-_", validate=True)
    except ValueError as error:
        raise TokenError(f"the token is damaged (it is not base64: {error})") from error
    if len(data) < 5 or zlib.crc32(data[4:]).to_bytes(4) != data[:4]:
        raise TokenError("the token is damaged: its checksum does not fit. Was it cut short?")
    if PREFIX + base64.urlsafe_b64encode(data).decode().rstrip("=") != text:
        raise TokenError("the token is damaged: it is not written as tokens are")
    try:
        return _token(*json.loads(_unpacked(data[4:])))
    except (ValueError, TypeError, RecursionError, zlib.error) as error:
        raise TokenError("the token is whole but not a run: is it from another version?") from error


def _unpacked(packed: bytes) -> bytes:
    unpacker = zlib.decompressobj(wbits=-15, zdict=FAMILIAR)
    body = unpacker.decompress(packed, MAX_LENGTH)
    if not unpacker.eof or unpacker.unused_data:
        raise ValueError("cut short, too long, or more than a token")
    return body


def _token(
    scenario: Any,
    params: Any,
    fix: Any,
    tasks: Any,
    labels: Any,
    blocks: Any,
    loop: Any,
    kind: Any,
    prop: Any,
    version: Any,
    scenario_digest: Any,
    model: Any,
    digest: Any,
) -> Token:
    """Every value checked: ``ValueError`` or ``TypeError`` for what no token holds."""
    if type(params) is not dict or not all(type(v) in (bool, int, str) for v in params.values()):
        raise ValueError("parameters are numbers, truth values and words")
    names = tuple(map(_text, tasks))
    if len(set(names)) != len(names) or len(names) > 256:
        raise ValueError("tasks have names of their own, and are not that many")
    known = list(map(_text, labels))
    token = Token(
        scenario=_text(scenario),
        params={_text(name): value for name, value in params.items()},
        fix=_text(fix),
        tasks=names,
        blocks=tuple(_block(row, len(names), known) for row in blocks),
        loop=tuple(_block(row, len(names), known) for row in loop),
        digest=_text(digest),
        kind=_text(kind),
        property=_text(prop),
        scenario_digest=_text(scenario_digest),
        model=_text(model),
        version=_text(version),
    )
    if sum(block.steps for block in token.blocks + token.loop) > MAX_LENGTH:
        raise ValueError("no run is that long")
    return token


def _text(value: Any) -> str:
    if type(value) is not str:
        raise TypeError("a word is expected")
    value.encode()  # raises on half a character, which no terminal can show
    return value


def _packed(block: Block, labels: list[str]) -> list[int]:
    """Task, steps, label, time; the last ones are left out where they are the usual."""
    row = [block.task, block.steps]
    if block.label is not None:
        row += [labels.index(block.label), block.time]
        return row[:3] if block.time == 1 else row
    return row[:1] if block.steps == 1 else row


def _block(row: Any, tasks: int, labels: list[str]) -> Block:
    if type(row) is not list or not all(type(number) is int for number in row):
        raise TypeError("a block is a few numbers")
    task, steps, label, time = row + [None, 1, -1, 1][len(row) :]
    if not (0 <= task < tasks and steps > 0 and 0 < time <= steps and -1 <= label < len(labels)):
        raise ValueError("a block of a task, a length or a label that is none")
    return Block(task, steps, labels[label] if label >= 0 else None, time)
