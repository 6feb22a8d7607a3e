"""The run's transports: one for each endpoint and key."""

from collections.abc import Callable, Iterable

from penstock.endpoints import Endpoint, Key
from penstock.redaction import Secret
from penstock.transport.protocol import Transport


class Connections:
    """Makes a transport when an endpoint and key are first asked for, and closes them all."""

    def __init__(self, make: Callable[[Endpoint, Key], Transport]) -> None:
        self._make = make
        self._transports: dict[tuple[str, str, Secret | None], Transport] = {}

    def __call__(self, endpoint: Endpoint, key: Key) -> Transport:
        """The transport to an endpoint that carries a key; the same one for the same two."""
        name = (endpoint.name, endpoint.base_url, key.secret)
        if name not in self._transports:
            self._transports[name] = self._make(endpoint, key)
        return self._transports[name]

    def open(self, endpoints: Iterable[Endpoint]) -> None:
        """Make the transports of all these endpoints. Raises `UsageError` for what none can be made of."""
        for endpoint in endpoints:
            for key in endpoint.keys:
                self(endpoint, key)

    async def aclose(self) -> None:
        """Close every transport."""
        for transport in self._transports.values():
            await transport.aclose()
