"""How long a provider asks to be left alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.policy.retry_after import LONGEST_S, Header, asked_wait_s, delay_in_words, reset_wait_s

NOW_S = 1_445_412_480.0
"""Wed, 21 Oct 2015 07:28:00 GMT."""


def headers(**values: str) -> Header:
    """A header lookup; underscores stand for hyphens."""
    known = {name.replace("_", "-"): value for name, value in values.items()}
    return lambda name: known.get(name.lower())


@pytest.mark.parametrize(
    ("text", "expected_s"),
    [
        ("7", 7.0),
        (" 0.25 ", 0.25),
        ("1m30s", 90.0),
        ("6ms", 0.006),
        ("Wed, 21 Oct 2015 07:28:30 GMT", 30.0),
        ("2015-10-21T07:28:30Z", 30.0),
        ("2678400", LONGEST_S),
        (str(int(NOW_S) + 40), 40.0),
        (str((int(NOW_S) + 40) * 1_000), 40.0),
        ("2678401", None),
        ("1e9", None),
        ("99999999999999999999", None),
        ("Wed, 21 Oct 2099 07:28:30 GMT", None),
        ("0", None),
        ("-5", None),
        ("NaN", None),
        ("inf", None),
        ("1e999", None),
        ("1_000", None),
        ("soon", None),
        ("", None),
        ("Wed, 21 Oct 2015 07:27:00 GMT", None),
        ("Wed, 99 Oct 2015 07:27:00 GMT", None),
        ("Fri, 31 Dec 99999 07:27:00 GMT", None),
    ],
)
def test_retry_after_in_every_form(text: str, expected_s: float | None) -> None:
    """Seconds, moments and dates are read; the past, nonsense and what is further off than a month are ignored."""
    assert asked_wait_s(headers(retry_after=text), NOW_S) == expected_s


def test_the_largest_wait_that_is_asked_for_counts() -> None:
    """Header, header in milliseconds and body may say different things."""
    assert asked_wait_s(headers(retry_after="1", retry_after_ms="2500"), NOW_S, "2s") == 2.5
    assert asked_wait_s(headers(retry_after="1"), NOW_S, "17s") == 17.0


def test_no_header_asks_for_nothing() -> None:
    """Neither form is there."""
    assert asked_wait_s(headers(), NOW_S) is None
    assert reset_wait_s(headers(), NOW_S) is None


@pytest.mark.parametrize(
    ("text", "expected_s"),
    [
        ("1m30s", 90.0),
        ("6ms", 0.006),
        ("2", 2.0),
        ("1h2m3.5s", 3_723.5),
        (str(int(NOW_S) + 40), 40.0),
        (str((int(NOW_S) + 40) * 1_000), 40.0),
        (str(int(NOW_S) - 40), None),
        ("2015-10-21T07:28:30+00:00", 30.0),
    ],
)
def test_a_reset_in_every_form(text: str, expected_s: float | None) -> None:
    """Durations, seconds, dates, and the epoch in seconds or milliseconds."""
    assert reset_wait_s(headers(x_ratelimit_reset_requests=text), NOW_S) == expected_s
    assert reset_wait_s(headers(x_ratelimit_reset=text), NOW_S) == expected_s


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("anthropic_ratelimit_requests_reset", "2015-10-21T07:28:30Z"),
        ("anthropic_ratelimit_tokens_reset", "2015-10-21T09:28:30+02:00"),
        ("anthropic_ratelimit_input_tokens_reset", "2015-10-21T07:28:30Z"),
        ("anthropic_ratelimit_output_tokens_reset", "2015-10-21T07:28:30Z"),
        ("ratelimit_reset", "30"),
        ("ratelimit", '"default";r=0;t=30'),
        ("x_ratelimit_reset", str((int(NOW_S) + 30) * 1_000)),
    ],
)
def test_every_providers_reset_is_read(name: str, text: str) -> None:
    """By the name and in the form of each."""
    assert reset_wait_s(headers(**{name: text}), NOW_S) == 30.0


def test_only_the_exhausted_limit_of_anthropic_resets() -> None:
    """Dates stand beside all four of its limits, on every response."""
    given_headers = headers(
        anthropic_ratelimit_requests_remaining="40",
        anthropic_ratelimit_requests_reset="2015-10-21T07:29:00Z",
        anthropic_ratelimit_input_tokens_remaining="0",
        anthropic_ratelimit_input_tokens_reset="2015-10-21T07:28:05Z",
    )
    assert reset_wait_s(given_headers, NOW_S) == 5.0


def test_only_the_exhausted_limit_resets() -> None:
    """The other limit's reset says nothing about when to come back."""
    given_headers = headers(
        x_ratelimit_reset_requests="6m",
        x_ratelimit_remaining_requests="59",
        x_ratelimit_reset_tokens="3s",
        x_ratelimit_remaining_tokens="0",
    )
    assert reset_wait_s(given_headers, NOW_S) == 3.0


def test_without_an_exhausted_limit_the_largest_reset_counts() -> None:
    """It is not known then which one was hit."""
    assert reset_wait_s(headers(x_ratelimit_reset_requests="6s", x_ratelimit_reset_tokens="3s"), NOW_S) == 6.0


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Rate limit reached. Please try again in 1m30.5s. Visit …", "1m30.5s"),
        ("Please retry after 6 seconds.", "6s"),
        ("Please try again in 20s.", "20s"),
        ("Please retry in 36.429760048s.", "36.429760048s"),
        ("Try again in 2 minutes and 5 seconds.", "2m5s"),
        ("Rate limit exceeded, retry in about 1 hour, 30 mins.", "1h30m"),
        ("Please wait 83475 seconds before retrying.", "83475s"),
        ("Please wait for at least 250 milliseconds", "250ms"),
        ("retry after 3", "3"),
        ("Please try again after 2026-11-24 10:00.", None),
        ("Please wait 5 more", "5"),
        ("Please try again later.", None),
    ],
)
def test_a_wait_is_found_in_words(message: str, expected: str | None) -> None:
    """Resellers often pass on the message and drop the headers."""
    assert delay_in_words(message) == expected


@given(text=st.text(max_size=80))
def test_no_header_raises(text: str) -> None:
    """Whatever a header holds, the wait is none or sensible."""
    for wait_s in (asked_wait_s(lambda _name: text, NOW_S, text), reset_wait_s(lambda _name: text, NOW_S)):
        assert wait_s is None or 0 < wait_s <= LONGEST_S
