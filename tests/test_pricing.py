"""What answers cost, by own prices and by the list."""

from datetime import UTC, datetime
from typing import Any

import pytest
from genai_prices import Usage as ListUsage
from genai_prices import calc_price
from genai_prices.data_snapshot import get_snapshot

from penstock.clock import ManualClock
from penstock.errors import UsageError
from penstock.models import Usage
from penstock.pricing import Price, Pricing

OPENAI = "https://api.openai.com/v1"
MILLION = 1_000_000


def test_an_own_price_is_for_a_million_tokens() -> None:
    """Input, cached input and output each at their own price."""
    pricing = Pricing({"m": Price(input=0.5, output=1.5, cached=0.1)})
    assert pricing.cost("m", Usage(2 * MILLION, MILLION, MILLION)) == pytest.approx(0.5 + 0.1 + 1.5)


def test_cached_input_costs_what_input_costs_unless_given() -> None:
    """And output nothing, as for embeddings."""
    assert Pricing({"m": Price(input=0.5)}).cost("m", Usage(MILLION, MILLION, MILLION)) == pytest.approx(0.5)


def test_an_own_price_wins_over_the_list() -> None:
    """The list is not asked."""
    assert Pricing({"gpt-4o": Price(input=9.0)}).cost("gpt-4o", Usage(MILLION), OPENAI) == pytest.approx(9.0)


@pytest.mark.parametrize("model", ["m-2024-08-06", "m-20240806"])
def test_an_own_price_is_for_dated_names_too(model: str) -> None:
    """Providers answer with the date of the model they used."""
    assert Pricing({"m": Price(input=0.5)}).cost(model, Usage(MILLION)) == pytest.approx(0.5)


def test_an_own_price_is_not_for_longer_names() -> None:
    """A name with the same beginning is another model."""
    assert Pricing({"m": Price(input=0.5)}).cost("m-mini", Usage(MILLION)) is None


def test_nothing_is_counted_twice() -> None:
    """More cached tokens than input, as some providers report, cost no more than the input."""
    assert Pricing({"m": Price(input=1.0, cached=1.0)}).cost("m", Usage(10, 30)) == pytest.approx(10 / MILLION)


def test_the_list_knows_common_models() -> None:
    """The price is that of the provider behind the URL, with its own rate for cached input."""
    cost = Pricing().cost("gpt-4o", Usage(MILLION, 400_000, 100_000), OPENAI)
    assert cost == pytest.approx(0.6 * 2.5 + 0.4 * 1.25 + 0.1 * 10)


def test_a_seller_that_the_list_does_not_know_is_priced_as_the_maker() -> None:
    """Better than nothing for a budget; own prices say it better."""
    assert Pricing().cost("gpt-4o", Usage(MILLION), "https://seller.example/v1") == pytest.approx(2.5)


@pytest.mark.parametrize(
    ("model", "base_url"),
    [
        ("", OPENAI),
        ("no-such-model", OPENAI),
        ("gpt-4o", "http://127.0.0.1:8000/v1"),
        ("gpt-4o", "http://localhost:8000/v1"),
        ("gpt-4o", "http://[::1]:8000/v1"),
    ],
)
def test_an_unknown_price_is_not_claimed(model: str, base_url: str) -> None:
    """Nor is one for a model on this machine."""
    assert Pricing().cost(model, Usage(MILLION), base_url) is None


def test_an_answer_without_usage_has_no_known_cost() -> None:
    """Zero would be a claim."""
    assert Pricing({"m": Price(input=0.5)}).cost("m", Usage()) is None


def test_the_list_is_in_dollars_only() -> None:
    """In another currency only own prices are known."""
    pricing = Pricing({"m": Price(input=0.5)}, currency="CNY")
    assert pricing.cost("gpt-4o", Usage(MILLION), OPENAI) is None
    assert pricing.cost("m", Usage(MILLION)) == pytest.approx(0.5)


def listed_cost(model: str, usage: Usage, at_unix_s: float) -> float | None:
    """What the list's own slow arithmetic says."""
    counts = ListUsage(
        input_tokens=usage.input_tokens, cache_read_tokens=usage.cached_tokens, output_tokens=usage.output_tokens
    )
    try:
        found = calc_price(counts, model, genai_request_timestamp=datetime.fromtimestamp(at_unix_s, UTC))
    except LookupError:
        return None
    return float(found.total_price)


@pytest.mark.parametrize("input_tokens", [0, 1_000, 200_000, 200_001, 1_000_000])
def test_costs_are_those_of_the_list(input_tokens: int) -> None:
    """For every model that has a price of tokens, at any length, the fast arithmetic agrees with the list's own."""
    clock = ManualClock()
    pricing = Pricing(clock=clock)
    usage = Usage(input_tokens, input_tokens // 2, 1_000)
    models = {model.id for provider in get_snapshot().providers for model in provider.models}
    costs = {model: cost for model in models if (cost := pricing.cost(model, usage)) is not None}
    assert len(costs) > 100
    assert costs == pytest.approx({model: listed_cost(model, usage, clock.unix_s()) for model in costs})


def test_a_price_follows_the_hour_of_the_day() -> None:
    """Some providers charge by the hour, and a run may last longer than one."""
    night, morning = ManualClock(1_600.0), ManualClock(1_600.0 + 6 * 3_600)  # 22:40 and 04:40 UTC
    clock = ManualClock(1_600.0)
    pricing = Pricing(clock=clock)
    usage = Usage(MILLION)
    model = next(
        model.id
        for provider in get_snapshot().providers
        for model in provider.models
        if listed_cost(model.id, usage, night.unix_s()) != listed_cost(model.id, usage, morning.unix_s())
    )
    assert pricing.cost(model, usage) == pytest.approx(listed_cost(model, usage, night.unix_s()))
    clock.advance(6 * 3_600)
    assert pricing.cost(model, usage) == pytest.approx(listed_cost(model, usage, morning.unix_s()))


def test_prices_come_from_the_configuration() -> None:
    """`[pricing]` holds the currency and a table for each model."""
    pricing = Pricing.from_config({"pricing": {"currency": "CNY", "m": {"input": 2, "output": 8, "cached": 0.5}}})
    assert pricing.currency == "CNY"
    assert pricing.cost("m", Usage(MILLION, MILLION)) == pytest.approx(0.5)


def test_no_configuration_is_the_list_in_dollars() -> None:
    """Nothing has to be set."""
    assert Pricing.from_config({}).currency == "USD"


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"m": {"output": 1}}, r'\[pricing\."m"\]: .*`input`'),
        ({"m": {"input": -1}}, "m"),
        ({"m": {"input": 1, "outptu": 2}}, "outptu"),
        ({"m": 5}, "m"),
        ({"currency": "dollars"}, "three letters"),
        ({"currency": 5}, "three letters"),
    ],
)
def test_a_bad_price_is_refused_with_its_place(table: dict[str, Any], said: str) -> None:
    """Before anything is sent."""
    with pytest.raises(UsageError, match=said):
        Pricing.from_config({"pricing": table})
