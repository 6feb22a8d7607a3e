"""The flow of one scope: whether a call may go now, and what its end changes.

Three controllers, each for its own trouble: the rate answers 429s, concurrency answers time-outs and lack of gain, the
breaker answers failures of the provider and leaves the limits as they are. Beside them a pause that the provider asked
for, and the retry budget.
"""

import math

import msgspec

from penstock.policy.announced import Announced
from penstock.policy.breaker import Breaker
from penstock.policy.carried import Amounts
from penstock.policy.changes import Change, Changes
from penstock.policy.concurrency import Concurrency
from penstock.policy.cooldown import Cooldown
from penstock.policy.landing import Kind, Landing
from penstock.policy.rate import Limits, Rate
from penstock.policy.retry_budget import RetryBudget

_FAILED = {
    Kind.ANSWERED: False,
    Kind.REFUSED: False,
    Kind.OVERLOADED: True,
    Kind.TIMED_OUT: True,
    Kind.BROKEN: True,
    Kind.UNSENT: True,
}
"""What an end says of the provider's health; nothing for the others."""
_IN_VAIN = {**_FAILED, Kind.UNSENT: None, Kind.THROTTLED: True}
"""Whether a retry that ended so was sent in vain; None where the provider never saw it."""


_UNLIMITED = Limits()


class FlowSnapshot(msgspec.Struct, frozen=True):
    """A flow at one moment; `binds` says in words what holds calls back, `paused_until_s` is on the monotonic clock.

    `rpm` and `tpm` are the limits in force, set, announced or found; None where there is none.
    """

    limit: int
    in_flight: int
    binds: str
    rpm: float | None
    tpm: float | None
    paused_until_s: float
    changes: tuple[Change, ...]


class Flow:
    """Asked before each call, told of each start and each landing.

    `concurrency` None finds its own and speeds up from a slow begin; a number may be in flight exactly and at once.
    """

    def __init__(self, limits: Limits = _UNLIMITED, concurrency: int | None = None, ceiling: int = 5000) -> None:
        self._changes = Changes()
        self._breaker = Breaker(self._changes)
        self._retries = RetryBudget()
        self._cooldown = Cooldown()
        self._rate = Rate(limits, concurrency is None, self._changes)
        self._concurrency = Concurrency(concurrency, ceiling, self._changes)
        self._in_flight = 0

    # Admission

    def wait_s(self, now_s: float, tokens: int = 0, retry: bool = False) -> float | None:
        """0 when a call may go, or the seconds until it may; None: ask when a call has landed; infinite: never.

        Never is for a call that needs more tokens than the user allows in a minute. Only looks.
        """
        if self._in_flight >= self._concurrency.limit:
            return None
        cooldown = self._cooldown
        until_s = cooldown.until_s if retry else cooldown.fresh_until_s
        if now_s < until_s:
            return until_s - now_s
        wait_s = self._breaker.wait_s(now_s)
        if wait_s != 0.0:
            return wait_s
        return self._rate.wait_s(now_s, tokens, self._breaker.share(now_s))

    def retry_wait_s(self, now_s: float) -> float | None:
        """0 when the retry budget lets a retry go, or the seconds until it may; None: ask when a call has landed."""
        return self._retries.wait_s(now_s)

    def start(self, now_s: float, tokens: int = 0, retry: bool = False) -> None:
        """A call is sent that may go now."""
        self._in_flight += 1
        self._concurrency.start(self._in_flight)
        self._rate.start(now_s, tokens, self._breaker.share(now_s))
        self._breaker.start(now_s)
        self._retries.start(now_s, retry)

    # Landing

    def note(self, now_s: float, what: str, value: float, why: str) -> None:
        """Keep in the history what happened to the scope besides."""
        self._changes.note(now_s, what, None, value, why)

    def land(self, now_s: float, landing: Landing, draw: float, retry: bool = False) -> None:
        """A call has ended, once for each start; `draw` is random in [0, 1), `retry` as at its start."""
        kind = landing.kind
        if kind is Kind.THROTTLED:
            self._throttle(now_s, landing)
        elif kind is Kind.NO_ROOM:
            self._concurrency.refused_here(now_s, landing.sent_s, self._in_flight)
        else:
            self._concurrency.land(now_s, landing, self._in_flight)
        self._in_flight -= 1
        self._rate.settle(landing)
        self._cooldown.land(now_s, landing, draw)
        if kind is Kind.ANSWERED:
            self._rate.pace.answered(landing.sent_s)
            self._breaker.land(now_s, False, draw, landing.sent_s)
            self._retries.land(now_s, retry, False)
            return
        self._land_breaker(now_s, landing, draw)
        if self._cooldown.until_s > now_s:
            self._rate.pace.rest(now_s, self._cooldown.until_s)
        self._retries.land(now_s, retry, _IN_VAIN.get(kind))

    def _throttle(self, now_s: float, landing: Landing) -> None:
        if not landing.slow_down and self._concurrency.throttled(now_s, landing.sent_s, self._in_flight):
            self._rate.pace.explained(now_s)
        else:
            self._rate.pace.throttled(now_s, landing.sent_s, landing.retry_after_s or 0.0, landing.slow_down)

    def _land_breaker(self, now_s: float, landing: Landing, draw: float) -> None:
        failed = _FAILED.get(landing.kind)
        well = failed and self._breaker.share(now_s) >= 1 and not self._breaker.is_open(now_s)
        self._breaker.land(now_s, failed, draw, landing.sent_s)
        if failed and (wait_s := self._breaker.wait_s(now_s)):
            if well:
                self._rate.pace.remember(now_s)
            self._rate.pace.rest(now_s, now_s + wait_s)

    # Knowledge

    def learn(self, now_s: float, announced: Announced) -> None:
        """Limits that the provider announces; those of the user come first."""
        self._rate.learn(now_s, announced)

    def configure(self, now_s: float, limits: Limits) -> None:
        """Other limits of the user."""
        self._rate.configure(now_s, limits)

    def hold(self, now_s: float, until_s: float) -> None:
        """Nothing may go until then: the provider asked an earlier process for it."""
        if until_s > now_s:
            self._cooldown.hold(until_s)
            self._rate.pace.rest(now_s, until_s)

    def carry(self, now_s: float, calls: Amounts, tokens: Amounts) -> None:
        """Count what an earlier process sent in the last minute: so many of each, so many seconds ago."""
        self._rate.carry(now_s, calls, tokens)

    def fix_concurrency(self, now_s: float, concurrency: int | None) -> None:
        """Another number that may be in flight exactly, or None to find one."""
        self._concurrency.fix(now_s, concurrency)
        self._rate.pace.begin(now_s, blind=concurrency is None)

    def set_ceiling(self, now_s: float, ceiling: int) -> None:
        """Another number that may be in flight at most where one is found."""
        self._concurrency.set_ceiling(now_s, ceiling)

    # Telling

    @property
    def in_flight(self) -> int:
        """Calls that were started and have not landed."""
        return self._in_flight

    @property
    def counts_tokens(self) -> bool:
        """Whether a limit of tokens is in force, so that calls should say how many they need."""
        return self._rate.counts_tokens

    def limit(self, now_s: float) -> int:
        """Calls that may be in flight."""
        return self._concurrency.limit

    def healthy(self, now_s: float) -> bool:
        """Whether the breaker lets calls through and no pause is under way."""
        return now_s >= self._cooldown.until_s and not self._breaker.is_open(now_s)

    def paused_until_s(self, now_s: float) -> float:
        """Until when the provider wants to be left alone, on the monotonic clock; 0 when it does not."""
        return self._cooldown.until_s if now_s < self._cooldown.until_s else 0.0

    def snapshot(self, now_s: float) -> FlowSnapshot:
        """What is in flight, what is allowed, and what binds."""
        limits = self._rate.limits
        per_s = self._rate.per_s(now_s, self._breaker.share(now_s))
        return FlowSnapshot(
            limit=self._concurrency.limit,
            in_flight=self._in_flight,
            binds=self._binds(now_s),
            rpm=limits.rpm if math.isinf(per_s) else round(60 * per_s, 1),
            tpm=limits.tpm,
            paused_until_s=self.paused_until_s(now_s),
            changes=self._changes.last(),
        )

    def _binds(self, now_s: float) -> str:
        if now_s < self._cooldown.until_s:
            asked = "the provider asked to" if self._cooldown.asked else "the provider answered 429"
            return f"waiting {self._cooldown.until_s - now_s:.0f} s: {asked}"
        wait_s = self._breaker.wait_s(now_s)
        if wait_s is None:
            return "breaker half-open, probes in flight"
        if wait_s > 0:
            return f"breaker open, next probe in {wait_s:.0f} s"
        if self._in_flight >= self._concurrency.limit:
            return f"concurrency {self._concurrency.limit}"
        if now_s < self._cooldown.fresh_until_s:
            return f"waiting {self._cooldown.fresh_until_s - now_s:.0f} s: those turned away go first"
        return self._rate.binds(now_s, self._breaker.share(now_s)) or "nothing"
