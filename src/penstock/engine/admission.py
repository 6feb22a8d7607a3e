"""The gate of a run, made from its options."""

import sys
from collections.abc import Callable

from penstock.endpoints import Endpoint
from penstock.engine.allowance import FIRST_CALLS, Allowance
from penstock.engine.carried import Carried
from penstock.engine.connections import Connections
from penstock.engine.gate import Caps, Gate, limits_at
from penstock.engine.ledger import Ledger
from penstock.engine.scope import Scope
from penstock.engine.scopes import Scopes
from penstock.options import RunOptions
from penstock.policy.flow import Flow
from penstock.policy.rate import Limits
from penstock.pools import Pools


def first_calls(options: RunOptions) -> int:
    """Calls that may be in flight before the allowance is raised for the first time."""
    return _fixed(options) or min(FIRST_CALLS, options.max_concurrency)


def make_allowance(options: RunOptions, raise_to: Callable[[int, float], None]) -> Allowance:
    """The allowance that a run begins with."""
    return Allowance(first_calls(options), _fixed(options) or options.max_concurrency, raise_to)


def make_scopes(pools: Pools, connections: Connections, options: RunOptions, carried: Carried) -> Scopes:
    """The scopes, each with the limits of its endpoint or else the run's, and with what was carried over."""
    limits = Limits(options.rpm, options.tpm)

    def make_flow(endpoint: Endpoint) -> Flow:
        most = endpoint.max_concurrency or sys.maxsize
        concurrency = _fixed(options)
        return Flow(
            limits_at(endpoint, limits),
            None if concurrency is None else min(concurrency, most),
            min(options.max_concurrency, most),
        )

    def carry_over(scope: Scope) -> None:
        scope.on_pause = carried.note
        carried.restore(scope, limits_at(scope.lane.endpoint, limits))

    return Scopes(pools, connections, make_flow, carry_over)


def make_gate(
    scopes: Scopes,
    options: RunOptions,
    ledger: Ledger,
    allowance: Allowance,
    draw: Callable[[], float],
    carried: Carried,
) -> Gate:
    """The gate, with the run's own limits."""
    limits = Limits(options.rpm, options.tpm)
    caps = Caps(_fixed(options), options.max_concurrency, limits, options.patience_s)
    gate = Gate(scopes, ledger, allowance, draw, caps)
    if gate.whole is not None:
        carried.restore_run(gate.whole, limits)
    return gate


def _fixed(options: RunOptions) -> int | None:
    """The number of calls to keep; None to find it."""
    return None if options.concurrency == "auto" else int(options.concurrency)
