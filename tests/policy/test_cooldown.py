"""The pause of a scope: how long, for whom, and what makes it longer."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.policy.cooldown import LONGEST_S, SPREAD, Cooldown
from penstock.policy.landing import Kind, Landing

ASKS = (Kind.THROTTLED, Kind.OVERLOADED, Kind.BROKEN)
"""Ends that may come with a time to wait."""
NEARLY_ONE = 0.999


def land(
    cooldown: Cooldown,
    now_s: float,
    kind: Kind = Kind.THROTTLED,
    *,
    wait_s: float | None = None,
    sent_s: float | None = None,
    draw: float = 0.5,
) -> None:
    """A call ends, sent at the same moment where nothing else is said."""
    sent_s = now_s if sent_s is None else sent_s
    cooldown.land(now_s, Landing(kind, sent_s, now_s, retry_after_s=wait_s), draw)


def test_at_first_nothing_waits() -> None:
    """Neither fresh work nor retries."""
    cooldown = Cooldown()
    assert (cooldown.until_s, cooldown.fresh_until_s, cooldown.asked) == (0.0, 0.0, False)


@pytest.mark.parametrize("kind", ASKS)
def test_the_time_that_was_named_is_kept_by_all(kind: Kind) -> None:
    """Retries go up to a tenth later than asked, and fresh work after the last of them."""
    cooldown = Cooldown()
    land(cooldown, 100.0, kind, wait_s=20.0)
    assert (cooldown.until_s, cooldown.fresh_until_s, cooldown.asked) == (121.0, 122.0, True)


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind not in ASKS])
def test_other_ends_name_no_time(kind: Kind) -> None:
    """Whatever is beside them."""
    cooldown = Cooldown()
    land(cooldown, 100.0, kind, wait_s=20.0)
    assert (cooldown.until_s, cooldown.fresh_until_s) == (0.0, 0.0)


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.THROTTLED])
def test_without_a_time_only_a_throttled_call_pauses(kind: Kind) -> None:
    """Failures are the breaker's."""
    cooldown = Cooldown()
    land(cooldown, 100.0, kind)
    assert (cooldown.until_s, cooldown.fresh_until_s) == (0.0, 0.0)


@given(
    told=st.lists(
        st.tuples(
            st.floats(0.0, 100.0), st.one_of(st.none(), st.floats(0.0, 5_000.0)), st.floats(0.0, 1.0, exclude_max=True)
        ),
        max_size=30,
    )
)
@settings(deadline=None)
def test_no_pause_is_cut_short(told: list[tuple[float, float | None, float]]) -> None:
    """Whatever is asked for later, each wait is kept in full, and fresh work never goes before the retries."""
    cooldown, now_s, owed_s, latest_s = Cooldown(), 0.0, 0.0, 0.0
    for gap_s, wait_s, draw in told:
        now_s += gap_s
        land(cooldown, now_s, wait_s=wait_s, draw=draw)
        owed_s = max(owed_s, now_s + (wait_s or 0.0))
        latest_s = max(latest_s, now_s + max(LONGEST_S, (wait_s or 0.0) * (1 + SPREAD)))
        assert owed_s <= cooldown.until_s + 1e-9
        assert cooldown.until_s <= cooldown.fresh_until_s <= latest_s + 1e-9


def test_calls_that_were_in_flight_together_double_it_once() -> None:
    """What was sent before the last 429 tells nothing new."""
    cooldown = Cooldown()
    for _ in range(50):
        land(cooldown, 10.0, sent_s=9.0, draw=NEARLY_ONE)
    assert cooldown.until_s <= 11.0
    land(cooldown, 20.0, draw=NEARLY_ONE)
    assert 21.0 < cooldown.until_s <= 22.0


def test_an_answer_to_an_old_call_does_not_end_the_doubling() -> None:
    """It was let in before the last pause but one, and says nothing of how long one must be; a newer one does."""
    cooldown = Cooldown()
    for second in (10, 20, 30):
        land(cooldown, float(second), draw=NEARLY_ONE)
    land(cooldown, 40.0, Kind.ANSWERED, sent_s=19.0)
    land(cooldown, 50.0, draw=NEARLY_ONE)
    assert 57.0 < cooldown.until_s <= 58.0
    land(cooldown, 65.0, Kind.ANSWERED, sent_s=45.0)
    land(cooldown, 70.0, draw=NEARLY_ONE)
    assert 70.9 < cooldown.until_s <= 71.0


def test_it_tells_whose_time_is_under_way() -> None:
    """The one that ends last."""
    cooldown = Cooldown()
    land(cooldown, 0.0, wait_s=10.0)
    land(cooldown, 1.0)
    assert cooldown.asked
    land(cooldown, 60.0)
    assert not cooldown.asked
