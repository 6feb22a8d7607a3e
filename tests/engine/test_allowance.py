"""What may be in flight is on disk before it flies."""

from hypothesis import given
from hypothesis import strategies as st

from penstock.engine.allowance import Allowance


class Disk:
    """Takes what is asked for, when it is told to."""

    def __init__(self, calls: int, ceiling: int) -> None:
        self.allowance = Allowance(calls, ceiling, self.ask)
        self.asked: list[tuple[int, float]] = []

    def ask(self, calls: int, amount: float) -> None:
        """Note what is wanted."""
        self.asked.append((calls, amount))

    def write(self) -> None:
        """Grant the oldest wish."""
        self.allowance.grant(*self.asked.pop(0))


def test_nothing_flies_that_is_not_on_disk() -> None:
    """More is asked for in time, once, and covers only when it is written."""
    disk = Disk(4, 100)
    assert disk.allowance.covers(2, 0.0)
    assert disk.asked == []
    assert disk.allowance.covers(3, 0.0)
    assert disk.allowance.covers(4, 0.0)
    assert not disk.allowance.covers(5, 0.0)
    assert len(disk.asked) == 1
    disk.write()
    assert disk.allowance.covers(5, 0.0)


def test_money_is_covered_as_calls_are() -> None:
    """The first amount has to be written before anything is sent for it."""
    disk = Disk(4, 4)
    assert not disk.allowance.covers(1, 0.5)
    disk.write()
    assert disk.allowance.covers(1, 0.5)
    assert not disk.allowance.covers(1, 50.0)


def test_a_fixed_number_of_calls_writes_nothing() -> None:
    """It is on disk from the start."""
    disk = Disk(200, 200)
    assert all(disk.allowance.covers(calls, 0.0) for calls in range(1, 201))
    assert not disk.allowance.covers(201, 0.0)
    assert disk.asked == []


def test_a_higher_ceiling_lets_more_be_asked_for() -> None:
    """`penstock ctl RUN set concurrency=…` while it works."""
    disk = Disk(2, 2)
    disk.allowance.set_ceiling(8)
    assert not disk.allowance.covers(3, 0.0)
    disk.write()
    assert disk.allowance.covers(3, 0.0)


@given(st.lists(st.tuples(st.integers(1, 500), st.floats(0, 1e6)), max_size=60), st.integers(1, 500))
def test_what_is_covered_was_granted(asks: list[tuple[int, float]], ceiling: int) -> None:
    """At every step, and with a handful of writes however many calls there are."""
    disk = Disk(min(4, ceiling), ceiling)
    granted = (min(4, ceiling), 0.0)
    writes = 0
    for calls, amount in asks:
        if disk.allowance.covers(calls, amount):
            assert calls <= granted[0] <= ceiling
            assert amount <= granted[1]
        while disk.asked:
            granted = (max(granted[0], disk.asked[0][0]), max(granted[1], disk.asked[0][1]))
            disk.write()
            writes += 1
    assert writes <= len(asks)
