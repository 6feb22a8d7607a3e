"""How long a task waits before its next attempt."""

RETRY_AFTER_SPREAD = 0.1
"""Share of a provider's own wait that is added at random, so that waiting clients do not come back all at once."""


def backoff_s(attempt: int, base_s: float, cap_s: float, draw: float, retry_after_s: float | None = None) -> float:
    """Seconds to wait after the `attempt`-th failure, counted from 1; `draw` is random in [0, 1).

    Full jitter (Brooker, "Exponential Backoff And Jitter"): anything between nothing and `base_s` doubled with each
    attempt, the jitter inside `cap_s`. A `retry_after_s` is a floor: never less, and at most a tenth more unless the
    back-off itself is longer.
    """
    window_s = min(cap_s, base_s * 2.0 ** min(attempt - 1, 64))
    floor_s = 0.0 if retry_after_s is None else retry_after_s * (1 + RETRY_AFTER_SPREAD * draw)
    return max(draw * window_s, floor_s)
