"""The rate under everything that may happen to it, in any order, against a plain list of what was sent."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from penstock.policy.announced import Announced
from penstock.policy.changes import Changes
from penstock.policy.landing import Kind, Landing
from penstock.policy.rate import Limits, Rate

MINUTE_S = 60.0
RPM, TPM = st.integers(1, 30), st.integers(100, 3_000)
AGO_S = st.floats(0.0, 59.0)


class RateInAnyOrder(RuleBasedStateMachine):
    """What goes is within the limits of the moment, whatever came before; what was sent long ago holds nothing back."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 1_000.0
        self.rate = Rate(Limits(rpm=10, tpm=1_000), False, Changes())
        self.calls: list[tuple[float, int]] = []
        self.tokens: list[tuple[float, int]] = []
        self.in_flight: list[tuple[float, int]] = []

    def minute(self, sent: list[tuple[float, int]]) -> int:
        """What was sent within the last minute."""
        return sum(amount for at_s, amount in sent if at_s > self.now_s - MINUTE_S)

    @rule(seconds=st.one_of(st.floats(0.0, 2.0), st.floats(0.0, 90.0)))
    def tick(self, seconds: float) -> None:
        """Time goes by."""
        self.now_s += seconds

    @rule(tokens=st.integers(0, 3_500), most=st.integers(1, 30))
    def start(self, tokens: int, most: int) -> None:
        """Calls go, as many as may."""
        for _ in range(most):
            if self.rate.wait_s(self.now_s, tokens, 1.0) > 0:
                break
            self.rate.start(self.now_s, tokens, 1.0)
            for sent, amount in ((self.calls, 1), (self.tokens, tokens), (self.in_flight, tokens)):
                sent.append((self.now_s, amount))
            assert self.minute(self.calls) <= (self.rate.limits.rpm or 0)
            assert self.minute(self.tokens) <= (self.rate.limits.tpm or 0)

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data(), used=st.one_of(st.none(), st.integers(0, 5_000)))
    def settle(self, data: st.DataObject, used: int | None) -> None:
        """A call in flight lands, with more or fewer tokens than were reserved for it."""
        sent_s, reserved = self.in_flight.pop(data.draw(st.integers(0, len(self.in_flight) - 1)))
        landing = Landing(Kind.ANSWERED, sent_s, self.now_s, reserved_tokens=reserved, tokens=used)
        self.rate.settle(landing)
        if used is not None:
            self.tokens[self.tokens.index((sent_s, reserved))] = (sent_s, used)

    @rule(rpm=st.one_of(st.none(), RPM), tpm=st.one_of(st.none(), TPM))
    def learn(self, rpm: int | None, tpm: int | None) -> None:
        """The provider announces something: the limits of the user come first."""
        before = self.rate.limits
        self.rate.learn(self.now_s, Announced(rpm, tpm))
        assert self.rate.limits == before

    @rule(rpm=RPM, tpm=TPM)
    def configure(self, rpm: int, tpm: int) -> None:
        """The user sets other limits."""
        self.rate.configure(self.now_s, Limits(rpm, tpm))

    @rule(ago_s=AGO_S, calls=st.integers(1, 10), tokens=st.integers(1, 1_000))
    def carry(self, ago_s: float, calls: int, tokens: int) -> None:
        """It is told what an earlier process sent."""
        self.rate.carry(self.now_s, [(ago_s, calls)], [(ago_s, tokens)])
        self.calls.append((self.now_s - ago_s, calls))
        self.tokens.append((self.now_s - ago_s, tokens))

    def teardown(self) -> None:
        """A minute later nothing counts any more, and what was used too much is waited for once."""
        self.now_s += MINUTE_S + 1
        self.now_s += self.rate.wait_s(self.now_s, 1, 1.0)
        assert self.rate.wait_s(self.now_s, 1, 1.0) < 1e-3


TestRateInAnyOrder = RateInAnyOrder.TestCase
TestRateInAnyOrder.settings = settings(max_examples=100, deadline=None)
