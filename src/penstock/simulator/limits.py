"""Rate and concurrency limits as providers enforce them, with the headers that announce them.

Requests and tokens fill back continuously, as OpenAI's do; a request that is turned away costs nothing.
"""

import math

import msgspec

from penstock.simulator.rejections import Rejected, Rejection
from penstock.simulator.settings import SimulatorSettings

CONCURRENCY_WAIT_S = 1.0
"""What the provider says when too many requests are in flight: it cannot know when one ends."""
GRACE_S = 0.1
"""How long after a Retry-After a request may still arrive without offence: it was on its way already."""


class Bucket:
    """An amount that is spent by requests and fills back at a steady rate up to its capacity."""

    def __init__(self, per_minute: int, burst_s: float, now_s: float) -> None:
        self.per_minute = per_minute
        self.capacity = max(1.0, per_minute * burst_s / 60)
        self.level = self.capacity
        self._filled_at_s = now_s

    def fill(self, now_s: float) -> None:
        """Bring the level up to date."""
        self.level = min(self.capacity, self.level + self._after(now_s - self._filled_at_s))
        self._filled_at_s = now_s

    def wait_s(self, amount: float) -> float:
        """Seconds until `amount` can be spent; infinite where it never can."""
        if amount > self.capacity:
            return math.inf
        return max(0.0, amount - self.level) * 60 / self.per_minute

    @property
    def reset_s(self) -> float:
        """Seconds until it is full."""
        return self.wait_s(self.capacity)

    def _after(self, seconds: float) -> float:
        return seconds * self.per_minute / 60


class QuotaSnapshot(msgspec.Struct, frozen=True):
    """What is left of a quota; None where there is no limit."""

    requests: float | None
    tokens: float | None
    in_flight: int


class Quota:
    """One key's limits, what is left of them, and whether the key was asked to wait."""

    def __init__(self, settings: SimulatorSettings, now_s: float) -> None:
        self._requests = Bucket(settings.rpm, settings.burst_s, now_s) if settings.rpm else None
        self._tokens = Bucket(settings.tpm, settings.burst_s, now_s) if settings.tpm else None
        self._max_concurrency = settings.max_concurrency
        self._announce = settings.announce
        self._in_flight = 0
        self._wait_from_s = self._wait_until_s = now_s

    def spend(self, model: str, tokens: int, now_s: float) -> None:
        """Spend one request and `tokens`. Raises `Rejected` with status 429 when a limit is reached."""
        if self._max_concurrency is not None and self._in_flight >= self._max_concurrency:
            raise self._turned_away(_too_many(self._max_concurrency), CONCURRENCY_WAIT_S, now_s)
        spending = (("requests", self._requests, 1), ("tokens", self._tokens, tokens))
        for unit, bucket, amount in spending:
            if bucket is not None:
                bucket.fill(now_s)
                if wait_s := bucket.wait_s(amount):
                    raise self._turned_away(_too_fast(unit, bucket, amount, model), wait_s, now_s)
        for _, bucket, amount in spending:
            if bucket is not None:
                bucket.level -= amount

    def hold(self) -> None:
        """Take the place of one request in flight, until `release`."""
        self._in_flight += 1

    def release(self) -> None:
        """Give back the place."""
        self._in_flight -= 1

    def ask_to_wait(self, wait_s: float, now_s: float) -> None:
        """Note that the client was told to stay away for `wait_s` seconds."""
        if now_s >= self._wait_until_s:
            self._wait_from_s = now_s
        self._wait_until_s = max(self._wait_until_s, now_s + wait_s)

    def is_disregarded(self, now_s: float) -> bool:
        """Whether a request that arrives now comes against such a word."""
        return self._wait_from_s + GRACE_S < now_s < self._wait_until_s

    def headers(self, now_s: float) -> dict[str, str]:
        """The x-ratelimit headers of every response; none where limits are not announced."""
        named: dict[str, str] = {}
        if not self._announce:
            return named
        for unit, bucket in (("requests", self._requests), ("tokens", self._tokens)):
            if bucket is not None:
                bucket.fill(now_s)
                named[f"x-ratelimit-limit-{unit}"] = str(bucket.per_minute)
                named[f"x-ratelimit-remaining-{unit}"] = str(int(bucket.level))
                named[f"x-ratelimit-reset-{unit}"] = format_duration(bucket.reset_s)
        return named

    def snapshot(self) -> QuotaSnapshot:
        """What is left, as of the last request."""
        requests = self._requests.level if self._requests else None
        tokens = self._tokens.level if self._tokens else None
        return QuotaSnapshot(requests, tokens, self._in_flight)

    def _turned_away(self, rejection: Rejection, wait_s: float, now_s: float) -> Rejected:
        if wait_s == math.inf:
            return Rejected(rejection)
        self.ask_to_wait(wait_s, now_s)
        headers = {"retry-after": str(math.ceil(wait_s)), "retry-after-ms": str(math.ceil(wait_s * 1000))}
        return Rejected(rejection, headers)


def format_duration(seconds: float) -> str:
    """`seconds` as the reset headers write them: "6ms", "8.64s", "1m30s", "1h0m0s"."""
    milliseconds = math.ceil(seconds * 1000)
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    tail = f"{rest / 1000:g}s"
    if hours:
        return f"{hours}h{minutes}m{tail}"
    return f"{minutes}m{tail}" if minutes else tail


def _too_many(limit: int) -> Rejection:
    message = f"Too many requests in flight: the limit is {limit}. Please try again in 1s."
    return Rejection(429, message, "requests", "rate_limit_exceeded")


def _too_fast(unit: str, bucket: Bucket, amount: float, model: str) -> Rejection:
    wait_s = bucket.wait_s(amount)
    short = "RPM" if unit == "requests" else "TPM"
    begin = "Request too large" if wait_s == math.inf else "Rate limit reached"
    end = "Please make it smaller." if wait_s == math.inf else f"Please try again in {format_duration(wait_s)}."
    message = (
        f"{begin} for {model} on {unit} per min ({short}): Limit {bucket.per_minute}, "
        f"Used {int(bucket.per_minute - bucket.level)}, Requested {amount}. {end}"
    )
    return Rejection(429, message, unit, "rate_limit_exceeded")
