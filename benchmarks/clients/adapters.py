"""The HTTP clients that could stand behind Penstock's transport, each as one function: post a body, read the answer."""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

HEADERS = {"content-type": "application/json"}

Post = Callable[[str, bytes], Awaitable[tuple[int, bytes]]]
"""URL and body to status and body."""


class Setting(NamedTuple):
    """How a client is opened: connections to hold, an authority to trust besides, and its three limits of time."""

    concurrency: int
    ca_file: str | None = None
    total_s: float = 120.0
    connect_s: float = 10.0
    read_s: float = 120.0

    @property
    def authority(self) -> bytes | None:
        """The certificate of that authority."""
        return Path(self.ca_file).read_bytes() if self.ca_file else None

    @property
    def limits(self) -> tuple[timedelta, timedelta, timedelta]:
        """Of the whole call, of connecting, of one read."""
        return timedelta(seconds=self.total_s), timedelta(seconds=self.connect_s), timedelta(seconds=self.read_s)


@asynccontextmanager
async def pyreqwest(setting: Setting) -> AsyncIterator[Post]:
    """reqwest and rustls."""
    from pyreqwest.client import ClientBuilder

    total, connect, read = setting.limits
    builder = ClientBuilder().http1_only().timeout(total).connect_timeout(connect).read_timeout(read)
    builder = builder.pool_max_idle_per_host(setting.concurrency).default_headers(HEADERS)
    if setting.authority:
        builder = builder.add_root_certificate_pem(setting.authority)
    async with builder.build() as client:

        async def post(url: str, body: bytes) -> tuple[int, bytes]:
            response = await client.post(url).body_bytes(body).build().send()
            return response.status, bytes(await response.bytes())

        yield post


@asynccontextmanager
async def wreq(setting: Setting) -> AsyncIterator[Post]:
    """Forks of hyper and BoringSSL's bindings."""
    import wreq as library

    total, connect, read = setting.limits
    trust: dict[str, Any] = {"tls_verify": Path(setting.ca_file)} if setting.ca_file else {}
    client = library.Client(
        http1_only=True,
        timeout=total,
        connect_timeout=connect,
        read_timeout=read,
        pool_max_idle_per_host=setting.concurrency,
        headers=HEADERS,
        **trust,
    )

    async def post(url: str, body: bytes) -> tuple[int, bytes]:
        response = await client.post(url, body=body)
        return response.status.as_int(), await response.bytes()

    yield post


@asynccontextmanager
async def pyqwest(setting: Setting) -> AsyncIterator[Post]:
    """reqwest and rustls, another way across to Python."""
    from pyqwest import Client, HTTPTransport, HTTPVersion

    transport = HTTPTransport(
        tls_ca_cert=setting.authority,
        tls_include_system_certs=not setting.ca_file,
        http_version=HTTPVersion.HTTP1,
        timeout=setting.total_s,
        connect_timeout=setting.connect_s,
        read_timeout=setting.read_s,
        pool_max_idle_per_host=setting.concurrency,
        enable_otel=False,
    )
    async with transport:
        client = Client(transport)

        async def post(url: str, body: bytes) -> tuple[int, bytes]:
            response = await client.post(url, headers=HEADERS, content=body)
            return response.status, response.content

        yield post


@asynccontextmanager
async def aiohttp(setting: Setting) -> AsyncIterator[Post]:
    """C parser under Python."""
    from aiohttp import ClientSession, ClientTimeout, TCPConnector

    trust = ssl.create_default_context(cafile=setting.ca_file) if setting.ca_file else True
    connector = TCPConnector(limit=setting.concurrency, ssl=trust)
    limit = ClientTimeout(total=setting.total_s, sock_connect=setting.connect_s, sock_read=setting.read_s)
    async with ClientSession(connector=connector, headers=HEADERS, timeout=limit) as session:

        async def post(url: str, body: bytes) -> tuple[int, bytes]:
            async with session.post(url, data=body) as response:
                return response.status, await response.read()

        yield post


CLIENTS: dict[str, Callable[[Setting], AbstractAsyncContextManager[Post]]] = {
    "pyreqwest": pyreqwest,
    "wreq": wreq,
    "pyqwest": pyqwest,
    "aiohttp": aiohttp,
}
