"""What carries a request to an endpoint and its response back."""

from typing import Protocol

from penstock.models import Failure, HttpResponse


class Listener(Protocol):
    """Who hears the events of a streamed answer, as they come."""

    @property
    def pieces(self) -> int:
        """How many of them have brought something of the answer."""
        ...

    @property
    def speaking(self) -> bool:
        """Whether the next piece is due: an answer that has begun, and neither ended nor halted in good order."""
        ...

    def hear(self, name: str, data: bytes, at_s: float) -> bool:
        """Take an event, its name "" where it has none; whether it was the last.

        `at_s` is when it came, on the monotonic clock: the same for all that came in one reading.
        """
        ...


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

    async def stream(
        self, path: str, body: bytes, listener: Listener, timeout_s: float | None = None
    ) -> HttpResponse | Failure:
        """As `send`, but where a 2xx response is a stream of events, each goes to `listener` when it has come.

        The body of the response is then the beginning of the stream, and otherwise the whole of it. A stream has ended
        with the last event, whatever becomes of the connection behind it, or with its last byte.
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
