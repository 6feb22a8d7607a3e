"""Numbers and foreign text as people read them."""

import pytest

from penstock.models import Totals
from penstock.observe.words import cost, count, duration, money, rate
from penstock.redaction import printable_line


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0.0 s"),
        (4.23, "4.2 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (200, "3 min 20 s"),
        (3599.9, "1 h 0 min"),
        (7_530, "2 h 5 min"),
        (86_400 * 3 + 4 * 3600, "3 d 4 h"),
    ],
)
def test_duration_shows_the_two_largest_units(seconds: float, words: str) -> None:
    """A duration reads at a glance, from a tenth of a second to days."""
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("amount", "currency", "words"),
    [
        (0, "USD", "$0"),
        (0.00423, "USD", "$0.0042"),
        (1234.5, "USD", "$1,234.50"),
        (2, "CNY", "¥2.00"),
        (2, "JPY", "2.00 JPY"),
    ],
)
def test_money_shows_small_amounts_finely(amount: float, currency: str, words: str) -> None:
    """Small sums keep the digits that matter; a currency without a sign is named."""
    assert money(amount, currency) == words


@pytest.mark.parametrize(
    ("totals", "words"),
    [
        (Totals(cost=1.5), "$1.50"),
        (Totals(cost=1.5, unpriced=2), "over $1.50"),
        (Totals(unpriced=2), "unknown"),
    ],
)
def test_cost_does_not_hide_what_is_not_known(totals: Totals, words: str) -> None:
    """A sum that lacks the price of some answers says so."""
    assert cost(totals) == words


@pytest.mark.parametrize(("per_s", "words"), [(0, "0.0"), (9.94, "9.9"), (9.96, "10"), (12_345.6, "12,346")])
def test_rate_keeps_one_decimal_when_slow(per_s: float, words: str) -> None:
    """A slow rate is not rounded to nothing."""
    assert rate(per_s) == words


def test_count_groups_thousands() -> None:
    """Large counts have separators."""
    assert count(1234567) == "1,234,567"


def test_one_line_drops_what_steers_a_terminal() -> None:
    """Escape sequences and line breaks in foreign text do not reach the terminal."""
    assert printable_line("bad\x1b[2J key\n\ttry again") == "bad[2J key try again"
