"""Splitting bytes into lines: ends, blocks, and lines that are too long."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.sources.lines import LineBuffer, LongLine


class Drip:
    """A stream that gives a few bytes at a time."""

    def __init__(self, content: bytes, size: int) -> None:
        self._content = io.BytesIO(content)
        self._size = size

    def read(self, size: int) -> bytes:
        """At most as many bytes as fall at once."""
        return self._content.read(min(size, self._size))


def take_all(buffer: LineBuffer, limit: int) -> list[bytes]:
    """Every line, taken `limit` at a time."""
    lines: list[bytes] = []
    while taken := buffer.take(limit):
        assert len(taken) <= limit
        lines += taken
    return lines


@given(
    content=st.binary(max_size=60).map(lambda b: b.replace(b"\x07", b"\n")),
    size=st.integers(1, 9),
    limit=st.integers(1, 4),
)
def test_lines_join_to_the_content(content: bytes, size: int, limit: int) -> None:
    """However the bytes arrive, every one of them is in one line, and lines end with newlines only."""
    lines = take_all(LineBuffer(Drip(content, size)), limit)
    assert lines == io.BytesIO(content).readlines()


@pytest.mark.parametrize("size", [1, 3, 7, 20])
@pytest.mark.parametrize("end", [b"\nafter\n", b"\n", b""])
def test_a_long_line_is_known_however_it_arrives(size: int, end: bytes) -> None:
    """Whether a line is too long does not depend on the blocks it came in."""
    content = b"before\n" + b"x" * 20 + end
    lines = take_all(LineBuffer(Drip(content, size), max_line_bytes=20), 10)
    newline = end[:1]
    assert [isinstance(line, LongLine) for line in lines] == [False, bool(newline), *([False] * end.count(b"after"))]
    if isinstance(lines[1], LongLine):
        assert (lines[1].size, lines[1].end[-2:]) == (21, b"x\n")
