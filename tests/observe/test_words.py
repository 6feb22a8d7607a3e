"""Numbers and foreign text as people read them."""

import pytest

from penstock.events import Money, ScopeStatus
from penstock.models import Totals, Usage
from penstock.observe.words import (
    beside_spent,
    cost,
    count,
    duration,
    is_unpriced,
    money,
    of_budget,
    rate,
    scope,
    streamed,
    unknown,
    used,
)
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


@pytest.mark.parametrize(
    ("totals", "expected"),
    [(Totals(), False), (Totals(unpriced=1), True), (Totals(unpriced=1, cost=0.1), False), (Totals(ok=1), False)],
)
def test_nothing_is_priced_where_no_answer_is(totals: Totals, expected: bool) -> None:
    """Before the first answer, and with a model that costs nothing, money can be shown."""
    assert is_unpriced(totals) is expected


@pytest.mark.parametrize(
    ("totals", "words"),
    [
        (Totals(unknown=1), "1 attempt may have been billed without an answer"),
        (
            Totals(unknown=2000, unknown_cost=1.5, currency="CNY"),
            "2,000 attempts may have been billed without an answer, at most ¥1.50",
        ),
    ],
)
def test_what_is_unknown_is_said_at_its_price(totals: Totals, words: str) -> None:
    """Where one is known."""
    assert unknown(totals) == words


def test_tokens_are_counted_by_kind() -> None:
    """Input and output."""
    assert used(Totals(usage=Usage(12_000, 0, 34))) == "12,000 input and 34 output tokens"


def test_money_is_told_beside_what_was_spent() -> None:
    """What is nought is left out, and so is a projection that is what was spent."""
    held = Money("USD", 2.0, 0.42, 0.1, 31.0, 50.0)
    assert beside_spent(held) == ["reserved $0.4200", "unknown $0.1000", "projected $31.00"]
    assert beside_spent(Money("USD", 2.0, 0.0, 0.0, 2.0)) == []


def test_a_budget_stands_beside_the_cost() -> None:
    """Where there is one."""
    totals = Totals(cost=2.0)
    assert of_budget(totals, Money("USD", 2.0, 0, 0, None, 10.0)) == "$2.00 of $10.00"
    assert of_budget(totals, Money("USD", 2.0, 0, 0, None)) == of_budget(totals, None) == "$2.00"


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (
            ScopeStatus("openai", "key 1", "gpt-4o", 60, 34, 600, 90_000, "rpm 600"),
            "openai · key 1 · gpt-4o: 34 of 60 in flight, 600 rpm, 90,000 tpm; limit: rpm 600",
        ),
        (ScopeStatus("e", "", "", 20, 0, None, None, "out:\nno"), "e: 0 of 20 in flight; limit: out: no"),
    ],
)
def test_a_scope_fits_on_a_line(status: ScopeStatus, words: str) -> None:
    """Which it is, its calls, its limits, and what binds."""
    assert scope(status) == words


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


@pytest.mark.parametrize(
    ("totals", "words"),
    [
        (Totals(), None),
        (Totals(ttft_ms={"394": 1}), "first token after 394 ms (medians)"),
        (
            Totals(ttft_ms={"98.8": 1, "4098": 3}, tokens_per_s={"39.2": 3}),
            "first token after 4.1 s, then 39 tokens/s (medians)",
        ),
    ],
)
def test_times_of_streamed_answers(totals: Totals, words: str | None) -> None:
    """Said where there are any."""
    assert streamed(totals) == words
