"""What an answer costs: the user's own prices first, then the price list of `genai-prices`, else nothing is claimed."""

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

_DATE = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{8})$")
_MILLION = 1e6

Amount = Annotated[float, Meta(ge=0)]


class Price(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A row of `[pricing]`: the price of a million tokens. Cached input costs what input costs unless given."""

    input: Amount
    output: Amount = 0.0
    cached: Amount | None = None


class Rates(msgspec.Struct, frozen=True):
    """What one token costs once the input is longer than `above` tokens, and what a request costs besides."""

    above: int
    input: float
    cached: float
    output: float
    reasoning: float
    request: float = 0.0


class Pricing:
    """Costs by model. Every amount is in `currency`."""

    def __init__(
        self,
        own: Mapping[str, Price] | None = None,
        currency: str = LIST_CURRENCY,
        clock: Clock | None = None,
        default: Price | None = None,
    ):
        self.currency = currency
        self._default = (_own_rates(default),) if default is not None else ()
        self._own = {model: (_own_rates(price),) for model, price in (own or {}).items()}
        self._clock = clock or SystemClock()
        self._listed: dict[tuple[str, str], tuple[float, tuple[Rates, ...]]] = {}

    @classmethod
    def free(cls) -> "Pricing":
        """Prices of a model that costs nothing."""
        return cls(default=Price(0.0))

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Pricing":
        """Prices from the `[pricing]` table of `penstock.toml`. Raises `UsageError` naming a bad value's place."""
        table = dict(config.get("pricing", {}))
        currency = table.pop("currency", LIST_CURRENCY)
        if not isinstance(currency, str) or not re.fullmatch("[A-Z]{3}", currency):
            raise UsageError(
                f"{CONFIG_FILE}: [pricing] currency: expected three letters such as USD, got {currency!r}."
            )
        own = {}
        for model, price in table.items():
            try:
                own[model] = msgspec.convert(price, Price)
            except msgspec.ValidationError as error:
                raise UsageError(f'{CONFIG_FILE}: [pricing."{model}"]: {error}.') from None
        return cls(own, currency)

    def cost(self, model: str, usage: Usage, base_url: str = "") -> float | None:
        """What `usage` of a model costs, None where no price or no usage is known.

        `base_url` tells whose list it is; at a URL that the list does not know the maker's own price is taken, and
        on this machine none. The price list is loaded with the first model that has no own price, which takes half
        a second.
        """
        if not (usage.input_tokens or usage.output_tokens):
            return None
        for rates in self._own.get(model) or self._default or self._looked_up(model, base_url):
            if usage.input_tokens > rates.above:
                return _amount(rates, usage)
        return None

    def _looked_up(self, model: str, base_url: str) -> tuple[Rates, ...]:
        """An own price for the name without its date, or else the list's; kept for `REFRESH_S`."""
        now_s = self._clock.monotonic_s()
        until_s, rates = self._listed.get((model, base_url), (now_s, ()))
        if now_s < until_s:
            return rates
        rates = self._own.get(_DATE.sub("", model), ())
        if not rates and self.currency == LIST_CURRENCY and not _is_this_machine(base_url):
            rates = _look_up(model, base_url, datetime.fromtimestamp(self._clock.unix_s(), UTC))
        self._listed[model, base_url] = (now_s + REFRESH_S, rates)
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


def _own_rates(price: Price) -> Rates:
    cached = price.input if price.cached is None else price.cached
    output = price.output / _MILLION
    return Rates(-1, price.input / _MILLION, cached / _MILLION, output, output)


def _look_up(model: str, base_url: str, at: datetime) -> tuple[Rates, ...]:
    """The rates of the list, those for the longest inputs first; empty where it knows none."""
    from genai_prices.data_snapshot import get_snapshot

    snapshot = get_snapshot()
    for url in dict.fromkeys((base_url or None, None)):
        try:
            _, found = snapshot.find_provider_model(model, None, None, url)
        except LookupError:
            continue
        return _list_rates(found.get_prices(at))
    return ()


def _list_rates(price: Any) -> tuple[Rates, ...]:
    units = (price.input_mtok, price.cache_read_mtok, price.output_mtok, price.output_reasoning_mtok)
    if units[0] is None and units[2] is None:
        return ()
    starts = {tier.start for unit in units for tier in getattr(unit, "tiers", ())}
    request = float(price.requests_kcount or 0) / 1_000
    return tuple(_rates_above(start, units, request) for start in sorted({-1, *starts}, reverse=True))


def _rates_above(start: int, units: tuple[Any, ...], request: float) -> Rates:
    input_, cached, output, reasoning = (_per_token(unit, start) for unit in units)
    return Rates(
        above=start,
        input=input_ or 0.0,
        cached=(input_ or 0.0) if cached is None else cached,
        output=output or 0.0,
        reasoning=(output or 0.0) if reasoning is None else reasoning,
        request=request,
    )


def _per_token(unit: Any, start: int) -> float | None:
    """The price of a token where the input is longer than `start`; a tier holds for all tokens of the request."""
    if unit is None:
        return None
    reached = [tier.price for tier in getattr(unit, "tiers", ()) if tier.start <= start]
    return float(reached[-1] if reached else getattr(unit, "base", unit)) / _MILLION


def _is_this_machine(base_url: str) -> bool:
    try:
        host = urlsplit(base_url).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
