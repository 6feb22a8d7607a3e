"""How long an attempt may take after others of the same task ran out of time."""

TIMEOUTS = frozenset({"timeout", "idle_timeout", "stalled"})
"""Codes of failures in which the time that a call was given ran out after the request had been sent."""
LONGEST_FACTOR = 4.0


def deadline_s(base_s: float, timeouts: int) -> float:
    """Seconds for an attempt, of a task that ran out of time `timeouts` times before.

    The same deadline again would buy the same answer, which takes too long, once more, and throw it away once more.
    Each time-out doubles it, for the answer may be nearly there or may need much longer, and nobody can tell. It stops
    at four times `base_s`: a call that hangs holds its place for as long, and time-outs are seldom retried twice.
    """
    return base_s * min(LONGEST_FACTOR, 2.0 ** min(timeouts, 64))
