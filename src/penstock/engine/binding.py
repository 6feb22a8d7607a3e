"""What holds back the calls of several scopes, in the words of one of them."""

from collections.abc import Sequence

from penstock.engine.scope import Scope

NOTHING = "nothing"
"""What binds where nothing does."""


def binds_scopes(scopes: Sequence[Scope], now_s: float) -> str:
    """What binds the busiest scope that may send; where none may, what binds the one that may send again first."""
    serving = [scope for scope in scopes if scope.serves(now_s)] or scopes
    if not serving:
        return NOTHING
    sending = [scope for scope in serving if scope.flow.healthy(now_s)]
    if sending:
        shown = max(sending, key=lambda scope: scope.flow.in_flight)
    else:
        shown = min(serving, key=lambda scope: scope.flow.paused_until_s(now_s))
    return shown.flow.snapshot(now_s).binds
