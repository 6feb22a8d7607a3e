"""A transport without a network: a function answers."""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import cast

from penstock.models import Failure, HttpResponse
from penstock.transport.protocol import Listener
from penstock.transport.streaming import Reading
from penstock.transport.translate import CLOSED

Answer = HttpResponse | Failure
PlainHandler = Callable[[str, bytes], Answer | Awaitable[Answer]]
TimedHandler = Callable[[str, bytes, float | None], Answer | Awaitable[Answer]]
Handler = PlainHandler | TimedHandler
"""Takes path and body (empty for a GET), returns the answer, at once or awaited.

Its third parameter, where it has one, gets the call's own deadline, None for the usual one.
"""


class FunctionTransport:
    """Gives every request to `handler`. Keeps no deadline: a function takes as long as it takes."""

    def __init__(self, handler: Handler) -> None:
        self._handler = _timed(handler)
        self._closed = False

    async def send(self, path: str, body: bytes, timeout_s: float | None = None) -> Answer:
        """What the handler answers."""
        if self._closed:
            return CLOSED
        answer = self._handler(path, body, timeout_s)
        return await answer if inspect.isawaitable(answer) else answer

    async def stream(self, path: str, body: bytes, listener: Listener, timeout_s: float | None = None) -> Answer:
        """What the handler answers; `listener` hears its events, if it has any."""
        answer = await self.send(path, body, timeout_s)
        if isinstance(answer, Failure) or not 200 <= answer.status < 300:
            return answer
        reading = Reading(listener, answer.header("content-type"), len(answer.body))
        reading.take(answer.body)
        reading.end()
        return HttpResponse(answer.status, reading.body, answer.header)

    async def get(self, path: str) -> Answer:
        """What the handler answers to an empty body."""
        return await self.send(path, b"")

    async def aclose(self) -> None:
        """Refuse every further call."""
        self._closed = True


def respond(status: int = 200, body: bytes = b"", headers: Mapping[str, str] | None = None) -> HttpResponse:
    """A complete response; its headers are found whatever their case."""
    lowered = {name.lower(): value for name, value in (headers or {}).items()}
    return HttpResponse(status, body, lambda name: lowered.get(name.lower()))


def _timed(handler: Handler) -> TimedHandler:
    if len(inspect.signature(handler).parameters) > 2:
        return cast(TimedHandler, handler)
    plain = cast(PlainHandler, handler)
    return lambda path, body, timeout_s: plain(path, body)
