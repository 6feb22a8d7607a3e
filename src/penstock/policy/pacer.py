"""A bucket that paces: what goes is spread evenly, instead of all at the begin of each minute."""

BURST_S = 0.2
"""How much may go at once: what comes in so many seconds, or one call."""


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
        level, burst = self._level_at(now_s, per_s, least)
        missing = min(amount, burst) - level
        # What is missing by less than a call's own rounding is there.
        return missing / per_s if missing > 1e-9 * burst else 0.0

    def take(self, now_s: float, per_s: float, amount: float, least: float = 1.0) -> None:
        """It goes."""
        self._level = self._level_at(now_s, per_s, least)[0] - amount
        self._at_s = now_s

    def give_back(self, amount: float) -> None:
        """Less was used than was taken, or more where it is negative."""
        self._level += amount

    def _level_at(self, now_s: float, per_s: float, least: float) -> tuple[float, float]:
        burst = max(least, BURST_S * per_s)
        return min(burst, self._level + (now_s - self._at_s) * per_s), burst
