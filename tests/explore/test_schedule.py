"""Tokens: a run as one word, and what becomes of a word that is not one."""

from __future__ import annotations

import base64
import json
import string
import zlib
from itertools import pairwise
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kmodel.explore.schedule import (
    FAMILIAR,
    MAX_LENGTH,
    PREFIX,
    Block,
    Token,
    TokenError,
    bare,
    parse,
    spread,
)

words = st.text(max_size=40).filter(lambda t: not any(0xD800 <= ord(c) < 0xE000 for c in t))
choices = st.binary(max_size=200).map(lambda b: bytes(c % 3 for c in b))
steps = st.integers(1, 300)
blocks = st.lists(
    st.builds(Block, task=st.integers(0, 2), steps=steps)
    | steps.flatmap(
        lambda n: st.builds(
            Block,
            task=st.integers(0, 2),
            steps=st.just(n),
            label=words,
            time=st.integers(1, n),
        )
    ),
    max_size=20,
).map(tuple)
tokens = st.builds(
    Token,
    scenario=words,
    params=st.dictionaries(words, st.booleans() | st.integers() | words, max_size=6),
    fix=words,
    tasks=st.just(("A", "B", "K")),
    blocks=blocks,
    loop=blocks,
    digest=st.text(string.hexdigits, max_size=32),
    kind=words,
    property=words,
    scenario_digest=words,
    model=words,
    version=words,
)

PLAIN = Token(
    scenario="contended_kernel_map",
    params={"cpus": 1, "lap": "silent"},
    fix="lock-retry",
    tasks=("A", "K"),
    blocks=(Block(0), Block(1, 12, "lock.try kernel_map", 2), Block(0, 2, "task.end")),
    loop=(Block(1, 2, "lock.try kernel_map"),),
    digest="abc123",
    kind="livelock",
    property="no refault livelock",
    scenario_digest="0123",
    model="4567",
    version="0.1.0",
)


def pack(body: bytes) -> str:
    """A word with a checksum that fits, around any bytes."""
    data = zlib.crc32(body).to_bytes(4) + body
    return PREFIX + base64.urlsafe_b64encode(data).decode().rstrip("=")


def deflated(body: bytes) -> bytes:
    packer = zlib.compressobj(9, wbits=-15, zdict=FAMILIAR)
    return packer.compress(body) + packer.flush()


def pack_json(value: Any) -> str:
    return pack(deflated(json.dumps(value).encode()))


FIELDS = (
    *("scenario", "params", "fix", "tasks", "labels", "blocks", "loop", "kind", "property"),
    *("version", "scenario_digest", "model", "digest"),
)


def fields(**changes: Any) -> list[Any]:
    """What the word of ``PLAIN`` unpacks to."""
    row = attrs.asdict(PLAIN) | {
        "labels": ["lock.try kernel_map", "task.end"],
        "blocks": [[0], [1, 12, 0, 2], [0, 2, 1]],
        "loop": [[1, 2, 0]],
    }
    return [(row | changes)[name] for name in FIELDS]


@given(tokens)
def test_a_token_comes_back_as_it_was(token: Token) -> None:
    """Whatever it holds, its word is one word and parses to an equal token."""
    word = token.word()
    assert word.split() == [word]
    assert set(word) <= set(string.ascii_letters + string.digits + "-_")
    assert parse(word) == token
    assert parse(f"  {word}\n") == token


def test_what_a_token_unpacks_to() -> None:
    """Names once each, and blocks of a few numbers, the usual ones left out."""
    assert pack_json(fields()).startswith(PREFIX)
    assert parse(pack_json(fields())) == PLAIN


@given(choices)
def test_bare_blocks_spread_to_the_same_choices(steps: bytes) -> None:
    """As few blocks as there are switches, and one."""
    found = bare(steps)
    assert spread(found) == steps
    assert all(one.task != other.task for one, other in pairwise(found))


def test_equal_tokens_have_equal_words() -> None:
    """A word is a function of the token, so that documents can be compared."""
    assert PLAIN.word() == parse(PLAIN.word()).word()


@given(tokens, st.data())
def test_a_token_cut_short_is_refused(token: Token, data: st.DataObject) -> None:
    """Copied without its end, or without its beginning, it is no token."""
    word = token.word()
    length = data.draw(st.integers(0, len(word) - 1))
    for part in (word[:length], word[len(word) - length :]):
        with pytest.raises(TokenError):
            parse(part)


@given(tokens, st.data())
def test_a_token_with_another_character_is_refused(token: Token, data: st.DataObject) -> None:
    """One character changed: damaged, unless it stands for bits that nobody reads."""
    word = token.word()
    at = data.draw(st.integers(0, len(word) - 1))
    other = data.draw(st.characters(exclude_characters=word[at], exclude_categories=["Cs"]))
    try:
        assert parse(word[:at] + other + word[at + 1 :]) == token
    except TokenError:
        pass


@given(st.text())
def test_any_text_is_a_token_or_refused(text: str) -> None:
    """Nothing but ``TokenError`` comes out, with and without the prefix."""
    for word in (text, PREFIX + text):
        with pytest.raises(TokenError):
            parse(word)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.binary())
def test_any_bytes_with_a_checksum_that_fits_are_refused(body: bytes) -> None:
    """A whole token of something else is no run."""
    for word in (pack(body), pack(zlib.compress(body)), pack(deflated(body))):
        with pytest.raises(TokenError):
            parse(word)


@given(json_values)
def test_any_json_with_a_checksum_that_fits_is_refused(value: Any) -> None:
    """The same, one layer deeper."""
    with pytest.raises(TokenError, match="another version"):
        parse(pack_json(value))


@given(st.integers(0, len(FIELDS) - 1), json_values)
def test_a_field_of_another_kind_gives_a_token_or_is_refused(at: int, value: Any) -> None:
    """One field replaced by anything: never another exception."""
    values = fields()
    values[at] = value
    try:
        parse(pack_json(values))
    except TokenError:
        pass


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "those begin with k2-"),
        ("k3-AAAA", "'k3-AAAA' is not a token of this version"),
        ("k1-AAAA", "'k1-AAAA' is a token of an older kmodel"),
        ("contended_kernel_map", "not a token"),
        ("k2-", "checksum"),
        ("k2-!!!!", "not base64"),
        (PREFIX + "é" * 8, "damaged"),
        (PREFIX + "A" * MAX_LENGTH, "longer than"),
        (pack_json(fields()[:-1]), "another version"),
        (pack_json([*fields(), "more"]), "another version"),
        (pack_json(fields(blocks=[[2]])), "another version"),
        (pack_json(fields(blocks=[[-1]])), "another version"),
        (pack_json(fields(blocks=[[0, 0]])), "another version"),
        (pack_json(fields(blocks=[[0, -5]])), "another version"),
        (pack_json(fields(blocks=[[0, 1, 2]])), "another version"),
        (pack_json(fields(blocks=[[0, 1, -2]])), "another version"),
        (pack_json(fields(blocks=[[0, 1, 0, 2]])), "another version"),
        (pack_json(fields(blocks=[[0, 1, 0, 1, 1]])), "another version"),
        (pack_json(fields(blocks=[[]])), "another version"),
        (pack_json(fields(blocks=[[True]])), "another version"),
        (pack_json(fields(blocks=[[0.0]])), "another version"),
        (pack_json(fields(loop=[[0, MAX_LENGTH]])), "another version"),
        (pack_json(fields(tasks=["A", "A"])), "another version"),
        (pack_json(fields(labels=[7, "x"])), "another version"),
        (pack_json(fields(fix="\ud800")), "another version"),
        (pack_json(fields(params={"cpus": None})), "another version"),
        (pack(deflated(json.dumps(fields()).encode()) + b"x"), "another version"),
        (pack_json(fields(params=7)), "another version"),
    ],
)
def test_a_word_that_is_no_token_says_why(text: str, words: str) -> None:
    """Another prefix, damage, another version: each has words of its own."""
    with pytest.raises(TokenError) as refused:
        parse(text)
    assert words in str(refused.value)
    assert len(str(refused.value)) < 200


def test_a_token_that_unpacks_to_a_great_deal_is_refused() -> None:
    """A few kilobytes that unpack to megabytes are not unpacked, whole run or not."""
    long = pack_json(fields(fix="0" * (2 * MAX_LENGTH)))
    assert len(long) < 10_000
    with pytest.raises(TokenError):
        parse(long)
    assert parse(pack_json(fields(fix="0" * (MAX_LENGTH // 2)))).loop == PLAIN.loop


def test_json_that_is_nested_deeply_is_refused() -> None:
    """However deep: not a crash of the parser."""
    with pytest.raises(TokenError):
        parse(pack(deflated(b"[" * 100_000)))
