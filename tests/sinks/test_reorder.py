"""Sorting the lines of a file in little memory."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.models import Result, Status
from penstock.sinks.jsonl import INDEXES, JsonLines
from penstock.sinks.reorder import TooFarApart, in_order, index_pattern

INDEX_OF = index_pattern(rb"(\d+)")


def lines(indexes: list[int]) -> list[bytes]:
    """A line per index, each of about ten bytes."""
    return [f"{index:08d}\n".encode() for index in indexes]


@given(st.permutations(range(40)))
def test_lines_within_the_window_come_in_order(indexes: list[int]) -> None:
    """Whatever the order, a window that holds them all sorts them."""
    assert list(in_order(lines(indexes), INDEX_OF)) == lines(sorted(indexes))


def test_a_file_longer_than_the_window_is_sorted_as_it_goes() -> None:
    """Lines that are near their places need no more memory than the window."""
    shuffled = [index ^ 3 for index in range(4000)]
    assert list(in_order(lines(shuffled), INDEX_OF, window_bytes=500)) == lines(list(range(4000)))


def test_a_line_too_far_from_its_place_is_refused() -> None:
    """What cannot be sorted is said, not written out of order."""
    with pytest.raises(TooFarApart):
        list(in_order(lines([*range(1, 200), 0]), INDEX_OF, window_bytes=100))


def test_a_line_without_an_index_is_refused() -> None:
    """A foreign line is no reason to guess."""
    with pytest.raises(ValueError, match="without an index"):
        list(in_order([b"header\n"], INDEX_OF))


@pytest.mark.parametrize("format", ["penstock", "openai-batch"])
@pytest.mark.parametrize("key", ["plain", 'with "quotes" and \\ and ,"index":7,', "键"])
def test_the_index_is_read_from_every_form_of_line(format: str, key: str) -> None:
    """The pattern finds the index that the line was made with, whatever stands in the key."""
    made = JsonLines(format).line(Result(key, 123, Status.OK, b"{}", body=b"{}"))  # type: ignore[arg-type]
    assert INDEXES[format](made) == 123  # type: ignore[index]
