"""The transport over HTTP/1.1: one pool of connections to one endpoint.

Deadlines are the HTTP client's own: they close the connection. Cancelling the task that awaits a call closes it only
once the head of the answer has come. Cancelled or given up by `aclose` before that, a call goes on at the server until
its time-out or the end of this process.
"""

import time
from collections.abc import Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any

from pyreqwest.bytes import Bytes
from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import BuilderError, PyreqwestError
from pyreqwest.http import Url
from pyreqwest.request import RequestBody, StreamRequest
from pyreqwest.response import Response

from penstock.clock import SystemClock
from penstock.errors import UsageError
from penstock.models import Failure, HttpResponse
from penstock.transport.progress import Watch, refuse_cancelled
from penstock.transport.protocol import Listener
from penstock.transport.settings import TransportSettings
from penstock.transport.streaming import read_stream
from penstock.transport.translate import CLOSED, given_up, header_of, stalled, too_large, translate
from penstock.version import __version__

POOL_IDLE_S = 4.0
"""Below the 5 s after which uvicorn and node close an idle connection: a request sent into one is ambiguous."""
KEEP_ALIVE_PROBE_S = 30.0
"""TCP probes keep a NAT from forgetting a connection that waits minutes for its answer."""
READ_AHEAD_BYTES = 16_384
"""So much of a body is read ahead where answers are brisk: head and body then come in one step."""
GAP_MEMORY = 0.02
FIRST_GAP_S = 1.0
"""Taken for the mean at first: it takes some three hundred calls in a row to show that there are many."""


class HttpTransport:
    """Calls one endpoint over pyreqwest. TLS is verified, redirects are not followed, proxies are the environment's.

    Raises `UsageError` for a base URL, key, header or `ca_file` that cannot be used.
    """

    def __init__(self, settings: TransportSettings) -> None:
        self._settings = settings
        self._base_url = settings.base_url.rstrip("/")
        self._client: Client | None = _build_client(settings)
        self._watch = Watch(settings.min_progress_bytes, settings.progress_window_s, SystemClock())
        self._most = settings.max_response_bytes
        self._templates: dict[tuple[str, bool], StreamRequest] = {}
        self._gap_s = FIRST_GAP_S
        self._ended_s = time.monotonic()

    def send(
        self, path: str, body: bytes, timeout_s: float | None = None
    ) -> Coroutine[Any, Any, HttpResponse | Failure]:
        """POST `body` to `path` below the base URL and read the whole response, whatever its status.

        The deadline is `timeout_s`, or the settings' where that is longer: connecting must end before it. An answer
        that has begun must go on coming, as `transport.progress` has it; see `TransportSettings.brisk_gap_s` for
        that come so fast that they are not watched.
        """
        return self._exchange("POST", path, body, timeout_s)

    def stream(
        self, path: str, body: bytes, listener: Listener, timeout_s: float | None = None
    ) -> Coroutine[Any, Any, HttpResponse | Failure]:
        """POST as `send` does; `listener` hears the events of a 2xx response as they come."""
        return self._exchange("POST", path, body, timeout_s, listener)

    async def get(self, path: str) -> HttpResponse | Failure:
        """GET `path` below the base URL."""
        return await self._exchange("GET", path)

    async def aclose(self) -> None:
        """Close every idle connection and give up the calls in flight. Safe to call twice."""
        client, self._client = self._client, None
        self._templates.clear()
        self._watch.stop_all()
        if client is not None:
            await client.close()

    async def _exchange(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        timeout_s: float | None = None,
        listener: Listener | None = None,
    ) -> HttpResponse | Failure:
        if (client := self._client) is None:
            return CLOSED
        started_s = time.monotonic()
        limit_s = self._settings.timeout_s
        brisk = listener is None and self._gap_s < self._settings.brisk_gap_s
        try:
            if body is None or (timeout_s is not None and timeout_s > limit_s):
                limit_s = max(limit_s, timeout_s or 0.0)
                request = self._build(client, method, path, brisk, limit_s)
            else:
                request = self._copy(client, path, brisk)
            if body is not None:
                request.body = RequestBody.from_bytes(body)
            async with request as response:
                if listener is not None and 200 <= response.status < 300:
                    heard = await read_stream(response, self._watch, self._settings, listener)
                    return heard or self._stopped(response.status)
                begun = await response.body_reader.read(READ_AHEAD_BYTES) if brisk else None
                if brisk and (begun is None or len(begun) < READ_AHEAD_BYTES):
                    refuse_cancelled()  # the HTTP client loses a cancellation that meets an answer
                    return self._whole(response, bytes(begun or b""))
                return await self._read(response, begun)
        except (PyreqwestError, ValueError) as error:
            return translate(error, self._settings, time.monotonic() - started_s, limit_s)
        finally:
            now_s = time.monotonic()
            self._gap_s += GAP_MEMORY * (now_s - self._ended_s - self._gap_s)
            self._ended_s = now_s

    def _copy(self, client: Client, path: str, brisk: bool) -> StreamRequest:
        """A request to a path that was asked before is a copy: its URL is read only once."""
        template = self._templates.get((path, brisk))
        if template is None:
            template = self._templates[path, brisk] = self._build(client, "POST", path, brisk, None)
        return template.copy()

    def _build(self, client: Client, method: str, path: str, brisk: bool, limit_s: float | None) -> StreamRequest:
        request = client.request(method, f"{self._base_url}/{path.lstrip('/')}")
        if limit_s is not None:
            request = request.timeout(timedelta(seconds=limit_s))
        return request.streamed_read_buffer_limit(READ_AHEAD_BYTES if brisk else 0).build_streamed()

    async def _read(self, response: Response, begun: Bytes | None) -> HttpResponse | Failure:
        """The response with the rest of its body, decompressed, while it goes on coming."""
        reader = response.body_reader
        announced = _announced(response)
        with self._watch.begin() as body:
            if begun is not None:
                body.take(begun)
            while (
                body.size <= self._most and body.size != announced and (part := await reader.read_chunk()) is not None
            ):
                body.take(part)
            return self._whole(response, b"".join(body.parts))
        return self._stopped(response.status)

    def _stopped(self, status: int) -> Failure:
        """Why the watch has given a body up."""
        return given_up(self._settings) if self._client is None else stalled(self._settings, status)

    def _whole(self, response: Response, body: bytes) -> HttpResponse | Failure:
        """What is larger than allowed is no answer, whatever length was announced."""
        if len(body) > self._most:
            return too_large(self._settings, response.status)
        return HttpResponse(response.status, body, header_of(response))


def _announced(response: Response) -> int | None:
    """The length of the body, where it ends after so many bytes and not after a last chunk."""
    if response.get_header("transfer-encoding") is not None:
        return None
    length = response.get_header("content-length")
    return int(length) if length is not None and length.isdecimal() else None


def _build_client(settings: TransportSettings) -> Client:
    _check_url(settings.base_url)
    builder = (
        ClientBuilder()
        .http1_only()
        .follow_redirects(False)
        .timeout(timedelta(seconds=settings.timeout_s))
        .connect_timeout(timedelta(seconds=settings.effective_connect_timeout_s))
        .pool_max_idle_per_host(settings.concurrency)
        .pool_idle_timeout(timedelta(seconds=POOL_IDLE_S))
        .tcp_keepalive(timedelta(seconds=KEEP_ALIVE_PROBE_S))
    )
    if settings.idle_timeout_s is not None:
        builder = builder.read_timeout(timedelta(seconds=settings.idle_timeout_s))
    builder = _with_headers(builder, settings)
    if settings.ca_file is not None:
        builder = builder.add_root_certificate_pem(_read_authorities(settings.ca_file))
    try:
        return builder.build()
    except BuilderError as error:
        raise _cannot_build(error, settings.ca_file) from None


def _check_url(base_url: str) -> None:
    try:
        valid = Url(base_url).scheme in ("http", "https")
    except ValueError:
        valid = False
    if not valid:
        raise UsageError(f"The base URL {base_url!r} is not a URL.", "It looks like https://api.openai.com/v1")


def _with_headers(builder: ClientBuilder, settings: TransportSettings) -> ClientBuilder:
    headers = {
        "content-type": "application/json",
        "accept": "application/json",
        "user-agent": f"penstock/{__version__}",
    }
    if settings.api_key is not None:
        headers["authorization"] = f"Bearer {settings.api_key.reveal()}"
    headers |= {name.lower(): value for name, value in settings.headers.items()}
    try:
        return builder.default_headers(headers)
    except ValueError:  # its message holds the header's value: the key
        raise UsageError(
            "The API key or a header holds a character that cannot be sent.",
            "Look for a line break or invisible characters in it.",
        ) from None


def _read_authorities(ca_file: str) -> bytes:
    try:
        pem = Path(ca_file).read_bytes()
    except OSError as error:
        raise UsageError(f"The CA file {ca_file} cannot be read: {error.strerror}.") from None
    if b"-----BEGIN CERTIFICATE-----" not in pem:
        raise UsageError(f"The CA file {ca_file} holds no PEM certificate.")
    return pem


def _cannot_build(error: BuilderError, ca_file: str | None) -> UsageError:
    reason = (error.details["causes"] or [{"message": error.message}])[-1]["message"]
    if ca_file is not None:
        return UsageError(f"The CA file {ca_file} cannot be used: {reason}.")
    return UsageError(f"TLS cannot be set up: {reason}.", "Install the system's ca-certificates, or give --ca-file.")
