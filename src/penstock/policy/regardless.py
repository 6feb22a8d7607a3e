"""Whether a provider turns calls away whatever their pace is: an aggregator with an ill node behind it does.

A limit of rate is met at a pace, and below it nobody is turned away. Where 429s keep coming among answers, though the
pace has become far slower than what was let in before, it is not the pace; going ever more slowly would bring nothing.
"""

import msgspec

NEEDED, MOST_NEEDED = 4, 32
"""Cuts in a row that brought nothing; twice as many each time that it was the pace after all."""
SLOWER, FEWER = 0.6, 0.75
"""The pace has become this share of what it was before the first of them, and what is answered in a second, pauses
included, this share: behind a bucket that fills in the pauses only the pace becomes less."""
KEPT, FEWEST = 0.7, 4
"""What is turned away after the later half of them is this share of what it was after the earlier half, and so
many calls in each."""
LARGEST_SHARE, OF = 0.5, 10
"""Where more is turned away, of so many calls at least, a limit is the likelier cause."""
MEMORY = 0.02
TIMES_MORE, MORE = 2.5, 0.15
"""The share that shows that it is the pace after all: so many times what it was, and so much above it."""
LESS, ENOUGH = 0.2, 200
"""So many calls with this part of the share show that the provider is well again."""


class _Period(msgspec.Struct, gc=False):
    """What landed between two cuts, or in several such times."""

    seconds: float = 0.0
    landed: int = 0
    refused: int = 0

    @property
    def share(self) -> float:
        """Of those that landed, those that were turned away."""
        return self.refused / max(1, self.landed)

    @property
    def answered_per_s(self) -> float:
        return (self.landed - self.refused) / max(1e-6, self.seconds)


class Regardless:
    """Told of each call's end and of each cut; `holds` while the pace is not the cause."""

    __slots__ = ("_cut_s", "_first_per_s", "_in_vain", "_needed", "_period", "_share", "_usual_share", "holds")

    def __init__(self) -> None:
        self.holds = False
        self._needed = NEEDED
        self._first_per_s = self._cut_s = 0.0
        self._period = _Period()
        self._in_vain: list[_Period] = []
        self._share = self._usual_share = 0.0

    def landed(self, refused: bool) -> None:
        """A call was answered, or turned away."""
        self._period.landed += 1
        self._period.refused += refused
        if self.holds:
            self._share += MEMORY * (refused - self._share)
            self._look()

    def cut(self, now_s: float, per_s: float, early: bool) -> bool:
        """The pace would be cut from `per_s`; `early`: it had not come back to what it was cut from. Whether it holds.

        What landed since the last cut tells whether that brought anything.
        """
        period, self._period = self._period, _Period()
        period.seconds, self._cut_s = now_s - self._cut_s, now_s
        if not early or (period.landed >= OF and period.share > LARGEST_SHARE):
            self._in_vain, self._first_per_s = [], per_s
            return False
        self._in_vain.append(period)
        self.holds = per_s <= SLOWER * self._first_per_s and self._brought_nothing()
        return self.holds

    def _brought_nothing(self) -> bool:
        half = len(self._in_vain) // 2
        earlier, later = _sum(self._in_vain[:half]), _sum(self._in_vain[half:])
        if len(self._in_vain) < self._needed or min(earlier.refused, later.refused) < FEWEST:
            return False
        self._share = self._usual_share = later.share
        fewer = later.answered_per_s <= FEWER * earlier.answered_per_s
        return fewer and later.share >= KEPT * earlier.share

    def _look(self) -> None:
        usual = self._usual_share
        if self._share > max(TIMES_MORE * usual, usual + MORE):
            self._needed = min(MOST_NEEDED, 2 * self._needed)
        elif self._period.landed < ENOUGH or self._share > LESS * usual:
            return
        self.holds = False
        self._in_vain, self._first_per_s, self._period = [], 0.0, _Period()


def _sum(periods: list[_Period]) -> _Period:
    return _Period(
        sum(period.seconds for period in periods),
        sum(period.landed for period in periods),
        sum(period.refused for period in periods),
    )
