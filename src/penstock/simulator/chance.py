"""Chance that repeats itself: every draw depends on the seed and the request alone, never on the order of arrival."""

import math
from hashlib import blake2b
from statistics import NormalDist

_NORMAL = NormalDist()
_BITS = 52


def uniform(seed: int, purpose: str, fingerprint: bytes, attempt: int = 0) -> float:
    """A number strictly between 0 and 1, the same for the same arguments. `purpose` keeps draws independent."""
    facts = f"{seed}|{purpose}|{attempt}|".encode() + fingerprint
    drawn = int.from_bytes(blake2b(facts, digest_size=8).digest(), "big") >> (64 - _BITS)
    return (drawn + 0.5) / (1 << _BITS)


def lognormal(median: float, sigma: float, chance: float) -> float:
    """The value below which a share of `chance` of a log-normal distribution lies; the median itself if sigma is 0."""
    return median * math.exp(sigma * _NORMAL.inv_cdf(chance)) if sigma else median
