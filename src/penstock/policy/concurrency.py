"""How many calls may be in flight: as many as still bring more tokens per second.

Never by latency, which says nothing where answers differ in length. What is delivered is what is in flight times the
tokens per second that one call brings (Little's law), so long and short answers may come in any order.
"""

import itertools

import msgspec

from penstock.policy.cap import Cap
from penstock.policy.changes import Changes
from penstock.policy.crowding import Crowding
from penstock.policy.landing import Kind, Landing
from penstock.policy.room import Room

START = 20
FEWEST_OF_ROUND = 10
IN_USE = 0.8
"""A limit is judged only when this share of it was used."""
GAIN_OF_PROBE = 1.02
NEEDED_SHARE = 0.2
"""Growth goes on while a step brings this share of what it adds: twice as many in flight a fifth more tokens."""
SMALLEST_STEP = 1.25
FLAT_ROUNDS = 2
PROBE_STEP = 1.08
HOLD_ROUNDS, LONGEST_HOLD_ROUNDS = 6, 48
"""After a probe without gain; twice as many after each further one."""
CUT_SHARE = 0.7
MEMORY = 0.05
NEARLY_ALL = 0.95
MARGIN = 1.1
"""What is in flight beyond the knee, so that nothing stands idle."""
FLAT = "more in flight brought no more tokens per second"


class _Round:
    """What a limit has brought since it was set."""

    __slots__ = ("delivered", "flown_s", "in_flight", "landed", "peak", "since_s")

    def __init__(self, since_s: float) -> None:
        self.since_s = since_s
        self.landed = 0
        self.peak = 0
        self.in_flight = 0
        self.flown_s = 0.0
        self.delivered = 0

    @property
    def mean_in_flight(self) -> float:
        return self.in_flight / self.landed

    @property
    def speed(self) -> float:
        """Tokens per second of one call."""
        return self.delivered / max(1e-6, self.flown_s)


class _Rung(msgspec.Struct, frozen=True):
    """A limit that was judged: what was in flight under it on average, and the tokens per second that it brought."""

    limit: int
    in_flight: float
    delivered: float

    @property
    def speed(self) -> float:
        """Of one call."""
        return self.delivered / self.in_flight


class Concurrency:
    """The limit: `fixed` exactly, or found between 1 and `ceiling`."""

    def __init__(self, fixed: int | None, ceiling: int, changes: Changes) -> None:
        self._changes = changes
        self._ceiling = ceiling
        self._fixed = fixed
        self.limit = self._found = min(START, ceiling) if fixed is None else fixed
        self._cap = Cap()
        self._room = Room()
        self._crowding = Crowding()
        self._mean_latency_s: float | None = None
        self._round = _Round(0.0)
        self._rungs: list[_Rung] = []
        self._growing = True
        self._flat = 0
        self._probed: _Rung | None = None
        self._hold = 0
        self._next_hold = HOLD_ROUNDS

    def land(self, now_s: float, landing: Landing, in_flight: int) -> None:
        """Learn from a call's end; `in_flight` counts it too."""
        if self._room.try_more(now_s):
            self._apply(now_s, "trying whether this machine opens more connections")
        if self._fixed is None and self._cap.try_more(now_s):
            self._apply(now_s, "trying whether the provider lets one more in")
        if self._fixed is not None or landing.kind not in (Kind.ANSWERED, Kind.TIMED_OUT):
            return
        timed_out = landing.kind is Kind.TIMED_OUT
        flown_s = now_s - landing.sent_s
        if self._crowding.land(now_s, landing.sent_s, timed_out):
            self._cut(now_s)
            return
        if not timed_out:
            mean_s = self._mean_latency_s
            self._mean_latency_s = flown_s if mean_s is None else mean_s + MEMORY * (flown_s - mean_s)
        turn = self._round
        turn.peak = max(turn.peak, in_flight)
        if landing.sent_s < turn.since_s:
            return
        turn.landed += 1
        turn.in_flight += in_flight
        turn.flown_s += flown_s
        if not timed_out:
            turn.delivered += landing.output_tokens or landing.tokens or 1
        if turn.landed >= max(FEWEST_OF_ROUND, self._found // 2 if self._growing else self._found):
            self._judge(now_s)

    def start(self, in_flight: int) -> None:
        """A call was sent, and so many are in flight now."""
        self._cap.start(in_flight)
        if in_flight > self._round.peak:
            self._round.peak = in_flight

    def throttled(self, now_s: float, sent_s: float, in_flight: int) -> bool:
        """A call was turned away while so many were in flight; whether that is because they were so many.

        A number that the user fixed stays what it is: the rate has to answer then.
        """
        if self._fixed is not None:
            return False
        explained = self._cap.throttled(now_s, sent_s, in_flight)
        self._apply(now_s, "the provider lets no more in at once" if explained else "the provider lets more in at once")
        return explained

    def refused_here(self, now_s: float, sent_s: float, in_flight: int) -> None:
        """This machine had no open file for a call: fewer fly, also where the user fixed their number."""
        self._room.refused(now_s, sent_s, in_flight)
        self._apply(now_s, "this machine opens no more files: see ulimit -n")

    def fix(self, now_s: float, fixed: int | None) -> None:
        """A number that is kept exactly, or None to find one."""
        self._fixed = fixed
        self._cap = Cap()
        self._growing, self._flat, self._probed, self._rungs = True, 0, None, []
        self._set(now_s, max(1, min(self._found, self._ceiling)) if fixed is None else fixed, "set by the user")

    def set_ceiling(self, now_s: float, ceiling: int) -> None:
        """As far as it may go from now on; what stood at the ceiling before grows anew."""
        if ceiling > self._ceiling <= self._found:
            self._growing, self._flat, self._rungs = True, 0, []
        self._ceiling, self._probed = ceiling, None
        if self._fixed is None and self._found > ceiling:
            self._set(now_s, ceiling, "set by the user")

    def _judge(self, now_s: float) -> None:
        turn = self._round
        self._round = _Round(now_s)
        if turn.peak < IN_USE * self._found or not turn.delivered:  # what only timed out is for crowding to judge
            return
        rung = _Rung(self._found, turn.mean_in_flight, turn.mean_in_flight * turn.speed)
        if self._growing:
            self._judge_growth(now_s, rung)
        else:
            self._judge_probe(now_s, rung)

    def _judge_growth(self, now_s: float, rung: _Rung) -> None:
        """The next step is as large as the last one's gain, so that little is overshot where the gain gets less."""
        last = self._rungs[-1] if self._rungs else None
        step, gain = (1.0, 2.0) if last is None else (rung.in_flight / last.in_flight, rung.delivered / last.delivered)
        if last is None or gain >= 1 + NEEDED_SHARE * (step - 1):
            self._flat = 0
            self._rungs.append(rung)
            more = min(self._ceiling, round(min(2.0, max(SMALLEST_STEP, gain)) * self._found))
            self._set(now_s, more, "more in flight still bring more tokens per second")
            return
        self._flat += 1
        if self._flat >= FLAT_ROUNDS:
            self._growing = False
            self._set(now_s, self._knee(), FLAT)

    def _knee(self) -> int:
        """Where the gain ended: as many as bring the most that was seen, if none is slower than one step below."""
        most = max((rung.delivered for rung in self._rungs), default=0.0)
        for below, rung in itertools.pairwise(self._rungs):
            if rung.delivered >= NEARLY_ALL * most:
                return min(self._found, rung.limit, max(below.limit, round(MARGIN * most / below.speed)))
        return self._found

    def _judge_probe(self, now_s: float, rung: _Rung) -> None:
        before, self._probed = self._probed, None
        if before is not None and rung.delivered < GAIN_OF_PROBE * before.delivered:
            self._hold = self._next_hold
            self._next_hold = min(LONGEST_HOLD_ROUNDS, 2 * self._next_hold)
            self._set(now_s, before.limit, FLAT)
            return
        self._hold -= 1
        if before is not None:
            self._hold, self._next_hold = 0, HOLD_ROUNDS
        if self._hold <= 0 and self._found < self._ceiling:
            self._probed = rung
            more = min(self._ceiling, max(self._found + 1, int(PROBE_STEP * self._found)))
            self._set(now_s, more, "trying whether more bring more tokens per second")

    def _cut(self, now_s: float) -> None:
        limit = int(CUT_SHARE * self._found)
        if self._growing:
            limit = min(limit, self._knee())
        self._growing, self._probed, self._hold = False, None, self._next_hold
        self._set(now_s, max(1, limit), "too many calls of the last minute timed out")

    def _set(self, now_s: float, found: int, why: str) -> None:
        if found < self._found:
            self._crowding.lowered(now_s, self._mean_latency_s or 0.0)
        self._found = found
        self._round = _Round(now_s)
        self._apply(now_s, why)

    def _apply(self, now_s: float, why: str) -> None:
        limit = self._found if self._fixed is None else self._fixed
        for most in (self._cap.most, self._room.most):
            if most is not None:
                limit = min(limit, most)
        if limit != self.limit:
            self._changes.note(now_s, "concurrency", self.limit, limit, why)
            self.limit = limit
