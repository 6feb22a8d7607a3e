"""Which scope of a model's pool takes a task, or when one may."""

import math
from collections.abc import Callable, Sequence

from penstock.engine.scope import Scope
from penstock.engine.scopes import Entry, Scopes
from penstock.engine.verdicts import Wait
from penstock.engine.work import Work


class Question:
    """One task, asked of the scopes of a pool, each of them once."""

    __slots__ = ("_avoid", "_now_s", "_tokens", "_waits_s", "_work")

    def __init__(self, now_s: float, work: Work, tokens: Callable[[Work, Scope], int], avoid: Scope | None) -> None:
        self._now_s = now_s
        self._work = work
        self._tokens = tokens
        self._avoid = avoid
        self._waits_s: dict[Entry, float | None] = {}

    def is_well(self, entry: Entry) -> bool:
        """Whether it is let in, and its provider is well."""
        scope, now_s = entry.scope, self._now_s
        return scope.serves(now_s) and scope.flow.healthy(now_s)

    def was_tried(self, entry: Entry) -> bool:
        """Whether the task failed there, or its first copy is there."""
        scope, tried = entry.scope, self._work.tried
        return scope is self._avoid or (bool(tried) and scope in tried)

    def is_ready(self, entry: Entry) -> bool:
        """Whether the task may go there now."""
        return self.wait_s(entry) == 0.0

    def wait_s(self, entry: Entry) -> float | None:
        """Seconds until it may; None: ask when a call has landed; infinite: never."""
        waits_s = self._waits_s
        if entry not in waits_s:
            waits_s[entry] = after_s = self._ask(entry.scope)
            return after_s
        return waits_s[entry]

    def _ask(self, scope: Scope) -> float | None:
        if not scope.serves(self._now_s):
            return scope.out_s(self._now_s)
        return wait_s(self._now_s, self._work, scope, self._tokens(self._work, scope))


class Choice:
    """Chooses by health, by what was tried, and by who has least to do; `tokens` is what a task needs at a scope."""

    def __init__(self, scopes: Scopes, draw: Callable[[], float], tokens: Callable[[Work, Scope], int]) -> None:
        self._scopes = scopes
        self._draw = draw
        self._tokens = tokens

    def scope_for(self, now_s: float, work: Work, avoid: Scope | None) -> Scope | Wait:
        """The scope, or a wait that may be for ever: infinite where the task needs more than any scope is allowed.

        A lone scope is never put aside, since nobody else could serve.
        """
        pool = self._scopes.pool(work.request.model)
        if pool.lone is not None:
            after_s = wait_s(now_s, work, pool.lone, self._tokens(work, pool.lone))
            return pool.lone if after_s == 0.0 else self._wait(now_s, work, pool.entries, (after_s,))
        question = Question(now_s, work, self._tokens, avoid)
        chosen = pool.choose(question, self._draw)
        if chosen is not None:
            return chosen.scope
        return self._wait(now_s, work, pool.entries, [question.wait_s(entry) for entry in pool.entries])

    def asked_until_s(self, model: str, now_s: float) -> float:
        """When the first of a pool's scopes may be asked again of those that a provider wants left alone; 0 if none."""
        asked = [entry.scope.flow.paused_until_s(now_s) for entry in self._scopes.pool(model).entries]
        return min((until_s for until_s in asked if until_s), default=0.0)

    def _wait(self, now_s: float, work: Work, entries: Sequence[Entry], waits_s: Sequence[float | None]) -> Wait:
        if all(after_s is not None and math.isinf(after_s) for after_s in waits_s):
            return Wait(math.inf)
        soonest = min((after_s for after_s in waits_s if after_s and not math.isinf(after_s)), default=None)
        until_s = None if soonest is None else now_s + soonest
        return Wait(until_s, "task" if _waits_alone(now_s, work, entries) else "model")


def wait_s(now_s: float, work: Work, scope: Scope, tokens: int) -> float | None:
    """Seconds until a scope takes a task; None: ask when a call has landed; infinite: never."""
    if work.is_retry and (later_s := scope.flow.retry_wait_s(now_s)) != 0.0:
        return later_s
    return scope.flow.wait_s(now_s, tokens, work.is_retry)


def _waits_alone(now_s: float, work: Work, entries: Sequence[Entry]) -> bool:
    """Whether fresh tasks may go while this one waits: for a scope that it has not tried, or for the retry budgets."""
    if work.tried and len(entries) > 1:
        return True
    return work.is_retry and all(entry.scope.flow.retry_wait_s(now_s) != 0.0 for entry in entries)
