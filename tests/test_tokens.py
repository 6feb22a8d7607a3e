"""The estimate of tokens stays near what tokenizers make of common scripts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.tokens import TOKENS_PER_CHARACTER, estimate_tokens


@pytest.mark.parametrize(
    ("text", "fewest", "most"),
    [
        ("", 0, 0),
        ("a", 1, 1),
        ("The quick brown fox jumps over the lazy dog.", 9, 13),
        ("Please summarise the following article in three short sentences for a busy reader.", 14, 23),
        ("今天天气很好，我们去公园散步吧。", 9, 16),
        ("東京は日本の首都です。", 6, 11),
        ("오늘은 날씨가 좋습니다", 6, 12),
        ("Сегодня хорошая погода для прогулки", 9, 16),
        ("1234567890", 4, 10),
        ('{"id": 12, "name": "Ann", "tags": ["a", "b"]}', 17, 27),
        ("🙂🙂🙂", 3, 9),
    ],
)
def test_the_estimate_is_near(text: str, fewest: int, most: int) -> None:
    """Between what the thrifty and the wasteful vocabularies need."""
    assert fewest <= estimate_tokens(text) <= most


def test_every_first_byte_counts_once() -> None:
    """No character is left out or counted twice."""
    first_bytes = b"".join(row[0] for row in TOKENS_PER_CHARACTER)
    printable = {*b"\t\r\n", *range(0x20, 0x7F), *range(0xC2, 0xF5)}
    assert len(first_bytes) == len(set(first_bytes))
    assert set(first_bytes) == printable


@given(text=st.text(min_size=1, max_size=50), more=st.text(max_size=50))
def test_more_text_is_never_fewer_tokens(text: str, more: str) -> None:
    """Any text has an estimate, and it grows with the text."""
    assert 0 <= estimate_tokens(text) <= estimate_tokens(text + more)
