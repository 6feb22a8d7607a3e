"""A limit of calls in flight, told from a limit of rate by where the 429s come."""

import pytest

from penstock.policy.cap import LONGEST_S, MORE_AFTER_S, NEEDED, Cap


def refuse(cap: Cap, now_s: float, in_flight: int, peak: int | None = None) -> bool:
    """So many go in flight, and then one more is turned away; whether the limit explains it."""
    cap.start(in_flight if peak is None else peak)
    return cap.throttled(now_s, now_s - 0.1, in_flight)


def believing(most: int = 50) -> Cap:
    """One that three 429s in a row have convinced."""
    cap = Cap()
    for episode in range(NEEDED):
        refuse(cap, 10.0 * (episode + 1), most + 1)
    return cap


def test_429s_at_the_same_number_tell_the_limit() -> None:
    """Two may be chance, three are not; the limit is what was in flight beside the one turned away."""
    cap = Cap()
    assert [refuse(cap, now_s, 51) for now_s in (10.0, 20.0, 30.0)] == [False, False, True]
    assert cap.most == 50


@pytest.mark.parametrize("counts", [(40, 51, 51), (51, 60, 51), (2, 3, 4)])
def test_429s_at_different_numbers_tell_nothing(counts: tuple[int, int, int]) -> None:
    """That is how a limit of rate shows."""
    cap = Cap()
    assert not any(refuse(cap, 10.0 * (turn + 1), count) for turn, count in enumerate(counts))
    assert cap.most is None


def test_calls_that_were_let_in_beyond_the_number_speak_against_it() -> None:
    """Sixty were in flight between, and none of them was turned away."""
    cap = Cap()
    assert not any(refuse(cap, now_s, 51, peak=60) for now_s in (10.0, 20.0, 30.0))


def test_one_burst_is_one_sign() -> None:
    """What was sent before the first 429 came back says the same again."""
    cap = Cap()
    for _ in range(50):
        assert not cap.throttled(10.0, 9.9, 51)
    assert cap.most is None


def test_more_is_tried_after_a_while_and_faster_where_it_goes_well() -> None:
    """One more after a minute, two after the next; a refusal takes it back and makes the wait longer."""
    cap = believing(50)
    assert not cap.try_more(30.0 + MORE_AFTER_S - 1)
    assert cap.try_more(30.0 + MORE_AFTER_S)
    assert cap.most == 51
    assert cap.try_more(30.0 + 2 * MORE_AFTER_S)
    assert cap.most == 53
    now_s = 40.0 + 2 * MORE_AFTER_S
    assert refuse(cap, now_s, 53)
    assert cap.most == 52
    assert not cap.try_more(now_s + MORE_AFTER_S)
    assert cap.try_more(now_s + LONGEST_S)


@pytest.mark.parametrize(("first", "second"), [(20, None), (50, 50)])
def test_429s_that_the_limit_does_not_explain_end_it(first: int, second: int | None) -> None:
    """One far below, or two soon after each other; next time it takes more to be convinced."""
    cap = believing(50)
    explained = refuse(cap, 31.0, first)
    if second is not None:
        assert explained
        explained = refuse(cap, 33.0, second)
    assert not explained
    assert cap.most is None
    for episode in range(2 * NEEDED - 1):
        assert not refuse(cap, 40.0 + 10 * episode, 51)
    assert refuse(cap, 200.0, 51)
