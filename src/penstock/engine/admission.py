"""The gate of a run, made from its options."""

from collections.abc import Callable

from penstock.engine.allowance import FIRST_CALLS, Allowance
from penstock.engine.caps import Caps
from penstock.engine.carried import Carried
from penstock.engine.connections import Connections
from penstock.engine.gate import Gate
from penstock.engine.ledger import Ledger
from penstock.engine.scope import Scope
from penstock.engine.scopes import Scopes
from penstock.options import RunOptions
from penstock.policy.rate import Limits
from penstock.pools import Pools


def first_calls(options: RunOptions) -> int:
    """Calls that may be in flight before the allowance is raised for the first time."""
    return _fixed(options) or min(FIRST_CALLS, options.max_concurrency)


def make_allowance(options: RunOptions, raise_to: Callable[[int, float], None]) -> Allowance:
    """The allowance that a run begins with."""
    return Allowance(first_calls(options), _fixed(options) or options.max_concurrency, raise_to)


def make_caps(options: RunOptions) -> Caps:
    """The limits that a run begins with."""
    return Caps(_fixed(options), options.max_concurrency, Limits(options.rpm, options.tpm), options.patience_s)


def make_scopes(pools: Pools, connections: Connections, caps: Caps, carried: Carried) -> Scopes:
    """The scopes, each with the limits of its endpoint or else the run's, and with what was carried over."""

    def carry_over(scope: Scope) -> None:
        scope.on_pause = carried.note
        carried.restore(scope, caps.limits_at(scope.lane.endpoint))

    return Scopes(pools, connections, caps.make_flow, carry_over)


def make_gate(
    scopes: Scopes,
    caps: Caps,
    ledger: Ledger,
    allowance: Allowance,
    draw: Callable[[], float],
    carried: Carried,
) -> Gate:
    """The gate, with the run's own limits."""
    gate = Gate(scopes, ledger, allowance, draw, caps)
    if gate.whole is not None:
        carried.restore_run(gate.whole, caps.limits)
    return gate


def _fixed(options: RunOptions) -> int | None:
    """The number of calls to keep; None to find it."""
    return None if options.concurrency == "auto" else int(options.concurrency)
