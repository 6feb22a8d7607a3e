"""Whether a provider counts calls in flight, and how many it lets in: some answer 429 to one more than that.

A limit of rate is met at any number in flight. Where the 429s come at the same number again and again, and no call was
ever let in beyond it, the number is the limit, and a pace would only leave places empty.
"""

from collections import deque

NEEDED, MOST_NEEDED = 3, 24
"""Episodes in a row that must agree; twice as many each time that the number was wrong after all."""
TOLERANCE = 1.06
MORE_AFTER_S, LONGEST_S = 60.0, 480.0
"""How long without a 429 until one more is tried; twice as long each time that it was refused."""
WRONG_AFTER = 2
"""So many episodes within that time show that something else is the limit."""


class Cap:
    """`most` calls may be in flight at the provider; None where nothing tells of such a limit."""

    __slots__ = ("_agreeing", "_more_after_s", "_needed", "_peak", "_recent_s", "_seen_s", "_step", "most", "tried_s")

    def __init__(self) -> None:
        self.most: int | None = None
        self.tried_s = 0.0
        """When the last one more was tried, or refused."""
        self._needed = NEEDED
        self._agreeing: deque[tuple[int, int]] = deque(maxlen=NEEDED)
        self._recent_s: deque[float] = deque(maxlen=WRONG_AFTER)
        self._more_after_s = MORE_AFTER_S
        self._step = 1
        self._peak = 0
        self._seen_s = float("-inf")

    def start(self, in_flight: int) -> None:
        """A call was sent, and so many are in flight now."""
        if in_flight > self._peak:
            self._peak = in_flight

    def throttled(self, now_s: float, sent_s: float, in_flight: int) -> bool:
        """A 429 came while so many were in flight, itself among them; whether this limit explains it."""
        if sent_s < self._seen_s:
            return self.most is not None
        self._seen_s = self.tried_s = now_s
        self._step = 1
        peak, self._peak = self._peak, in_flight
        if self.most is not None:
            return self._confirm(now_s, self.most, in_flight)
        self._agreeing.append((in_flight, peak))
        self._believe()
        return self.most is not None

    def try_more(self, now_s: float) -> bool:
        """One more, if it is time, and twice as many more each time that it went well; whether it is."""
        if self.most is None or now_s < self.tried_s + self._more_after_s:
            return False
        self.most += self._step
        self._step *= 2
        self.tried_s = now_s
        return True

    def _believe(self) -> None:
        counts = [count for count, _ in self._agreeing]
        peaks = [peak for _, peak in self._agreeing][1:]
        if len(counts) == self._needed and max(*counts, *peaks) <= _about(min(counts)):
            self.most = max(1, min(counts) - 1)
            self._recent_s.clear()
            self._more_after_s = MORE_AFTER_S

    def _confirm(self, now_s: float, most: int, in_flight: int) -> bool:
        self._recent_s.append(now_s)
        often = len(self._recent_s) == WRONG_AFTER and now_s - self._recent_s[0] < MORE_AFTER_S
        if often or _about(in_flight) < most - 1:
            self.most = None
            self._needed = min(MOST_NEEDED, 2 * self._needed)
            self._agreeing = deque(maxlen=self._needed)
            return False
        self.most = max(1, min(most, in_flight) - 1)
        self._more_after_s = min(LONGEST_S, 2 * self._more_after_s)
        return True


def _about(count: int) -> int:
    return int(TOLERANCE * count)
