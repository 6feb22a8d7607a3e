"""Sums over the last seconds, kept in slots, so that they cost the same however much is counted."""

LEAST_WAIT_S = 1e-6
"""Longer than what rounding can add to a moment."""


class SlidingSum:
    """What was added within the last `window_s`; each amount counts until its whole slot is older than that.

    So it is never less than the exact sum, and amounts are forgotten at most one slot late.
    """

    __slots__ = ("_amounts", "_head", "_size", "_total", "_width_s")

    def __init__(self, window_s: float, slots: int) -> None:
        self._width_s = window_s / slots
        self._size = slots + 1
        self._amounts = [0.0] * self._size
        self._head = 0
        self._total = 0.0

    def add(self, at_s: float, amount: float) -> None:
        """Count an amount at a moment, which may lie back; negative to correct one of the same moment."""
        slot = int(at_s / self._width_s)
        if slot > self._head:
            self._advance(slot)
        elif slot <= self._head - self._size:
            return
        self._amounts[slot % self._size] += amount
        self._total += amount

    def total(self, now_s: float) -> float:
        """The sum as it stands."""
        slot = int(now_s / self._width_s)
        if slot > self._head:
            self._advance(slot)
        return self._total

    def wait_s(self, now_s: float, most: float) -> float:
        """Seconds until the sum is no more than `most`, if nothing is added; `most` is not negative."""
        over = self.total(now_s) - most
        if over <= 0:
            return 0.0
        slot = self._head - self._size
        while over > 0 and slot < self._head:
            slot += 1
            over -= self._amounts[slot % self._size]
        # It is gone when the newest slot lies a whole round further on.
        return max(LEAST_WAIT_S, (slot + self._size) * self._width_s - now_s)

    def _advance(self, slot: int) -> None:
        for gone in range(max(self._head + 1, slot - self._size + 1), slot + 1):
            index = gone % self._size
            self._total -= self._amounts[index]
            self._amounts[index] = 0.0
        self._head = slot
