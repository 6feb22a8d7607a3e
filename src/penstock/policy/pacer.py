"""A bucket that paces: what goes is spread evenly, instead of all at the begin of each minute."""

BURST_S = 0.2
"""How much may go at once: what comes in so many seconds, or one call."""
ROUNDING = 1e-9


class Pacer:
    """An amount that fills at the rate it is told, and is spent by what goes.

    A call larger than the bucket may go when that is full, and what it takes too much is waited for afterwards.
    """

    __slots__ = ("_at_s", "_level")

    def __init__(self) -> None:
        self._level = float("inf")
        self._at_s = 0.0

    def wait_s(self, now_s: float, per_s: float, amount: float, least: float = 1.0) -> float:
        """Seconds until `amount` may go at a rate of `per_s`; the bucket holds `least` or more."""
        burst = BURST_S * per_s
        if burst < least:
            burst = least
        level = self._level + (now_s - self._at_s) * per_s
        missing = (amount if amount < burst else burst) - (level if level < burst else burst)
        # What is missing by less than rounding can add is there.
        return missing / per_s if missing > ROUNDING * burst else 0.0

    def take(self, now_s: float, per_s: float, amount: float, least: float = 1.0) -> None:
        """It goes."""
        level = self._level + (now_s - self._at_s) * per_s
        self._level = min(level, max(least, BURST_S * per_s)) - amount
        self._at_s = now_s

    def give_back(self, amount: float) -> None:
        """Less was used than was taken, or more where it is negative."""
        self._level += amount
