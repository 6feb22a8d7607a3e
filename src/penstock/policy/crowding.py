"""Whether calls time out because too many are in flight."""

import math

from penstock.policy.sliding import SlidingSum

WINDOW_S = 60.0
TIMED_OUT_SHARE = 0.02
FEWEST = 3
SHORTEST_COOLDOWN_S = 10.0


class Crowding:
    """Counts a minute's calls, and those of them that timed out."""

    def __init__(self) -> None:
        self._landed = SlidingSum(WINDOW_S, 60)
        self._timed_out = SlidingSum(WINDOW_S, 60)
        self._cut_s = -math.inf
        self._until_s = -math.inf

    def land(self, now_s: float, timed_out: bool) -> None:
        """A call has ended, with an answer or without one in time."""
        self._landed.add(now_s, 1.0)
        if timed_out:
            self._timed_out.add(now_s, 1.0)

    def must_cut(self, now_s: float, sent_s: float) -> bool:
        """Whether a call that timed out is one too many. What was sent before the last cut tells nothing new."""
        if now_s < self._until_s or sent_s < self._cut_s:
            return False
        timed_out = self._timed_out.total(now_s)
        return timed_out >= FEWEST and timed_out > TIMED_OUT_SHARE * self._landed.total(now_s)

    def cut(self, now_s: float, mean_latency_s: float) -> None:
        """The limit was lowered: wait until that shows."""
        self._cut_s = now_s
        self._until_s = now_s + max(SHORTEST_COOLDOWN_S, 2 * mean_latency_s)
