"""Tokens: a run as one word that can be pasted.

A run is a function of (scenario, parameters, schedule); a token holds those, and the
digest that the run must end with. Text form: ``k1-`` and base64 of a checksum and
compressed JSON.
"""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any, Final

import attrs
import cattrs

PREFIX: Final = "k1-"
MAX_LENGTH: Final = 1 << 20
"""Characters of a token, and bytes that it may unpack to: a limit on hostile input."""


class TokenError(Exception):
    """The text is no token, is damaged, or is from another version; the message says which."""


@attrs.frozen
class Token:
    """A recorded run.

    ``choices`` are task indices, one a step; ``loop`` (may be empty) is then gone round
    for ever. ``digest`` is that of the event records of the choices and the loop once.
    ``property`` says what the run shows.
    """

    scenario: str
    params: dict[str, Any]
    fix: str
    choices: str
    loop: str
    digest: str
    kind: str
    property: str
    scenario_digest: str
    version: str

    def schedule(self) -> tuple[bytes, bytes]:
        """The choices and the loop as task indices."""
        return bytes(int(c, 36) for c in self.choices), bytes(int(c, 36) for c in self.loop)

    def word(self) -> str:
        """The token as one word."""
        body = json.dumps(list(attrs.asdict(self).values()), separators=(",", ":"))
        packed = zlib.compress(body.encode(), 9)
        data = zlib.crc32(packed).to_bytes(4) + packed
        return PREFIX + base64.urlsafe_b64encode(data).decode().rstrip("=")


def digits(choices: bytes) -> str:
    """Task indices as text, one character each (at most 36 tasks)."""
    return "".join("0123456789abcdefghijklmnopqrstuvwxyz"[c] for c in choices)


def parse(text: str) -> Token:
    """The token that ``text`` is. Raises ``TokenError``."""
    text = text.strip()
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
        values = json.loads(zlib.decompressobj().decompress(data[4:], MAX_LENGTH))
        names = [field.name for field in attrs.fields(Token)]
        token = cattrs.structure(dict(zip(names, values, strict=True)), Token)
        token.schedule()  # raises on characters that are no task
    except (ValueError, TypeError, RecursionError, zlib.error, cattrs.BaseValidationError) as error:
        raise TokenError("the token is whole but not a run: is it from another version?") from error
    return token
