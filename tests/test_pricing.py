"""What answers cost, by own prices and by the list."""

from datetime import UTC, datetime
from typing import Any

import pytest
from genai_prices import Usage as ListUsage
from genai_prices import calc_price
from genai_prices.data_snapshot import get_snapshot
from hypothesis import given
from hypothesis import strategies as st

from penstock.clock import ManualClock
from penstock.errors import UsageError
from penstock.models import Usage
from penstock.pricing import INPUT_MARGIN, MAX_OUTPUT_TOKENS, Price, Pricing
from penstock.tokens import estimate_tokens

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
    """In another currency only own prices are known, unless it is said what a dollar is worth."""
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


def test_the_list_is_converted_and_own_prices_are_not() -> None:
    """`rate` is what a dollar is worth in the currency."""
    pricing = Pricing.from_config({"pricing": {"currency": "CNY", "rate": 7.2, "m": {"input": 2}}})
    assert pricing.cost("gpt-4o", Usage(MILLION, output_tokens=MILLION), OPENAI) == pytest.approx(7.2 * 12.5)
    assert pricing.cost("m", Usage(MILLION)) == pytest.approx(2)


def test_reasoning_requests_and_batches_have_prices_of_their_own() -> None:
    """Reasoning is part of the output; a batch job costs a part of everything."""
    price = {"input": 1, "output": 4, "reasoning": 8, "request": 0.5, "batch": 0.25}
    pricing = Pricing.from_config({"pricing": {"m": price}})
    usage = Usage(MILLION, 0, 3 * MILLION, MILLION)
    assert pricing.cost("m", usage) == pytest.approx(1 + 2 * 4 + 8 + 0.5)
    assert pricing.cost("m-2025-01-01", usage, batch=True) == pytest.approx(17.5 / 4)


def test_the_list_knows_the_price_of_a_batch() -> None:
    """Where it has one; others are taken to be the same."""
    pricing = Pricing()
    assert pricing.cost("gpt-4o", Usage(MILLION), OPENAI, batch=True) == pytest.approx(1.25)
    assert pricing.cost("gpt-4o", Usage(MILLION), OPENAI) == pytest.approx(2.5)


@pytest.mark.parametrize("model", ["m", "gpt-4o"])
def test_a_multiplier_is_for_everything(model: str) -> None:
    """A seller's share of the maker's price, or a surcharge on own ones."""
    pricing = Pricing({"m": Price(input=1.0, request=1.0)})
    whole = pricing.cost(model, Usage(MILLION), OPENAI)
    assert whole is not None
    assert pricing.cost(model, Usage(MILLION), OPENAI, 0.5) == pytest.approx(whole / 2)
    assert pricing.worst_case(model, 10, 10, OPENAI, 0.5) == pytest.approx(
        (pricing.worst_case(model, 10, 10, OPENAI) or 0) / 2
    )


def test_a_price_is_known_or_not() -> None:
    """An embedded model costs nothing, which is a price."""
    pricing = Pricing({"m": Price(input=1.0)})
    assert pricing.is_known("m")
    assert pricing.is_known("gpt-4o", OPENAI)
    assert not pricing.is_known("no-such-model", OPENAI)
    assert not pricing.is_known("gpt-4o", "http://127.0.0.1:8000/v1")
    assert Pricing.free().is_known("anything")
    assert Pricing.free().worst_case("anything", 10, None) == 0.0
    assert pricing.worst_case("no-such-model", 10, 10, OPENAI) is None


def test_the_worst_case_of_a_request_without_a_limit_is_a_long_answer() -> None:
    """So long as common models write at most."""
    pricing = Pricing({"m": Price(input=0.0, output=1.0)})
    assert pricing.worst_case("m", 100, None) == pytest.approx(MAX_OUTPUT_TOKENS / MILLION)
    assert pricing.worst_case("m", 100, 0) == 0.0


PRICES = st.builds(
    Price,
    input=st.floats(0, 100),
    output=st.floats(0, 100),
    cached=st.none() | st.floats(0, 100),
    reasoning=st.none() | st.floats(0, 100),
    request=st.floats(0, 1),
)


@given(PRICES, st.integers(1, 10_000), st.integers(0, 10_000), st.data())
def test_no_answer_within_its_limits_costs_more_than_the_worst_case(
    price: Price, estimate: int, limit: int, data: st.DataObject
) -> None:
    """Whatever part of the input is cached, and of the output reasoning."""
    read = data.draw(st.integers(1, estimate * INPUT_MARGIN))
    written = data.draw(st.integers(0, limit))
    usage = Usage(read, data.draw(st.integers(0, read)), written, data.draw(st.integers(0, written)))
    pricing = Pricing({"m": price})
    most, cost = pricing.worst_case("m", estimate, limit), pricing.cost("m", usage)
    assert most is not None
    assert cost is not None
    assert cost <= most * (1 + 1e-9)


@pytest.mark.parametrize("input_tokens", [1_000, 50_000, 250_000])
def test_no_listed_model_costs_more_than_its_worst_case(input_tokens: int) -> None:
    """Also where the margin brings a request above the start of a dearer, or cheaper, tier."""
    pricing = Pricing(clock=ManualClock())
    for model in sorted({model.id for provider in get_snapshot().providers for model in provider.models}):
        if not pricing.is_known(model):
            continue
        most = pricing.worst_case(model, input_tokens, 1_000)
        for read in (input_tokens, input_tokens * INPUT_MARGIN):
            cost = pricing.cost(model, Usage(read, 0, 1_000))
            assert most is not None
            assert cost is not None
            assert cost <= most * (1 + 1e-9)


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"])))
def test_the_margin_covers_a_token_for_every_byte(text: str) -> None:
    """The most that a vocabulary of bytes makes of a text; JSON writes control characters as escapes."""
    assert estimate_tokens(text) * INPUT_MARGIN >= len(text.encode())


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"m": {"output": 1}}, r'\[pricing\."m"\]: .*`input`'),
        ({"m": {"input": -1}}, "m"),
        ({"m": {"input": 1, "outptu": 2}}, "outptu"),
        ({"m": 5}, "m"),
        ({"currency": "dollars"}, "three letters"),
        ({"currency": 5}, "three letters"),
        ({"currency": "CNY", "rate": 0}, "rate"),
        ({"currency": "CNY", "rate": "7"}, "rate"),
        ({"currency": "USD", "rate": 7.2}, "another currency"),
        ({"rate": 7.2}, "another currency"),
    ],
)
def test_a_bad_price_is_refused_with_its_place(table: dict[str, Any], said: str) -> None:
    """Before anything is sent."""
    with pytest.raises(UsageError, match=said):
        Pricing.from_config({"pricing": table})


def test_a_currency_without_a_rate_says_so() -> None:
    """The price list is there, and cannot be used; a model with an own price needs no rate."""
    pricing = Pricing({"own": Price(1.0)}, currency="CNY")
    reason, hint = pricing.why_unknown("gpt-4o")
    assert "has no rate" in reason
    assert "CNY" in reason
    assert "rate = …" in hint
    assert pricing.lacks_rate("gpt-4o")
    assert not pricing.lacks_rate("own")
    assert not pricing.lacks_rate("own-2024-08-06")
    with_rate = Pricing(currency="CNY", rate=7.2)
    assert "No price is known" in with_rate.why_unknown("unheard-of")[0]
