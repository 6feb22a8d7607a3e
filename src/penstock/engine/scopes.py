"""Every scope of a run: made when a model is first asked for, and shared by the pools that it stands in."""

from collections.abc import Callable, Iterator, Sequence

import msgspec

from penstock.endpoints import Endpoint, Key
from penstock.engine.scope import Lane, Scope
from penstock.policy.flow import Flow
from penstock.policy.routing import Choosing
from penstock.policy.standing import Standing
from penstock.pools import Pools, Route
from penstock.transport.protocol import Transport

Connect = Callable[[Endpoint, Key], Transport]
"""The connections to an endpoint that carry a key; the same ones for the same two."""


class Entry(msgspec.Struct, frozen=True, eq=False):
    """A scope in the pool of a model. A lower tier is asked first."""

    scope: Scope
    tier: int
    weight: float

    @property
    def latency_s(self) -> float | None:
        """How long it takes to answer of late; None while there was no answer."""
        return self.scope.latency.mean_s

    @property
    def in_flight(self) -> int:
        """Calls under way there."""
        return self.scope.flow.in_flight


class Pool(Choosing[Entry]):
    """The scopes that can serve a model; `lone` where there is but one."""

    def __init__(self, entries: tuple[Entry, ...]) -> None:
        super().__init__(entries)
        self.entries = entries
        self.lone = entries[0].scope if len(entries) == 1 else None


class Scopes:
    """The pools, as scopes. `make_flow` gives a new scope of an endpoint its flow control; `on_new` hears of it."""

    def __init__(
        self,
        pools: Pools,
        connect: Connect,
        make_flow: Callable[[Endpoint], Flow],
        on_new: Callable[[Scope], None] = lambda scope: None,
    ) -> None:
        self._on_new = on_new
        self.answered_before = False
        """Whether an earlier process of this run had answers: its keys are not given up at their first refusal."""
        self._pools = pools
        self._connect = connect
        self._make_flow = make_flow
        self._found: dict[str, Pool] = {}
        self._scopes: dict[tuple[str, Key, str], Scope] = {}
        self._accounts: dict[tuple[str, Key], Standing] = {}
        self._offers: dict[tuple[str, str], Standing] = {}

    def __iter__(self) -> Iterator[Scope]:
        return iter(self._scopes.values())

    @property
    def names(self) -> tuple[str, ...]:
        """The endpoints' names."""
        return tuple(endpoint.name for endpoint in self._pools.endpoints)

    def pool(self, model: str) -> Pool:
        """The scopes that can serve a model."""
        found = self._found.get(model)
        if found is None:
            found = self._found[model] = Pool(
                tuple(
                    Entry(self._scope(route, key), route.tier, route.endpoint.weight)
                    for route in self._pools.routes(model)
                    for key in route.endpoint.keys
                )
            )
        return found

    def reload(self, pools: Pools) -> str:
        """Take other keys from now on, and let those in again that were out; in words how many there are."""
        self._pools = pools
        self._found.clear()
        for standing in (*self._accounts.values(), *self._offers.values()):
            standing.put_back()
        moved = _moved_keys(list(self._accounts), pools.endpoints)
        scopes, self._scopes = self._scopes, {}
        for (name, key, model), scope in scopes.items():
            if (place := moved.get((name, key))) is not None:
                endpoint, now = place
                scope.lane = Lane(endpoint, now, scope.lane.model, self._connect(endpoint, now))
                self._scopes[name, now, model] = scope
        accounts, self._accounts = self._accounts, {}
        for (name, key), account in accounts.items():
            if (place := moved.get((name, key))) is not None:
                self._accounts[name, place[1]] = account
        counts = {endpoint.name: len(endpoint.keys) for endpoint in pools.endpoints}
        return ", ".join(f"{name}: {count} {'key' if count == 1 else 'keys'}" for name, count in counts.items())

    def _scope(self, route: Route, key: Key) -> Scope:
        endpoint = route.endpoint
        name = (endpoint.name, key, route.model)
        if name not in self._scopes:
            lane = Lane(endpoint, key, route.model, self._connect(endpoint, key))
            account = self._accounts.setdefault((endpoint.name, key), Standing(self.answered_before))
            offer = self._offers.setdefault((endpoint.name, route.model), Standing())
            self._scopes[name] = scope = Scope(lane, self._make_flow(endpoint), account, offer)
            self._on_new(scope)
        return self._scopes[name]


def _moved_keys(
    before: Sequence[tuple[str, Key]], endpoints: Sequence[Endpoint]
) -> dict[tuple[str, Key], tuple[Endpoint, Key]]:
    """Where each key stands now: the same secret wherever it is, else the new one in its place; none if it is gone."""
    moved: dict[tuple[str, Key], tuple[Endpoint, Key]] = {}
    for endpoint in endpoints:
        old = [key for name, key in before if name == endpoint.name]
        secrets = {key.secret for key in old}
        by_secret = {key.secret: key for key in endpoint.keys}
        new = {key.label: key for key in endpoint.keys if key.secret not in secrets}
        for key in old:
            if (now := by_secret.get(key.secret) or new.get(key.label)) is not None:
                moved[endpoint.name, key] = (endpoint, now)
    return moved
