"""How much may be in flight if the program is killed now, as the journal has it on disk.

It is raised before more is used. Calls are raised by doubling, and so are written a few times in a run. Money is raised
in small steps: all of it counts as unknown after a kill, so it is never much more than what was reserved.
"""

import math
from collections.abc import Callable

FIRST_CALLS = 64
STEP, AHEAD = 1.3, 1.15
"""Money is raised to so many times what is needed, and asked for while so many times that is not covered yet."""


class Allowance:
    """Calls and money. `raise_to` is asked for more, and answers by `grant` once that is on disk."""

    def __init__(self, calls: int, ceiling: int, raise_to: Callable[[int, float], None]) -> None:
        self._calls = calls
        self._amount = 0.0
        self._dearest = 0.0
        self._ceiling = ceiling
        self._asked = False
        self._raise_to = raise_to

    def covers_calls(self, calls: int) -> bool:
        """Whether so many may be in flight; if not, or nearly not, more is asked for."""
        if calls * 2 > self._calls and self._calls < self._ceiling and not self._asked:
            self._ask(min(self._ceiling, max(self._calls, calls * 4)), self._amount)
        return calls <= self._calls

    def covers_money(self, amount: float, of_call: float, most: float = math.inf) -> bool:
        """Whether so much may be in flight, `of_call` of it for one call more; `most` is all that there is.

        If not, or nearly not, more is asked for: never more than as many calls as are allowed can cost.
        """
        self._dearest = max(self._dearest, of_call)
        if amount * AHEAD > self._amount and not self._asked:
            needed = max(amount, min(most, amount * STEP, self._calls * self._dearest))
            if needed > self._amount:
                self._ask(self._calls, needed)
        return amount <= self._amount

    def grant(self, calls: int, amount: float) -> None:
        """It is on disk."""
        self._calls, self._amount, self._asked = max(calls, self._calls), max(amount, self._amount), False

    def set_ceiling(self, ceiling: int) -> None:
        """More calls may be asked for than before."""
        self._ceiling = max(ceiling, self._calls)

    def _ask(self, calls: int, amount: float) -> None:
        self._asked = True
        self._raise_to(calls, amount)
