"""Credentials do not show, and are taken out of foreign text."""

import copy
import json
import pickle
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.redaction import EXCERPT_CHARS, Secret, excerpt, printable, redact

KEY = "sk-abcdefgh12345678"


@pytest.mark.parametrize("show", [repr, str, "{}".format, "{0!r}".format, lambda secret: repr([{"key": secret}])])
def test_a_secret_does_not_show(show: Any) -> None:
    """However it is printed, and whatever it stands in."""
    assert KEY not in show(Secret(KEY))


@pytest.mark.parametrize("encode", [pickle.dumps, copy.deepcopy, json.dumps, msgspec.json.encode, msgspec.to_builtins])
def test_a_secret_is_not_written(encode: Any) -> None:
    """Rather an error than a key in a file."""
    with pytest.raises(TypeError):
        encode(Secret(KEY))


def test_a_secret_has_nothing_to_look_into() -> None:
    """As tracebacks with variables do."""
    assert not hasattr(Secret(KEY), "__dict__")


def test_secrets_are_equal_by_their_values() -> None:
    """And to nothing else."""
    assert Secret(KEY) == Secret(KEY)
    assert Secret(KEY) != Secret("other")
    assert Secret(KEY) != KEY
    assert len({Secret(KEY), Secret(KEY)}) == 1
    assert Secret(KEY).reveal() == KEY


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        (f"Incorrect API key provided: {KEY}.", "Incorrect API key provided: [redacted]."),
        (f"{KEY} and {KEY}", "[redacted] and [redacted]"),
        ("gsk_abcdefgh1234, xai-abcdefgh1234, pk-abcdefgh1234", "[redacted], [redacted], [redacted]"),
        ("Authorization: Bearer abc.def/ghi+jkl=", "Authorization: Bearer [redacted]"),
        ('{"authorization":"Bearer abc"}', '{"authorization":"Bearer [redacted]"}'),
        ("postgresql://me:hunter22@db/x", "postgresql://me:[redacted]@db/x"),
        ("redis://:hunter22@db", "redis://:[redacted]@db"),
        ("a desk-lamp and a task-list", "a desk-lamp and a task-list"),
        ("12:30 at me@example.com", "12:30 at me@example.com"),
        ("http://host:8000/v1", "http://host:8000/v1"),
    ],
)
def test_what_looks_like_a_credential_is_taken_out(text: str, safe: str) -> None:
    """And ordinary words are left."""
    assert redact(text) == safe


@pytest.mark.parametrize("value", ["hunter22", "wx.9", "a key with blanks", "$^[(", KEY])
def test_a_known_secret_is_taken_out_whatever_it_looks_like(value: str) -> None:
    """Every time it stands there."""
    assert redact(f"<{value}> {value}{value}", (Secret(value),)) == "<[redacted]> [redacted][redacted]"


def test_an_empty_secret_takes_nothing_out() -> None:
    """It is in every text."""
    assert redact("text", (Secret(""),)) == "text"


def test_an_excerpt_is_for_a_person() -> None:
    """Without tags, scripts and control characters, on one line."""
    page = b"<html><style>p {}</style><script>alert(1)</script><h1>502\n Bad\tGateway</h1>\x1b[31m<p>nginx</p></html>"
    assert excerpt(page) == "502 Bad Gateway [31m nginx"


def test_an_excerpt_is_short() -> None:
    """However long the body is, and whatever bytes it has."""
    assert len(excerpt("é".encode() * 10_000_000)) == EXCERPT_CHARS
    assert len(excerpt(b"\xff" * 10_000)) == EXCERPT_CHARS


def test_an_excerpt_quotes_no_secret() -> None:
    """Known or not, also where it would be cut in two."""
    body = ("x" * (EXCERPT_CHARS - 5) + " hunter22 " + KEY).encode()
    shown = excerpt(body, (Secret("hunter22"),))
    assert "hunt" not in shown
    assert "sk-" not in shown


@given(st.binary(max_size=2000))
def test_an_excerpt_of_anything_is_printable(body: bytes) -> None:
    """Nothing raises, and nothing steers a terminal."""
    shown = excerpt(body)
    assert len(shown) <= EXCERPT_CHARS
    assert shown == printable(shown)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;owned\x07", "]0;owned"),
        ("\x9b31m", "31m"),
        ("a\x00b\x7fc\rd", "abcd"),
        ("tab\tand\nline", "tab\tand\nline"),
        ("编号 é", "编号 é"),
    ],
)
def test_control_characters_are_left_out(text: str, shown: str) -> None:
    """Letters of every language, tabs and line ends stay."""
    assert printable(text) == shown
