"""The rate of a scope: requests and tokens, paced, and never more in a minute than is allowed."""

import math

import msgspec

from penstock.policy.announced import Announced
from penstock.policy.carried import Amounts
from penstock.policy.changes import Changes
from penstock.policy.landing import Landing
from penstock.policy.pace import Pace
from penstock.policy.pacer import Pacer
from penstock.policy.sliding import SlidingSum

SHARE_OF_LIMIT = 0.97
"""The pace below a known limit: the provider's clock and the way there are not ours."""
MINUTE_S = 60.0
SLOTS = 600


class Limits(msgspec.Struct, frozen=True):
    """What the user allows: requests and tokens per minute; None for no limit of that kind."""

    rpm: float | None = None
    tpm: float | None = None


class _Meter:
    """One limit per minute: a pacer, and the sum of the last minute."""

    __slots__ = ("limit", "pacer", "per_s", "since_s", "strict", "sum")

    def __init__(self) -> None:
        self.limit: float | None = None
        self.strict = False
        self.per_s = math.inf
        self.since_s = -math.inf
        self.pacer = Pacer()
        self.sum = SlidingSum(MINUTE_S, SLOTS)

    def set(self, now_s: float, user: float | None, announced: float | None) -> None:
        if self.limit is None:  # what was sent so far was not counted
            self.since_s = now_s
        self.limit = announced if user is None else user
        self.strict = user is not None
        self.per_s = math.inf if self.limit is None else SHARE_OF_LIMIT * self.limit / MINUTE_S


class Rate:
    """What the user allows, else what the provider announces, and within that what it was found to bear."""

    def __init__(self, limits: Limits, blind: bool, changes: Changes) -> None:
        self.pace = Pace(blind, changes)
        self._changes = changes
        self._user = limits
        self._announced = Limits()
        self._requests = _Meter()
        self._tokens = _Meter()
        self._apply(-math.inf)

    @property
    def counts_tokens(self) -> bool:
        """Whether a limit of tokens is in force."""
        return self._tokens.limit is not None

    @property
    def limits(self) -> Limits:
        """Those in force."""
        return Limits(self._requests.limit, self._tokens.limit)

    def per_s(self, now_s: float, share: float = 1.0) -> float:
        """Requests per second that may go now; infinite where nothing holds back."""
        known_per_s = self._requests.per_s
        if known_per_s == math.inf:
            return self.pace.shared(now_s, share)
        if not self.pace.is_found:
            return share * known_per_s
        return min(self.pace.shared(now_s, share), share * known_per_s)

    def wait_s(self, now_s: float, tokens: float, share: float) -> float:
        """Seconds until a call of so many tokens may go; infinite: never, for it needs more than the user allows."""
        wait_s = self.wait_for_request_s(now_s, share)
        if self._tokens.limit is None:
            return wait_s
        tokens_s = self._wait_for_tokens_s(now_s, tokens)
        return tokens_s if tokens_s > wait_s else wait_s

    def wait_for_request_s(self, now_s: float, share: float) -> float:
        """Seconds until a call may go as far as the number of calls is concerned."""
        requests = self._requests
        wait_s = 0.0
        if (per_s := self.per_s(now_s, share)) != math.inf:
            wait_s = requests.pacer.wait_s(now_s, per_s, 1.0)
        if requests.limit is not None and requests.sum.total(now_s) + 1 > requests.limit:
            wait_s = max(wait_s, requests.sum.wait_s(now_s, max(1.0, requests.limit) - 1.0))
        return wait_s

    def start(self, now_s: float, tokens: float, share: float) -> None:
        """A call is sent."""
        requests, metered = self._requests, self._tokens
        if (per_s := self.per_s(now_s, share)) != math.inf:
            requests.pacer.take(now_s, per_s, 1.0)
        requests.sum.add(now_s, 1.0)  # also while there is no limit: one may be set or announced within the minute
        if metered.limit is not None:
            metered.pacer.take(now_s, metered.per_s, tokens)
            metered.sum.add(now_s, tokens)
        self.pace.start(now_s)

    def settle(self, landing: Landing) -> None:
        """Take the tokens that were really used for those that were reserved, where they are known."""
        if landing.tokens is None or self._tokens.limit is None or landing.sent_s < self._tokens.since_s:
            return
        unused = landing.reserved_tokens - landing.tokens
        self._tokens.pacer.give_back(unused)
        self._tokens.sum.add(landing.sent_s, -unused)

    def binds(self, now_s: float, share: float = 1.0) -> str | None:
        """In words which of the limits holds calls back now; None where none does."""
        if self.wait_for_request_s(now_s, share) > 0:
            return f"rate {60 * self.per_s(now_s, share):.0f} rpm"
        tpm = self._tokens.limit
        if tpm is not None and self.wait_s(now_s, 1, share) > 0:
            return f"rate {SHARE_OF_LIMIT * tpm:.0f} tpm"
        return None

    def carry(self, now_s: float, calls: Amounts, tokens: Amounts) -> None:
        """Count what was sent before there was this rate."""
        for meter, amounts in ((self._requests, calls), (self._tokens, tokens)):
            for ago_s, amount in reversed(amounts):
                meter.sum.add(now_s - ago_s, amount)

    def configure(self, now_s: float, limits: Limits) -> None:
        """Other limits of the user."""
        self._change(now_s, limits, self._announced, "set by the user")

    def learn(self, now_s: float, announced: Announced) -> None:
        """Limits that the provider announces; what is not announced this time stays as it is."""
        rpm, tpm = announced.rpm or self._announced.rpm, announced.tpm or self._announced.tpm
        if rpm != self._announced.rpm or tpm != self._announced.tpm:
            self._change(now_s, self._user, Limits(rpm, tpm), "announced by the provider")

    def _wait_for_tokens_s(self, now_s: float, tokens: float) -> float:
        meter, limit = self._tokens, self._tokens.limit or 0.0
        wait_s = meter.pacer.wait_s(now_s, meter.per_s, tokens)
        if meter.sum.total(now_s) + tokens <= limit:
            return wait_s
        if tokens > limit and meter.strict:
            return math.inf
        return max(wait_s, meter.sum.wait_s(now_s, max(0.0, limit - tokens)))

    def _change(self, now_s: float, user: Limits, announced: Limits, why: str) -> None:
        old = self.limits
        self._user, self._announced = user, announced
        self._apply(now_s)
        new = self.limits
        for what, before, after in (("rpm", old.rpm, new.rpm), ("tpm", old.tpm, new.tpm)):
            if before != after:
                self._changes.note(now_s, what, before, after, why)

    def _apply(self, now_s: float) -> None:
        self._requests.set(now_s, self._user.rpm, self._announced.rpm)
        self._tokens.set(now_s, self._user.tpm, self._announced.tpm)
