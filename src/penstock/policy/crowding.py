"""Whether calls time out because too many are in flight."""

import math

from penstock.policy.sliding import SlidingSum

WINDOW_S = 60.0
TIMED_OUT_SHARE = 0.02
FEWEST = 3
SHORTEST_COOLDOWN_S = 10.0


class Crowding:
    """Counts a minute's calls, and those of them that timed out, sent since the limit was lowered last."""

    def __init__(self) -> None:
        self._landed = SlidingSum(WINDOW_S, 60)
        self._timed_out = SlidingSum(WINDOW_S, 60)
        self._lowered_s = -math.inf
        self._until_s = -math.inf

    def land(self, now_s: float, sent_s: float, timed_out: bool) -> bool:
        """A call has ended, with an answer or without one in time; whether those without have become too many."""
        self._landed.add(now_s, 1.0)
        if not timed_out or sent_s < self._lowered_s:
            return False
        self._timed_out.add(now_s, 1.0)
        count = self._timed_out.total(now_s)
        return now_s >= self._until_s and count >= FEWEST and count > TIMED_OUT_SHARE * self._landed.total(now_s)

    def lowered(self, now_s: float, mean_latency_s: float) -> None:
        """There is a lower limit: wait until that shows. What was sent before tells nothing of it."""
        self._lowered_s = now_s
        self._until_s = now_s + max(SHORTEST_COOLDOWN_S, 2 * mean_latency_s)
