"""How values spread, in steps of 5 %: small however many there are, added up in any order, and good for a median."""

import math
from collections.abc import Mapping

STEP = 1.05
_LOG = math.log(STEP)


def step_of(value: float) -> str:
    """The middle of the step that a value above 0 falls into, as a key of JSON: 400.0 is in "394"."""
    middle = STEP ** (math.floor(math.log(value) / _LOG) + 0.5)
    return f"{middle:.0f}" if middle >= 100 else f"{middle:.3g}"


def median_of(counts: Mapping[str, int]) -> float | None:
    """The middle value, off by 3 % at most; None where there is none. `counts` are by `step_of`."""
    half = sum(counts.values()) / 2
    seen = 0
    for step, count in sorted((float(step), count) for step, count in counts.items()):
        seen += count
        if count and seen >= half:
            return step
    return None
