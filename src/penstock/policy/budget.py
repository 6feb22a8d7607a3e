"""The run's budget: money is reserved before a call is sent, and settled when it is known what the call cost.

Spent, reserved and unknown together never pass the limit, as long as no call costs more than was reserved for it.
"""

import math

import msgspec

UNITS = 10**9
"""Money is counted in whole billionths, so that a million small sums add up exactly."""


class BudgetSnapshot(msgspec.Struct, frozen=True):
    """The money at one moment. `unknown` may have been billed without an answer; without a limit `left` is None."""

    limit: float | None
    spent: float
    reserved: float
    unknown: float
    left: float | None


class Budget:
    """Money of one currency; every amount is at least 0. `limit` None is no limit.

    A reservation is ended by exactly one of `settle`, `unknown` and `release`, with the amount that was reserved.
    """

    def __init__(self, limit: float | None, spent: float = 0.0, unknown: float = 0.0) -> None:
        self._limit = None if limit is None else _units(limit)
        self._spent = _units(spent)
        self._unknown = _units(unknown)
        self._reserved = 0

    @property
    def is_limited(self) -> bool:
        """Whether there is a limit."""
        return self._limit is not None

    @property
    def left(self) -> float | None:
        """What may still be reserved; None without a limit."""
        return None if self._limit is None else max(0, self._limit - self._taken()) / UNITS

    def reserve(self, amount: float) -> bool:
        """Set money aside for a call, all or nothing; False where it would pass the limit."""
        if math.isinf(amount):
            return False
        units = _units(amount)
        if self._limit is not None and self._taken() + units > self._limit:
            return False
        self._reserved += units
        return True

    def settle(self, reserved: float, actual: float) -> float:
        """A call cost `actual`. How much more that is than was reserved: 0 unless an estimate was wrong."""
        set_aside = self._take_back(reserved)
        units = _units(actual) if actual else 0
        self._spent += units
        return max(0, units - set_aside) / UNITS

    def unknown(self, reserved: float) -> None:
        """A call gave no answer but may be billed: all that was reserved counts against the limit for good."""
        self._unknown += self._take_back(reserved)

    def release(self, reserved: float) -> None:
        """A call was not sent, or is surely not billed."""
        self._take_back(reserved)

    def change_limit(self, limit: float | None) -> None:
        """Keep another limit; one below what is taken already lets nothing more be reserved."""
        self._limit = None if limit is None else _units(limit)

    def snapshot(self) -> BudgetSnapshot:
        """What is taken, and what may still be reserved."""
        return BudgetSnapshot(
            limit=None if self._limit is None else self._limit / UNITS,
            spent=self._spent / UNITS,
            reserved=self._reserved / UNITS,
            unknown=self._unknown / UNITS,
            left=self.left,
        )

    def _taken(self) -> int:
        return self._spent + self._reserved + self._unknown

    def _take_back(self, reserved: float) -> int:
        units = _units(reserved) if reserved else 0
        if units > self._reserved:
            raise ValueError("more is given back to the budget than was reserved")
        self._reserved -= units
        return units


def _units(amount: float) -> int:
    """Whole billionths; whatever is more than nothing is at least one."""
    if not 0 <= amount < math.inf:
        raise ValueError(f"no amount of money: {amount}")
    return max(round(amount * UNITS), int(amount > 0))
