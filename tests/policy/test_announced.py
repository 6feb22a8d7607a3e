"""The limits that headers announce."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.policy.announced import LARGEST, Announced, announced_by

NAMES = (
    *(f"x-ratelimit-{what}-{unit}" for what in ("limit", "reset") for unit in ("requests", "tokens")),
    *(f"anthropic-ratelimit-{unit}-limit" for unit in ("requests", "tokens", "input-tokens", "output-tokens")),
)


@pytest.mark.parametrize(
    ("headers", "announced"),
    [
        ({}, Announced()),
        (
            {"x-ratelimit-limit-requests": "500", "x-ratelimit-limit-tokens": "200000"},
            Announced(rpm=500.0, tpm=200_000.0),
        ),
        ({"anthropic-ratelimit-requests-limit": "50"}, Announced(rpm=50.0)),
        ({"anthropic-ratelimit-tokens-limit": "40000"}, Announced(tpm=40_000.0)),
        (
            {"anthropic-ratelimit-input-tokens-limit": "40000", "anthropic-ratelimit-output-tokens-limit": "8000"},
            Announced(tpm=48_000.0),
        ),
        ({"anthropic-ratelimit-input-tokens-limit": "40000"}, Announced()),
        ({"x-ratelimit-limit-requests": "60", "x-ratelimit-reset-requests": "1s"}, Announced(rpm=60.0)),
        ({"x-ratelimit-limit-requests": "60", "x-ratelimit-reset-requests": "1m0s"}, Announced(rpm=60.0)),
    ],
)
def test_limits_per_minute_are_read(headers: dict[str, str], announced: Announced) -> None:
    """By the names that OpenAI and Anthropic give them."""
    assert announced_by(headers.get) == announced


def test_a_limit_that_resets_later_than_in_a_minute_is_not_per_minute() -> None:
    """Groq announces requests per day beside tokens per minute, by the same names."""
    headers = {
        "x-ratelimit-limit-requests": "14400",
        "x-ratelimit-reset-requests": "2m59.56s",
        "x-ratelimit-limit-tokens": "18000",
        "x-ratelimit-reset-tokens": "7.66s",
    }
    assert announced_by(headers.get) == Announced(tpm=18_000.0)


@pytest.mark.parametrize(
    "absurd", ["", " ", "0", "-1", "nan", "inf", "1e9", "lots", "60, 60", "99999999999", "9" * 400, "٣", "1.5"]
)
def test_an_absurd_limit_is_none(absurd: str) -> None:
    """Nothing that a provider says can stop the flow or let it go without bounds."""
    headers = {"x-ratelimit-limit-requests": absurd, "anthropic-ratelimit-tokens-limit": absurd}
    assert announced_by(headers.get) == Announced()


def test_the_first_name_wins_where_it_makes_sense() -> None:
    """A gateway may pass on both, and the other takes its place where it is absurd or not per minute."""
    headers = {"x-ratelimit-limit-requests": "500", "anthropic-ratelimit-requests-limit": "50"}
    assert announced_by(headers.get).rpm == 500
    assert announced_by((headers | {"x-ratelimit-limit-requests": "0"}).get).rpm == 50
    assert announced_by((headers | {"x-ratelimit-reset-requests": "24h0m0s"}).get).rpm == 50


@settings(deadline=None)
@given(
    headers=st.dictionaries(
        st.sampled_from(NAMES),
        st.one_of(st.text(max_size=20), st.integers().map(str), st.sampled_from(["1s", "6m0s", "1e999", " 60 "])),
    )
)
def test_whatever_is_announced_is_a_number_that_can_be(headers: dict[str, str]) -> None:
    """Nothing raises, and no limit is less than one or without bounds."""
    found = announced_by(headers.get)
    assert found.rpm is None or 1 <= found.rpm <= LARGEST
    assert found.tpm is None or 1 <= found.tpm <= 2 * LARGEST
