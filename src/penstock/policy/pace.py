"""How fast requests may go where the provider's limit is not known: found by trying, and by what 429s tell.

After a 429 the pace goes back below what was accepted, and then returns along CUBIC's curve (RFC 9438): fast at first,
flat around the old place, and beyond it only while what is allowed is used.
"""

import math
from collections import deque

from penstock.policy.changes import Changes
from penstock.policy.regardless import Regardless
from penstock.policy.sliding import SlidingSum

FIRST_PER_S = 20.0
STEP = 2.0
STEP_S, SHORTEST_STEP_S = 5.0, 0.25
ENOUGH_ANSWERS = 4
"""So many answers to calls of the same step, or a shortest step's worth if that is more: the step may be shorter."""
IN_USE = 0.8
"""A pace is not raised unless this share of it was used."""

KEPT_SHARE, SLOW_DOWN_SHARE = 0.85, 0.5
BACK_S, QUICK_BACK_S = 45.0, 5.0
RISEN = 1.2
"""A pace that was found so many times above the one before is not the last word: the way back is quick."""
EARLY_SHARE = 0.8
"""Of the way back, before which the pace is below what was let in."""
HEADROOM = 1.25
RELEASE = 2.0
USED_WINDOW_S, SHORTEST_WINDOW_S, LAST = 10.0, 2.0, 10
CALLS_BACK = 20
"""Where calls are rare the way back takes so many of them, and not 45 s."""
FEW = 5
HARDLY_ANY = 20
"""Answers below which a refusal tells little of the pace."""
LEAST_PER_S, LEAST_BLIND_PER_S = 0.005, 0.2
SHORTEST_EPISODE_S = 5.0
NOTED, NOTE_EVERY_S = 2.0, 1.0
"""What comes so many times above or below the last entry is noted, looked at so often: the history is short."""
GUARD_GROWTH, GUARD_S = 1.5, 900.0
"""After `slow_down`: at most half as much again in a quarter of an hour, until the old pace is reached."""
GUARD_ENDS_S = GUARD_S * math.log(1 / SLOW_DOWN_SHARE) / math.log(GUARD_GROWTH)


class Pace:
    """Requests per second. `blind`: begin slowly and speed up, instead of going as fast as concurrency allows.

    Time in which nothing may go does not count for what was used.
    """

    def __init__(self, blind: bool, changes: Changes) -> None:
        self._changes = changes
        self._blind_per_s = FIRST_PER_S if blind else math.inf
        self._step_s: float | None = None
        self._noted_per_s, self._note_s = self._blind_per_s, -math.inf
        self._started = self._answered = 0
        self._let_in = 0
        self._found_per_s: float | None = None
        self._back_s = BACK_S
        self._quick = False
        self._regardless = Regardless()
        self._cut_s = -math.inf
        self._since_cut = 0
        self._next_cut_s = -math.inf
        self._guarded = False
        self._used = SlidingSum(USED_WINDOW_S, 20)
        self._first_s = math.inf
        self._raised_s = -math.inf
        self._last_s: deque[float] = deque(maxlen=LAST)
        self._rest_until_s = -math.inf
        self._rested_s = 0.0
        self._before_rest_per_s = math.inf

    @property
    def is_found(self) -> bool:
        """Whether a 429 has told of a limit."""
        return self._found_per_s is not None

    def per_s(self, now_s: float) -> float:
        """The pace; infinite where nothing holds back."""
        peak = self._found_per_s
        if peak is None:
            return self._blind_per_s
        elapsed_s = now_s - self._cut_s
        if self._guarded:
            if elapsed_s < GUARD_ENDS_S:
                return peak * SLOW_DOWN_SHARE * math.pow(GUARD_GROWTH, elapsed_s / GUARD_S)
            elapsed_s += self._back_s - GUARD_ENDS_S
        if self._quick:
            return self._growing_again(now_s, peak, elapsed_s)
        beyond = elapsed_s / self._back_s - 1
        per_s = max(LEAST_PER_S, peak * (1 + (1 - KEPT_SHARE) * beyond * beyond * beyond))
        if beyond > 0:
            per_s = min(per_s, max(peak, HEADROOM * self._used_per_s(now_s)))
        return per_s

    def _growing_again(self, now_s: float, peak: float, elapsed_s: float) -> float:
        """What was let in before was little for want of time, and may be far below the limit: it doubles from there."""
        if elapsed_s < self._back_s:
            return peak * (KEPT_SHARE + (1 - KEPT_SHARE) * elapsed_s / self._back_s)
        grown = peak * math.pow(2.0, min(64.0, elapsed_s / self._back_s - 1))
        return min(grown, max(peak, RELEASE * self._used_per_s(now_s)))

    def shared(self, now_s: float, share: float) -> float:
        """The pace while only a share of it is allowed: of what was used before, where it is infinite."""
        per_s = self.per_s(now_s)
        if share >= 1:
            return per_s
        return share * (max(FIRST_PER_S, self._before_rest_per_s) if per_s == math.inf else per_s)

    def start(self, now_s: float) -> None:
        """A call is sent."""
        active_s = self._active(now_s)
        if not self._last_s:
            self._first_s = min(self._first_s, active_s)
        self._used.add(active_s, 1.0)
        self._last_s.append(active_s)
        self._since_cut += 1
        if self._found_per_s is None and self._blind_per_s != math.inf:
            self._started += 1
            self._step(now_s)
        if now_s >= self._note_s:
            self._note_drift(now_s)

    def answered(self, sent_s: float) -> None:
        """A call was let in. One that was sent at a slower pace tells nothing of this one."""
        self._let_in += 1
        self._regardless.landed(refused=False)
        if self._step_s is not None and sent_s >= self._step_s:
            self._answered += 1

    def throttled(self, now_s: float, sent_s: float, asked_s: float, slow_down: bool) -> None:
        """A call was turned away: cut, once per episode. What was sent before tells only how little was let in."""
        self._forget_one(now_s)
        self._regardless.landed(refused=True)
        if self._regardless.holds:
            return
        if self._let_in < HARDLY_ANY:
            self._begin_anew(now_s, sent_s, asked_s)
            return
        if sent_s < self._cut_s:
            if self._found_per_s is not None:
                self._find(min(self._found_per_s, self._used_per_s(now_s)), quick=self._quick)
            return
        self._since_cut -= 1
        if now_s < self._next_cut_s:
            return
        old_per_s, borne_per_s = self.per_s(now_s), self._borne_per_s(now_s)
        if not slow_down and self._regardless.cut(now_s, borne_per_s, self._is_early(now_s)):
            self._let_go(now_s, old_per_s)
            return
        found_per_s, before = min(old_per_s, borne_per_s), self._found_per_s
        self._find(found_per_s, quick=self._is_young(now_s) if before is None else found_per_s > RISEN * before)
        self._guarded = slow_down
        self._cut_s, self._since_cut = now_s, 0
        self._next_cut_s = now_s + max(SHORTEST_EPISODE_S, asked_s)
        self._note(now_s, old_per_s, slow_down)

    def _begin_anew(self, now_s: float, sent_s: float, asked_s: float) -> None:
        """Turned away before hardly anything was let in: what others left of the limit was too little, and that says
        nothing of the pace. The ramp begins again at half of where it was, or began."""
        if sent_s < self._cut_s or now_s < self._next_cut_s:
            return
        old_per_s = self.per_s(now_s)
        self._found_per_s = None
        self.begin(now_s, blind=True)
        self._blind_per_s = max(LEAST_BLIND_PER_S, min(FIRST_PER_S, old_per_s) / 2)
        self._cut_s, self._since_cut = now_s, 0
        self._next_cut_s = now_s + max(SHORTEST_EPISODE_S, asked_s)
        self._note(now_s, old_per_s, slow_down=False)

    def _is_young(self, now_s: float) -> bool:
        """Whether what was used of late was used for too short a time to tell what can be."""
        return self._active(now_s) - max(self._first_s, self._raised_s) < USED_WINDOW_S

    def _is_early(self, now_s: float) -> bool:
        return self._found_per_s is not None and now_s - self._cut_s < EARLY_SHARE * self._back_s

    def _let_go(self, now_s: float, old_per_s: float) -> None:
        """The pace is not what calls are turned away for: only the pauses that are asked for hold."""
        self._found_per_s = None
        self.begin(now_s, blind=True)
        why = "the provider turns calls away whatever the pace is"
        self._changes.note(now_s, "pace in rpm", round(60 * old_per_s, 1), None, why)

    def explained(self, now_s: float) -> None:
        """A call was turned away, but not for the pace: what was found goes, and the way is free for more."""
        self._forget_one(now_s)
        if self._found_per_s is not None:
            self._found_per_s = None
            self.begin(now_s, blind=True)

    def rest(self, now_s: float, until_s: float) -> None:
        """Nothing goes until then."""
        begin_s = max(now_s, self._rest_until_s)
        if until_s > begin_s:
            self._rested_s += until_s - begin_s
            self._rest_until_s = until_s

    def remember(self, now_s: float) -> None:
        """The pace of now is the one to come back to when a breaker has closed again."""
        self._before_rest_per_s = self._used_per_s(now_s)

    def begin(self, now_s: float, *, blind: bool) -> None:
        """Ramp up from what is in use, or do not hold back, as long as no 429 comes."""
        self._blind_per_s = max(FIRST_PER_S, RELEASE * self._used_per_s(now_s)) if blind else math.inf
        self._noted_per_s = self._blind_per_s
        self._step_s = None

    def _find(self, per_s: float, *, quick: bool) -> None:
        self._found_per_s = max(LEAST_PER_S, per_s)
        self._quick = quick
        self._back_s = max(QUICK_BACK_S if quick else BACK_S, CALLS_BACK / self._found_per_s)

    def _borne_per_s(self, now_s: float) -> float:
        """What was let in of late. Where that is little, for the provider counts in minutes, since the last cut; and
        nothing let in since then says nothing of the pace."""
        if self._found_per_s is None or self._since_cut >= FEW:
            return self._used_per_s(now_s)
        if self._since_cut <= 0:
            return self._found_per_s
        return (self._since_cut + 1) / (now_s - self._cut_s)

    def _forget_one(self, now_s: float) -> None:
        self._used.add(self._active(now_s), -1.0)
        if self._last_s:
            self._last_s.pop()

    def _used_per_s(self, now_s: float) -> float:
        """What was let in over the last ten seconds, or as far back as the last few calls go where that is further."""
        active_s = self._active(now_s)
        used = self._used.total(active_s)
        age_s = active_s - self._first_s
        if used >= LAST or age_s <= USED_WINDOW_S:
            return max(used, 1.0) / min(USED_WINDOW_S, max(SHORTEST_WINDOW_S, age_s))
        if not self._last_s:
            return LEAST_PER_S
        return len(self._last_s) / max(SHORTEST_WINDOW_S, active_s - self._last_s[0])

    def _active(self, now_s: float) -> float:
        until_s = self._rest_until_s
        return (now_s if now_s > until_s else until_s) - self._rested_s

    def _step(self, now_s: float) -> None:
        if self._step_s is None:
            self._step_s, self._started, self._answered = now_s, 1, 0
        elapsed_s = now_s - self._step_s
        enough = self._answered >= max(ENOUGH_ANSWERS, SHORTEST_STEP_S * self._blind_per_s)
        if elapsed_s < STEP_S and not (enough and elapsed_s >= SHORTEST_STEP_S):
            return
        if self._started >= IN_USE * self._blind_per_s * elapsed_s:
            self._blind_per_s *= STEP
            self._raised_s = self._active(now_s)
        self._step_s, self._started, self._answered = now_s, 0, 0

    def _note(self, now_s: float, old_per_s: float, slow_down: bool) -> None:
        if old_per_s == math.inf:
            old_per_s = self._used_per_s(now_s)
        self._noted_per_s = self.per_s(now_s)
        why = "the provider says that the traffic grows too fast" if slow_down else "the provider answered 429"
        self._changes.note(now_s, "pace in rpm", round(60 * old_per_s, 1), round(60 * self._noted_per_s, 1), why)

    def _note_drift(self, now_s: float) -> None:
        """Between cuts a pace changes all the time."""
        self._note_s = now_s + NOTE_EVERY_S
        old_per_s, per_s = self._noted_per_s, self.per_s(now_s)
        if per_s == math.inf or old_per_s / NOTED < per_s < NOTED * old_per_s:
            return
        if per_s < old_per_s:
            why = "less than that was used"
        elif self.is_found:
            why = "growing again: none was turned away since the cut"
        else:
            why = "all of it was used and none was turned away"
        self._noted_per_s = per_s
        self._changes.note(now_s, "pace in rpm", round(60 * old_per_s, 1), round(60 * per_s, 1), why)
