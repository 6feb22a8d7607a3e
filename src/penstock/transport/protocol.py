"""What carries a request to an endpoint and its response back."""

from typing import Protocol

from penstock.models import Failure, HttpResponse


class Transport(Protocol):
    """One endpoint's connections. Headers, credentials and time-outs were given when it was made.

    No call raises for what the network or the server does: that is a `Failure` whose fault says what is known of
    the request. `UNSENT` only when the server cannot have seen it; everything after that is `AMBIGUOUS`.
    """

    async def send(self, path: str, body: bytes, timeout_s: float | None = None) -> HttpResponse | Failure:
        """POST `body` to `path` below the base URL and read the whole response, whatever its status.

        `timeout_s` is a longer deadline for this call; one that is shorter than the usual one does not count.
        """
        ...

    async def get(self, path: str) -> HttpResponse | Failure:
        """GET `path` below the base URL: for questions about the endpoint, never for tasks."""
        ...

    async def aclose(self) -> None:
        """Close idle connections and give up calls in flight: each becomes a Failure, `AMBIGUOUS`. Safe to call twice.

        The server may go on with such a call until its time-out or the end of this process.
        """
        ...
