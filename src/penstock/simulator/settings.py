"""What a simulated provider is like: how fast, how strict, how faulty."""

import msgspec

from penstock.simulator.faults import FaultRate
from penstock.simulator.keys import KeyDeath
from penstock.simulator.outages import AnyOutage


class SimulatorSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The provider's character. Everything drawn by chance depends on `seed` and the request alone."""

    seed: int = 0
    latency_ms: float = 0.0
    """Median time to the complete answer."""
    latency_sigma: float = 0.0
    """Spread of the latency: sigma of a log-normal distribution, 0 for none."""
    output_tokens: int = 64
    """Median length of an answer."""
    tokens_sigma: float = 0.0
    """Spread of the length: sigma of a log-normal distribution, 0 for none."""
    reasoning_tokens: int = 0
    """Tokens of reasoning on top of each answer, counted as output."""
    rpm: int | None = None
    """Requests per minute and key."""
    tpm: int | None = None
    """Tokens per minute and key, input and output together."""
    max_concurrency: int | None = None
    """Requests in flight per key."""
    burst_s: float = 60.0
    """How much of `rpm` and `tpm` may come at once, in seconds' worth."""
    announce: bool = True
    """Whether every response tells what is left of `rpm` and `tpm`, in x-ratelimit headers."""
    api_keys: tuple[str, ...] = ()
    """Keys that are let in; none means that no key is needed and all share the limits."""
    key_deaths: tuple[KeyDeath, ...] = ()
    """Keys that are refused after so many requests, until they are revived."""
    models: tuple[str, ...] = ()
    """Models that exist; none means that every model does."""
    faults: tuple[FaultRate, ...] = ()
    outages: tuple[AnyOutage, ...] = ()


DEFAULT_SETTINGS = SimulatorSettings()
"""A provider without limits and faults that answers at once."""
