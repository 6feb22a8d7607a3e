"""What an answer costs, and what a call may cost at most: the user's own prices first, then the price list of
`genai-prices`, else nothing is claimed.
"""

import ipaddress
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from penstock.clock import Clock, SystemClock
from penstock.errors import UsageError
from penstock.models import Usage
from penstock.options import CONFIG_FILE

LIST_CURRENCY = "USD"
"""The currency of the price list."""

REFRESH_S = 300.0
"""How long a price from the list holds: some providers charge by the hour of the day."""

INPUT_MARGIN = 5
"""A request has at most so many times the tokens that `penstock.tokens` estimates: it gives every byte a fifth of a
token or more, and a vocabulary that begins with the bytes makes no more than one token of a byte."""

MAX_OUTPUT_TOKENS = 16_384
"""Reserved for an answer whose request sets no limit. Price lists do not say how long a model's answers may get; this
is as far as GPT-4o goes, and chat models seldom write more. Reasoning may: give those requests a limit."""

_DATE = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{8})$")
_MILLION = 1e6

Amount = Annotated[float, Meta(ge=0)]
ExchangeRate = Annotated[float, Meta(gt=0, le=1e9)]


class Price(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A row of `[pricing]`: the price of a million tokens, and of a `request` besides.

    Cached input costs what input costs unless given, and reasoning what output costs. `batch` is the part of all this
    that a provider's batch job costs.
    """

    input: Amount
    output: Amount = 0.0
    cached: Amount | None = None
    reasoning: Amount | None = None
    batch: Amount = 1.0
    request: Amount = 0.0


class Rates(msgspec.Struct, frozen=True):
    """What one token costs once the input is longer than `above` tokens, and what a request costs besides."""

    above: int
    input: float
    cached: float
    output: float
    reasoning: float
    request: float = 0.0


class Pricing:
    """Costs by model. Every amount is in `currency`; `rate` is what a dollar of the price list is worth in it."""

    def __init__(
        self,
        own: Mapping[str, Price] | None = None,
        currency: str = LIST_CURRENCY,
        clock: Clock | None = None,
        default: Price | None = None,
        rate: float | None = None,
    ):
        self.currency = currency
        self._rate = 1.0 if currency == LIST_CURRENCY else rate
        self._default = _own_rates(default) if default is not None else {}
        self._own = {model: _own_rates(price) for model, price in (own or {}).items()}
        self._clock = clock or SystemClock()
        self._listed: dict[tuple[str, str, bool], tuple[float, tuple[Rates, ...]]] = {}

    @classmethod
    def free(cls) -> "Pricing":
        """Prices of a model that costs nothing."""
        return cls(default=Price(0.0))

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Pricing":
        """Prices from the `[pricing]` table of `penstock.toml`. Raises `UsageError` naming a bad value's place."""
        table = dict(config.get("pricing", {}))
        currency, rate = _currency(table.pop("currency", LIST_CURRENCY), table.pop("rate", None))
        own = {model: _converted(price, Price, f'[pricing."{model}"]') for model, price in table.items()}
        return cls(own, currency, rate=rate)

    def cost(
        self, model: str, usage: Usage, base_url: str = "", multiplier: float = 1.0, *, batch: bool = False
    ) -> float | None:
        """What `usage` of a model costs, None where no price or no usage is known.

        `base_url` tells whose list it is; at a URL that the list does not know the maker's own price is taken, and
        on this machine none. `multiplier` is the endpoint's, on own prices too. The price list is loaded with the first
        model that has no own price, which takes half a second.
        """
        if not (usage.input_tokens or usage.output_tokens):
            return None
        for rates in self._rates(model, base_url, batch):
            if usage.input_tokens > rates.above:
                return _amount(rates, usage) * multiplier
        return None

    def worst_case(
        self,
        model: str,
        input_tokens: int,
        max_output_tokens: int | None,
        base_url: str = "",
        multiplier: float = 1.0,
    ) -> float | None:
        """The most that a call may cost, None where no price is known.

        `input_tokens` is an estimate, which is taken `INPUT_MARGIN` times; no input is taken as cached, and all output
        as reasoning where that is dearer. Without `max_output_tokens` it is `MAX_OUTPUT_TOKENS`.
        """
        read = input_tokens * INPUT_MARGIN
        written = MAX_OUTPUT_TOKENS if max_output_tokens is None else max_output_tokens
        most = -1.0
        for rates in self._rates(model, base_url):
            if read > rates.above and (amount := _dearest(rates, read, written)) > most:
                most = amount
        return None if most < 0 else most * multiplier

    def lacks_rate(self, model: str) -> bool:
        """Whether the price list, which is in dollars, cannot serve for want of a `rate`, and nothing else is known."""
        return self._rate is None and not (self._default or model in self._own or _DATE.sub("", model) in self._own)

    def why_unknown(self, model: str) -> tuple[str, str]:
        """Why no price is known for a model, and what to do."""
        own = f'[pricing."{model}"]'
        if self.lacks_rate(model):
            reason = f"No price in {self.currency} is known for the model {model!r}: [pricing] has no rate"
            hint = f"Say in {CONFIG_FILE} what a dollar of the price list is worth, as rate = … under [pricing], or"
            return reason, f"{hint} what the model costs under {own}."
        hint = f"Say what it costs under {own} in {CONFIG_FILE}, or leave the budget out."
        return f"No price is known for the model {model!r}", hint

    def is_known(self, model: str, base_url: str = "") -> bool:
        """Whether there is a price for a model."""
        return bool(self._rates(model, base_url))

    def _rates(self, model: str, base_url: str, batch: bool = False) -> tuple[Rates, ...]:
        """Those for the longest inputs first; empty where no price is known."""
        own = self._own.get(model) or self._default
        return own[batch] if own else self._looked_up(model, base_url, batch)

    def _looked_up(self, model: str, base_url: str, batch: bool) -> tuple[Rates, ...]:
        """An own price for the name without its date, or else the list's; kept for `REFRESH_S`."""
        now_s = self._clock.monotonic_s()
        until_s, rates = self._listed.get((model, base_url, batch), (now_s, ()))
        if now_s < until_s:
            return rates
        if own := self._own.get(_DATE.sub("", model)):
            rates = own[batch]
        elif self._rate is not None and not _is_this_machine(base_url):
            at = datetime.fromtimestamp(self._clock.unix_s(), UTC)
            rates = _list_rates(_look_up(model, base_url, at, batch), self._rate / _MILLION)
        self._listed[model, base_url, batch] = (now_s + REFRESH_S, rates)
        return rates


def _amount(rates: Rates, usage: Usage) -> float:
    cached = min(usage.cached_tokens, usage.input_tokens)
    reasoning = min(usage.reasoning_tokens, usage.output_tokens)
    return (
        rates.request
        + (usage.input_tokens - cached) * rates.input
        + cached * rates.cached
        + (usage.output_tokens - reasoning) * rates.output
        + reasoning * rates.reasoning
    )


def _dearest(rates: Rates, input_tokens: int, output_tokens: int) -> float:
    read, written = max(rates.input, rates.cached), max(rates.output, rates.reasoning)
    return rates.request + input_tokens * read + output_tokens * written


def _currency(code: Any, rate: Any) -> tuple[str, float | None]:
    if not isinstance(code, str) or not re.fullmatch("[A-Z]{3}", code):
        raise UsageError(f"{CONFIG_FILE}: [pricing] currency: expected three letters such as USD, got {code!r}.")
    if rate is not None and code == LIST_CURRENCY:
        raise UsageError(
            f"{CONFIG_FILE}: [pricing] rate: it is what a dollar is worth in another currency.",
            'Name that currency too, such as currency = "CNY".',
        )
    return code, _converted(rate, ExchangeRate | None, "[pricing] rate")


def _converted(value: Any, type_: Any, where: str) -> Any:
    try:
        return msgspec.convert(value, type_)
    except msgspec.ValidationError as error:
        raise UsageError(f"{CONFIG_FILE}: {where}: {error}.") from None


def _own_rates(price: Price) -> dict[bool, tuple[Rates, ...]]:
    """By whether it is for a batch job."""
    cached = price.input if price.cached is None else price.cached
    reasoning = price.output if price.reasoning is None else price.reasoning
    rates = Rates(-1, price.input, cached, price.output, reasoning)
    return {
        batch: (_in_units(rates, part / _MILLION, price.request * part),)
        for batch, part in ((False, 1.0), (True, price.batch))
    }


def _in_units(rates: Rates, unit: float, request: float) -> Rates:
    """Of prices where a token costs `unit` at a price of 1."""
    return Rates(
        rates.above, rates.input * unit, rates.cached * unit, rates.output * unit, rates.reasoning * unit, request
    )


def _look_up(model: str, base_url: str, at: datetime, batch: bool) -> Any:
    """The list's prices; None where it knows none."""
    from genai_prices.data_snapshot import get_snapshot

    snapshot = get_snapshot()
    for url in dict.fromkeys((base_url or None, None)):
        try:
            _, found = snapshot.find_provider_model(model, None, None, url)
        except LookupError:
            continue
        return found.get_prices(at, {"processing": "batch"} if batch else None)
    return None


def _list_rates(price: Any, unit: float) -> tuple[Rates, ...]:
    """Rates of the list's prices, where `unit` is what a token costs at a price of 1."""
    if price is None or (price.input_mtok is None and price.output_mtok is None):
        return ()
    prices = (price.input_mtok, price.cache_read_mtok, price.output_mtok, price.output_reasoning_mtok)
    starts = {tier.start for each in prices for tier in getattr(each, "tiers", ())}
    request = float(price.requests_kcount or 0) * 1_000 * unit
    return tuple(_in_units(_rates_above(start, prices), unit, request) for start in sorted({-1, *starts}, reverse=True))


def _rates_above(start: int, prices: tuple[Any, ...]) -> Rates:
    input_, cached, output, reasoning = (_price_above(start, price) for price in prices)
    return Rates(
        above=start,
        input=input_ or 0.0,
        cached=(input_ or 0.0) if cached is None else cached,
        output=output or 0.0,
        reasoning=(output or 0.0) if reasoning is None else reasoning,
    )


def _price_above(start: int, price: Any) -> float | None:
    """The price where the input is longer than `start`; a tier holds for all tokens of the request."""
    if price is None:
        return None
    reached = [tier.price for tier in getattr(price, "tiers", ()) if tier.start <= start]
    return float(reached[-1] if reached else getattr(price, "base", price))


def _is_this_machine(base_url: str) -> bool:
    try:
        host = urlsplit(base_url).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
