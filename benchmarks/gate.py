"""What admission costs: microseconds to ask the gate, start and land one call, with thousands in flight beside it.

`python -m benchmarks.gate` prints a table. Nothing is sent, and time is virtual: only the gate's own work is measured.
"""

import itertools
import math
import sys
import time
from collections import deque

import msgspec
from benchmarks.results import Table

from penstock.engine.allowance import Allowance
from penstock.engine.caps import Caps
from penstock.engine.connections import Connections
from penstock.engine.gate import Gate
from penstock.engine.ledger import Ledger
from penstock.engine.scope import Place
from penstock.engine.scopes import Scopes
from penstock.engine.work import Work
from penstock.models import Request, Response, Task, Usage
from penstock.policy.budget import Budget
from penstock.policy.flow import Flow
from penstock.policy.rate import Limits
from penstock.pools import resolve_pools
from penstock.pricing import Price, Pricing
from penstock.transport.fake import FunctionTransport, respond

IN_FLIGHT = 5_000
CALLS, ROUNDS = 2_000, 40
STEP_S = 1e-3
"""Virtual time between two calls."""
WIDE = Limits(rpm=6e6, tpm=6e9)
"""Limits that are reckoned with and never bind."""
ANSWER = Response(b"{}", "m", Usage(input_tokens=200, output_tokens=100))
REQUEST = Request("chat", "chat/completions", b'{"model":"m","max_tokens":100,"messages":[]}', "m")
WORK = Work(Task("0", 0, b"{}", {}, "row 0"), REQUEST, 0.0)


class Setup(msgspec.Struct, frozen=True):
    """A gate to measure: so many scopes in the pool, limits of the scopes and of the run, and a budget."""

    name: str
    scopes: int = 1
    scope_limits: Limits = Limits()
    run_limits: Limits = Limits()
    budget: float | None = None


SETUPS = (
    Setup("lone scope, no limits"),
    Setup("lone scope, rpm and tpm", scope_limits=WIDE),
    Setup("lone scope, rpm and tpm, also of the run", scope_limits=WIDE, run_limits=WIDE),
    Setup("the same with a budget", scope_limits=WIDE, run_limits=WIDE, budget=1e9),
    Setup("pool of 2", scopes=2),
    Setup("pool of 2, rpm and tpm", scopes=2, scope_limits=WIDE),
    Setup("pool of 8", scopes=8),
    Setup("pool of 8, rpm and tpm", scopes=8, scope_limits=WIDE),
)


def make_gate(setup: Setup) -> Gate:
    """A gate with these limits, before providers that answer everything."""
    endpoints = {f"e{number}": {"base_url": "http://127.0.0.1/v1"} for number in range(setup.scopes)}
    config = {"endpoints": endpoints, "models": {"*": {"endpoints": list(endpoints)}}}
    pools = resolve_pools(None, None, {}, config, need_key=False)
    connections = Connections(lambda endpoint, key: FunctionTransport(lambda path, body: respond()))
    scopes = Scopes(pools, connections, lambda endpoint: Flow(setup.scope_limits, sys.maxsize))
    allowance = Allowance(sys.maxsize, sys.maxsize, lambda calls, amount: allowance.grant(calls, amount))
    draws = itertools.cycle([0.31, 0.87, 0.55, 0.12, 0.73])
    ledger = Ledger(Pricing(default=Price(1.0, 1.0)), Budget(setup.budget))
    return Gate(scopes, ledger, allowance, lambda: next(draws), Caps(sys.maxsize, sys.maxsize, setup.run_limits))


def costs_us(setup: Setup) -> tuple[float, float]:
    """Microseconds to admit a call and to land one, in the fastest of some rounds: what disturbs makes it slower."""
    gate = make_gate(setup)
    flying: deque[Place] = deque()
    admit(gate, flying, IN_FLIGHT, 1_000.0)
    now_s = 2_000.0
    best_s = [math.inf, math.inf]
    for _ in range(ROUNDS):
        for half, work in enumerate((admit, land)):
            begun_s = time.process_time()
            work(gate, flying, CALLS, now_s)
            best_s[half] = min(best_s[half], time.process_time() - begun_s)
            now_s += CALLS * STEP_S
    admitting, landing = (seconds / CALLS * 1e6 for seconds in best_s)
    return admitting, landing


def admit(gate: Gate, flying: deque[Place], calls: int, now_s: float) -> None:
    """Let so many calls in."""
    for _ in range(calls):
        now_s += STEP_S
        place = gate.admit(now_s, WORK)
        assert isinstance(place, Place), place
        flying.append(place)


def land(gate: Gate, flying: deque[Place], calls: int, now_s: float) -> None:
    """Let the oldest calls land, and give their places back."""
    for _ in range(calls):
        now_s += STEP_S
        landed = flying.popleft()
        gate.land(landed, WORK, ANSWER, now_s)
        gate.release(landed)


def gate_table() -> Table:
    """The table."""
    lines = [[setup.name, *(f"{cost_us:.1f} µs" for cost_us in costs_us(setup))] for setup in SETUPS]
    return Table(f"The gate, {IN_FLIGHT:,} calls in flight: CPU for one more", ["limits", "admit", "land"], lines)


def main() -> None:
    """Print the table."""
    sys.stdout.write(gate_table().markdown())


if __name__ == "__main__":
    main()
