"""Tokens: a run as one word, and what becomes of a word that is not one."""

from __future__ import annotations

import base64
import json
import string
import zlib
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kmodel.explore.schedule import MAX_LENGTH, PREFIX, Token, TokenError, digits, parse

tasks = st.binary(max_size=200).map(lambda b: bytes(c % 36 for c in b))
words = st.text(max_size=40).filter(lambda t: not any(0xD800 <= ord(c) < 0xE000 for c in t))
tokens = st.builds(
    Token,
    scenario=words,
    params=st.dictionaries(words, st.booleans() | st.integers() | words, max_size=6),
    fix=words,
    choices=tasks.map(digits),
    loop=tasks.map(digits),
    digest=st.text(string.hexdigits, max_size=32),
    kind=words,
    property=words,
    scenario_digest=words,
    version=words,
)

PLAIN = Token(
    scenario="contended_kernel_map",
    params={"cpus": 1, "lap": "silent"},
    fix="lock-retry",
    choices="001201z",
    loop="12",
    digest="abc123",
    kind="livelock",
    property="no refault livelock",
    scenario_digest="0123",
    version="0.1.0",
)


def pack(body: bytes) -> str:
    """A word with a checksum that fits, around any bytes."""
    data = zlib.crc32(body).to_bytes(4) + body
    return PREFIX + base64.urlsafe_b64encode(data).decode().rstrip("=")


def pack_json(value: Any) -> str:
    return pack(zlib.compress(json.dumps(value).encode()))


def fields(**changes: Any) -> list[Any]:
    return list((attrs.asdict(PLAIN) | changes).values())


@given(tokens)
def test_a_token_comes_back_as_it_was(token: Token) -> None:
    """Whatever it holds, its word is one word and parses to an equal token."""
    word = token.word()
    assert word.split() == [word]
    assert set(word) <= set(string.ascii_letters + string.digits + "-_")
    assert parse(word) == token
    assert parse(f"  {word}\n") == token


@given(tasks, tasks)
def test_choices_come_back_as_task_indices(choices: bytes, loop: bytes) -> None:
    """One character a step, up to 36 tasks."""
    token = attrs.evolve(PLAIN, choices=digits(choices), loop=digits(loop))
    assert parse(token.word()).schedule() == (choices, loop)
    assert len(token.choices) == len(choices)


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
    for word in (pack(body), pack(zlib.compress(body))):
        with pytest.raises(TokenError):
            parse(word)


@given(json_values)
def test_any_json_with_a_checksum_that_fits_is_refused(value: Any) -> None:
    """The same, one layer deeper."""
    with pytest.raises(TokenError, match="another version"):
        parse(pack_json(value))


@given(st.integers(0, 9), json_values)
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
        ("", "those begin with k1-"),
        ("k2-AAAA", "'k2-AAAA' is not a token of this version"),
        ("contended_kernel_map", "not a token"),
        ("k1-", "checksum"),
        ("k1-!!!!", "not base64"),
        (PREFIX + "é" * 8, "damaged"),
        (PREFIX + "A" * MAX_LENGTH, "longer than"),
        (pack_json(fields()[:-1]), "another version"),
        (pack_json([*fields(), "more"]), "another version"),
        (pack_json(fields(choices="0 1")), "another version"),
        (pack_json(fields(choices="0é1")), "another version"),
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
    long = pack_json(fields(choices="0" * (2 * MAX_LENGTH)))
    assert len(long) < 10_000
    with pytest.raises(TokenError):
        parse(long)
    assert parse(pack_json(fields(choices="0" * (MAX_LENGTH // 2)))).loop == PLAIN.loop


def test_json_that_is_nested_deeply_is_refused() -> None:
    """However deep: not a crash of the parser."""
    with pytest.raises(TokenError):
        parse(pack(zlib.compress(b"[" * 100_000)))
