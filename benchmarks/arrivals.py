"""What the server's own log says about a run: when requests came, when they were answered, how much was carried.

A rate "after the first second" counts from a second after the first request came until the last one came: what is left
out is the start, and the end in which there is no work left to be in flight. Within it, each request counts evenly over
the time that the server held it, so that answers which come in waves count the same as a steady stream.
"""

from array import array
from pathlib import Path

LEFT_OUT_S = 1.0
SHORTEST_S = 0.5
"""A window shorter than this says nothing."""


class Arrivals:
    """One run as the server saw it. Times are seconds since the epoch."""

    def __init__(self) -> None:
        self._came = array("d")
        self._went = array("d")
        self.failed = 0
        self.received_bytes = 0
        self.sent_bytes = 0

    def __len__(self) -> int:
        """How many requests were answered with 200."""
        return len(self._came)

    def take(self, line: bytes) -> None:
        """Read one line of the log."""
        went, took, status, received, sent = line.split()
        if status != b"200":
            self.failed += 1
            return
        self._went.append(float(went))
        self._came.append(float(went) - float(took))
        self.received_bytes += int(received)
        self.sent_bytes += int(sent)

    @property
    def first_s(self) -> float:
        """When the first request came."""
        return min(self._came)

    @property
    def window(self) -> tuple[float, float] | None:
        """From when to when it was neither starting nor ending, where that is long enough to say anything."""
        if not self._came:
            return None
        begin, end = self.first_s + LEFT_OUT_S, max(self._came)
        return (begin, end) if end - begin >= SHORTEST_S else None

    def answered_within(self, begin: float, end: float) -> float:
        """How many requests' worth of answering lies between two moments."""
        whole = 0.0
        for came, went in zip(self._came, self._went, strict=True):
            held_s = went - came
            if held_s <= 0:
                whole += begin <= went < end
            else:
                whole += max(0.0, min(went, end) - max(came, begin)) / held_s
        return whole


def read_arrivals(log: Path, start: int) -> Arrivals:
    """The lines of a log from an offset on."""
    arrivals = Arrivals()
    with log.open("rb") as lines:
        lines.seek(start)
        for line in lines:
            arrivals.take(line)
    return arrivals
