"""Proxies from the environment, tried with a small proxy on a socket."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

import pytest

from penstock.models import Failure, Fault, HttpResponse
from penstock.transport.http import HttpTransport

if TYPE_CHECKING:
    from tests.transport.conftest import Script, Serving, Settings, Tls, Wire

HOST = "api.example"
"""A name that only the proxy knows: an answer proves that the call went through it."""


async def _answer(wire: Wire) -> None:
    await wire.answer()


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while data := await source.read(65536):
        target.write(data)
        await target.drain()


async def _tunnel(wire: Wire) -> None:
    port = int((await wire.request()).split()[1].rpartition(b":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await wire.send(b"HTTP/1.1 200 OK\r\n\r\n")
    try:
        await asyncio.gather(_copy(wire.reader, writer), _copy(reader, wire.writer))
    finally:
        writer.transport.abort()


async def _refuse(wire: Wire) -> None:
    await wire.answer(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n")


async def _want_password(wire: Wire) -> None:
    await wire.answer(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")


async def _hang_up(wire: Wire) -> None:
    await wire.request()


async def _stall(wire: Wire) -> None:
    await wire.request()
    await wire.until_closed()


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_plain_http_goes_through_the_proxy(
    serving: Serving, settings: Settings, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """A plain URL is asked of the proxy in its absolute form."""

    async def run() -> None:
        async with serving(_answer) as proxy:
            monkeypatch.setenv(variable, f"http://127.0.0.1:{proxy.port}")
            async with aclosing(HttpTransport(settings(80, host=HOST))) as transport:
                assert isinstance(await transport.send("chat/completions", b"{}"), HttpResponse)
            assert proxy.requests[0].startswith(b"POST http://api.example/v1/chat/completions HTTP/1.1\r\n")

    asyncio.run(run())


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_https_goes_through_a_tunnel_that_does_not_see_the_key(
    serving: Serving, settings: Settings, tls: Tls, ca_file: str, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """A TLS connection is tunnelled: the proxy learns host and port, never the request."""

    async def run() -> None:
        async with serving(_answer, tls(HOST)) as server, serving(_tunnel) as proxy:
            monkeypatch.setenv(variable, f"http://user:password@127.0.0.1:{proxy.port}")
            target = settings(server.port, scheme="https", host=HOST, ca_file=ca_file)
            async with aclosing(HttpTransport(target)) as transport:
                assert isinstance(await transport.send("chat/completions", b"{}"), HttpResponse)
            assert len(server.requests) == 1
            assert proxy.requests[0].startswith(b"CONNECT api.example:%d HTTP/1.1\r\n" % server.port)
            assert b"do-not-show-me" not in proxy.requests[0]

    asyncio.run(run())


def test_no_proxy_goes_around_it(serving: Serving, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hosts in NO_PROXY are called directly."""

    async def run() -> None:
        async with serving(_answer) as server, serving(_answer) as proxy:
            monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
            monkeypatch.setenv("NO_PROXY", "127.0.0.1")
            async with aclosing(HttpTransport(settings(server.port))) as transport:
                await transport.send("chat/completions", b"{}")
            assert (len(server.requests), proxy.connections) == (1, 0)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("script", "code", "limits"),
    [
        (_refuse, "proxy", {}),
        (_want_password, "proxy", {}),
        (_hang_up, "proxy", {}),
        (_stall, "connect_timeout", {"connect_timeout_s": 0.3}),
    ],
)
def test_a_proxy_that_makes_no_tunnel_leaves_the_request_unsent(
    serving: Serving,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    script: Script,
    code: str,
    limits: dict[str, float],
) -> None:
    """Without a tunnel nothing reached the provider."""

    async def run() -> None:
        async with serving(script) as proxy:
            monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
            async with aclosing(HttpTransport(settings(443, scheme="https", host=HOST, **limits))) as transport:
                failure = await transport.send("chat/completions", b"{}")
            assert isinstance(failure, Failure)
            assert (failure.fault, failure.code) == (Fault.UNSENT, code)
            assert b"do-not-show-me" not in b"".join(proxy.requests)

    asyncio.run(run())


@pytest.mark.parametrize("scheme", ["http", "socks5", "socks5h"])
def test_a_proxy_that_is_not_there_is_named_as_the_proxy(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    """A proxy that refuses the connection is not taken for the provider, nor gone around."""
    monkeypatch.setenv("HTTPS_PROXY", f"{scheme}://127.0.0.1:9")

    async def run() -> None:
        async with aclosing(HttpTransport(settings(443, scheme="https", host=HOST))) as transport:
            failure = await transport.send("chat/completions", b"{}")
        assert isinstance(failure, Failure)
        assert (failure.fault, failure.code) == (Fault.UNSENT, "proxy")

    asyncio.run(run())
