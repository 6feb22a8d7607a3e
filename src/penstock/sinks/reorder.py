"""Putting the lines of a file into input order in little memory.

Results complete nearly in the order of the source, so each line is within a window of its place. Where one is not, the
file has to be written anew from the journal, which costs several times as much.
"""

import re
from collections.abc import Callable, Iterable, Iterator

WINDOW_BYTES = 8 * 1024 * 1024

IndexOf = Callable[[bytes], int]
"""The index that a line names. Raises `ValueError` for a line that names none."""


class TooFarApart(Exception):
    """A line is further from its place than the window reaches."""


def index_pattern(pattern: bytes) -> IndexOf:
    """Read the index from the start of a line, as the first group of a regular expression."""
    match = re.compile(pattern).match

    def index_of(line: bytes) -> int:
        found = match(line)
        if found is None:
            raise ValueError("a line without an index")
        return int(found[1])

    return index_of


def in_order(lines: Iterable[bytes], index_of: IndexOf, window_bytes: int = WINDOW_BYTES) -> Iterator[bytes]:
    """The lines by ascending index.

    Raises `TooFarApart` as soon as a line comes too late, and `ValueError` for one that names no index.
    """
    window: list[tuple[int, bytes]] = []
    size = 0
    last = -1
    for line in lines:
        window.append((index_of(line), line))
        size += len(line)
        if size > window_bytes:
            window.sort()
            half = len(window) // 2
            last = _later(last, window[:half])
            yield from (line for _, line in window[:half])
            del window[:half]
            size = sum(len(line) for _, line in window)
    window.sort()
    _later(last, window)
    yield from (line for _, line in window)


def _later(last: int, window: list[tuple[int, bytes]]) -> int:
    """The last index of a sorted window that lies wholly behind `last`."""
    if window and window[0][0] <= last:
        raise TooFarApart
    return window[-1][0] if window else last
