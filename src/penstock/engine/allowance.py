"""How much may be in flight if the program is killed now, as the journal has it on disk.

It is raised before more is used, by doubling, so that it is written a few times in a run and never waited for long.
"""

import math
from collections.abc import Callable

FIRST_CALLS = 64


class Allowance:
    """Calls and money. `raise_to` is asked for more, and answers by `grant` once that is on disk."""

    def __init__(self, calls: int, ceiling: int, raise_to: Callable[[int, float], None]) -> None:
        self._calls = calls
        self._amount = 0.0
        self._ceiling = ceiling
        self._asked = False
        self._raise_to = raise_to

    def covers(self, calls: int, amount: float, most: float = math.inf) -> bool:
        """Whether so much may be in flight; if not, or nearly not, more is asked for: never more money than `most`."""
        more_calls = calls * 2 > self._calls and self._calls < self._ceiling
        more_money = amount * 2 > self._amount and self._amount < most
        if (more_calls or more_money) and not self._asked:
            self._asked = True
            wanted = min(self._ceiling, max(self._calls, calls * 4)) if more_calls else self._calls
            self._raise_to(wanted, min(most, max(self._amount, amount * 4)) if more_money else self._amount)
        return calls <= self._calls and amount <= self._amount

    def grant(self, calls: int, amount: float) -> None:
        """It is on disk."""
        self._calls, self._amount, self._asked = max(calls, self._calls), max(amount, self._amount), False

    def set_ceiling(self, ceiling: int) -> None:
        """More calls may be asked for than before."""
        self._ceiling = max(ceiling, self._calls)
