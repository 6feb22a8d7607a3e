"""A server whose every byte a test writes itself, and what it saw of the requests."""

import asyncio
import math
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest
import trustme

from penstock.models import Failure, HttpResponse
from penstock.redaction import Secret
from penstock.transport.http import HttpTransport
from penstock.transport.settings import TransportSettings

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
PATIENCE_S = 10


class RawServer:
    """What a scripted port saw: `requests` has those that arrived whole, `client_closed` that a connection ended.

    `half_sent` and `may_answer` are for scripts and tests to wait for each other.
    """

    def __init__(self) -> None:
        self.port = 0
        self.connections = 0
        self.requests: list[bytes] = []
        self.got_request = asyncio.Event()
        self.client_closed = asyncio.Event()
        self.half_sent = asyncio.Event()
        self.may_answer = asyncio.Event()


class Wire:
    """One accepted connection, from the server's side."""

    def __init__(self, server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.server = server
        self.reader = reader
        self.writer = writer

    async def request(self) -> bytes:
        """Read one whole request, note it, and return its head and body."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        body = await self.reader.readexactly(_content_length(head))
        self.server.requests.append(head + body)
        self.server.got_request.set()
        return head + body

    async def send(self, data: bytes) -> None:
        """Write, and wait until the operating system has it."""
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, data: bytes = OK) -> None:
        """Read one request and answer it with these bytes."""
        await self.request()
        await self.send(data)

    async def until_closed(self) -> None:
        """Wait until the client has closed the connection."""
        while await self.reader.read(65536):
            pass
        self.server.client_closed.set()

    def reset(self) -> None:
        """Close with a TCP reset instead of a goodbye."""
        raw = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Script = Callable[[Wire], Awaitable[None]]
Settings = Callable[..., TransportSettings]
Tls = Callable[..., ssl.SSLContext]


class Exchange(Protocol):
    """Send one request to a port on which `script` plays."""

    def __call__(
        self, script: Script, *, tls: ssl.SSLContext | None = None, wait_closed: bool = False, **settings: Any
    ) -> tuple[HttpResponse | Failure, RawServer]:
        """The outcome, and what the server saw; with `wait_closed`, once the client has closed the connection."""
        ...


@asynccontextmanager
async def _serving(script: Script, tls: ssl.SSLContext | None = None) -> AsyncIterator[RawServer]:
    server = RawServer()
    plays: list[asyncio.Task[None]] = []
    writers: list[asyncio.StreamWriter] = []

    async def play(wire: Wire) -> None:
        try:
            await script(wire)
        except (ConnectionError, asyncio.IncompleteReadError):
            server.client_closed.set()
        finally:
            wire.writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        writers.append(writer)
        plays.append(asyncio.create_task(play(Wire(server, reader, writer))))

    listener = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        for running in plays:
            running.cancel()
        ends = await asyncio.gather(*plays, return_exceptions=True)
        for writer in writers:
            writer.transport.abort()
        await asyncio.gather(*(writer.wait_closed() for writer in writers), return_exceptions=True)
    for end in ends:
        if isinstance(end, Exception):
            raise end


Serving = Callable[..., Any]


@pytest.fixture
def serving() -> Serving:
    """`async with serving(script, tls) as server`: the script plays for each connection."""
    return _serving


@pytest.fixture(params=[0.0, math.inf], ids=["watched", "brisk"])
def settings(request: pytest.FixtureRequest) -> Settings:
    """Settings for a local port, with short time-outs; answers are watched, or taken to be brisk."""

    def make(port: int = 9, *, scheme: str = "http", host: str = "127.0.0.1", **others: Any) -> TransportSettings:
        defaults: dict[str, Any] = {
            "base_url": f"{scheme}://{host}:{port}/v1",
            "api_key": Secret("sk-do-not-show-me-123456"),
            "timeout_s": 5.0,
            "connect_timeout_s": 2.0,
            "max_response_bytes": 1_000_000,
            "concurrency": 10,
            "brisk_gap_s": request.param,
        }
        return TransportSettings(**(defaults | others))

    return make


@pytest.fixture
def exchange(settings: Settings) -> Exchange:
    """Send one request to a scripted port."""

    async def run(
        script: Script, tls: ssl.SSLContext | None, wait_closed: bool, others: dict[str, Any]
    ) -> tuple[HttpResponse | Failure, RawServer]:
        async with (
            asyncio.timeout(PATIENCE_S),
            _serving(script, tls) as server,
            aclosing(HttpTransport(settings(server.port, **others))) as transport,
        ):
            outcome = await transport.send("chat/completions", b'{"model":"m"}')
            if wait_closed:
                await server.client_closed.wait()
            return outcome, server

    def send_one(
        script: Script, *, tls: ssl.SSLContext | None = None, wait_closed: bool = False, **others: Any
    ) -> tuple[HttpResponse | Failure, RawServer]:
        return asyncio.run(run(script, tls, wait_closed, others))

    return send_one


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """A private certificate authority."""
    return trustme.CA()


@pytest.fixture(scope="session")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The authority's certificate, after another one in the same file."""
    path: Path = tmp_path_factory.mktemp("tls") / "ca.pem"
    path.write_bytes(trustme.CA().cert_pem.bytes() + authority.cert_pem.bytes())
    return str(path)


@pytest.fixture
def tls(authority: trustme.CA) -> Tls:
    """Make a server's TLS context, by default with a certificate for 127.0.0.1."""

    def make(name: str = "127.0.0.1", **others: Any) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name, **others).configure_cert(context)
        return context

    return make


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep this machine's own proxies out of the tests."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUEST_METHOD"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def _content_length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.split(b":")[1])
    return 0
