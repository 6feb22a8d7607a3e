"""Reading an answer that is streamed: each event goes to a listener as soon as its last byte is here.

What answers a request for a stream may be no stream: a page of a proxy, or the whole answer from a provider that does
not stream. The first bytes tell, since some send events under the wrong content type and others the reverse.
"""

import asyncio
import time
from contextlib import suppress

from pyreqwest.bytes import Bytes
from pyreqwest.exceptions import PyreqwestError
from pyreqwest.response import Response, ResponseBodyReader

from penstock.models import Failure, HttpResponse
from penstock.transport.progress import Body, Watch
from penstock.transport.protocol import Listener
from penstock.transport.settings import TransportSettings
from penstock.transport.sse import Event, EventParser, EventTooLarge
from penstock.transport.translate import header_of, too_large

KEPT_BYTES = 2_048
"""As much of the beginning of a stream is kept, for a person."""
GOODBYE_S = 1.0
"""After the last event the connection serves again only if the stream ends within this time."""

_EVENT_STREAM = "text/event-stream"
_FIELDS = (b"data:", b"event:", b"id:", b"retry:", b":")
_MARK = b"\xef\xbb\xbf"
_OTHER = (b"{", b"[", b"<", b'"')


class Reading:
    """A 2xx body as it comes, its events for `listener`. `ended` says that the last one has come."""

    def __init__(self, listener: Listener, content_type: str | None, max_event_bytes: int) -> None:
        self.listener = listener
        self.ended = False
        self._parser: EventParser | None = None
        self._is_announced = (content_type or "").strip().lower().startswith(_EVENT_STREAM)
        self._max_event_bytes = max_event_bytes
        self._undecided: bytes | None = b""
        self._parts: list[bytes] = []
        self._kept_bytes = 0

    @property
    def body(self) -> bytes:
        """The whole of it where it is no stream of events, and the beginning of one that is."""
        return b"".join(self._parts) + (self._undecided or b"")

    @property
    def said(self) -> int | None:
        """How many bytes that are no comments have come; None where it is no stream of events, so far as is known."""
        if self._parser is None:
            return 0 if self._is_announced and self._undecided is not None else None
        return self._parser.said

    def take(self, part: bytes) -> None:
        """The next bytes. Raises `EventTooLarge`."""
        if self._undecided is not None:
            part = self._undecided + part
            kind = self._kind_of(part)
            self._undecided = part if kind is None else None
            if kind is None:
                return
            self._parser = EventParser(self._max_event_bytes) if kind else None
        if self._parser is None:
            self._parts.append(part)
            return
        if self._kept_bytes < KEPT_BYTES:
            self._parts.append(part[: KEPT_BYTES - self._kept_bytes])
            self._kept_bytes += len(self._parts[-1])
        self._hear(self._parser.feed(part))

    def end(self) -> None:
        """The body has ended in good order."""
        if self._parser is not None:
            self._hear(self._parser.end())

    def _kind_of(self, start: bytes) -> bool | None:
        """Whether these are events; None while that cannot be told."""
        shown = start.removeprefix(_MARK).lstrip()
        if not shown or _MARK.startswith(shown):
            return None
        if shown.startswith(_OTHER):
            return False
        if self._is_announced or shown.startswith(_FIELDS):
            return True
        return None if any(field.startswith(shown) for field in _FIELDS) else False

    def _hear(self, events: list[Event]) -> None:
        at_s = time.monotonic()
        for name, data in events:
            if not self.ended:
                self.ended = self.listener.hear(name, data, at_s)


class StreamBody(Body, eq=False, kw_only=True):
    """A body that may be a stream of events.

    The rule of progress holds for it only from one piece of the answer to the next: before the first, and where the
    model thinks unheard in between, silence says nothing, and neither do the comments that fill it. Where a piece is
    due, a window must bring one, and its least number of bytes in lines that are no comments.
    """

    reading: Reading
    judged_pieces: int = 0

    def take(self, part: Bytes) -> None:
        """The next part has come. Raises `EventTooLarge`."""
        if self.task.cancelling():
            raise asyncio.CancelledError
        self.size += len(part)
        self.reading.take(part.to_bytes())

    def advanced(self, min_bytes: int) -> bool:
        """Whether the window that ends now has brought enough; the next one begins."""
        if (said := self.reading.said) is None:
            if not self.began:
                self.parts = [Bytes(self.reading.body)]
            return super().advanced(min_bytes)
        listener = self.reading.listener
        came, went_on = said - self.judged_size, listener.pieces > self.judged_pieces
        was_due, self.began = self.began, listener.speaking
        self.judged_size, self.judged_pieces = said, listener.pieces
        return not (was_due and self.began) or (went_on and came >= min_bytes)


async def read_stream(
    response: Response, watch: Watch, settings: TransportSettings, listener: Listener
) -> HttpResponse | Failure | None:
    """The response, its events heard; None where the watch has given it up.

    Its body is the whole of it where it was no stream, and the beginning of one that was.
    """
    reader = response.body_reader
    header = header_of(response)
    reading = Reading(listener, header("content-type"), settings.max_response_bytes)
    with watch.begin(lambda *place: StreamBody(*place, reading=reading)) as body:
        try:
            while not reading.ended and (part := await reader.read_chunk()) is not None:
                body.take(part)
                if body.size > settings.max_response_bytes:
                    return too_large(settings, response.status)
            reading.end()
        except EventTooLarge:
            return too_large(settings, response.status)
        if reading.ended:
            await _see_off(reader)
        return HttpResponse(response.status, reading.body, header)
    return None


async def _see_off(reader: ResponseBodyReader) -> None:
    """Read what is left behind the last event, so that the connection can serve again. The answer is complete."""
    with suppress(PyreqwestError, TimeoutError):
        async with asyncio.timeout(GOODBYE_S):
            while await reader.read_chunk() is not None:
                pass
