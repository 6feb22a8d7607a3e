"""Connections over their life: what is sent, kept, closed, cancelled."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

import pytest

from penstock import __version__
from penstock.models import Failure, Fault, HttpResponse
from penstock.transport.http import HttpTransport

if TYPE_CHECKING:
    from tests.transport.conftest import Exchange, Serving, Settings, Wire

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"


async def _answer_always(wire: Wire) -> None:
    while True:
        await wire.answer()


async def _stall(wire: Wire) -> None:
    await wire.request()
    await wire.until_closed()


def test_what_a_request_looks_like(exchange: Exchange) -> None:
    """A POST below the base URL with the key, JSON both ways, this program's name and the body as it is."""
    _, server = exchange(_answer_always)
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    lines = head.decode().lower().split("\r\n")
    assert lines[0] == "post /v1/chat/completions http/1.1"
    assert {
        "authorization: bearer sk-do-not-show-me-123456",
        "content-type: application/json",
        "accept: application/json",
        f"user-agent: penstock/{__version__}",
    } <= set(lines)
    assert body == b'{"model":"m"}'


def test_own_headers_win(exchange: Exchange) -> None:
    """A header from the settings replaces the usual one, whatever its case."""
    _, server = exchange(_answer_always, headers={"Authorization": "Token t", "X-Team": "a"})
    lines = server.requests[0].decode().lower().split("\r\n")
    assert {"authorization: token t", "x-team: a"} <= set(lines)
    assert not any("bearer" in line for line in lines)


def test_a_redirect_is_not_followed(serving: Serving, settings: Settings) -> None:
    """A redirect is the answer; the place it names gets neither request nor key."""

    async def run() -> None:
        async with serving(_answer_always) as elsewhere:
            location = b"location: http://127.0.0.1:%d/\r\n" % elsewhere.port

            async def redirect(wire: Wire) -> None:
                await wire.answer(b"HTTP/1.1 307 Temporary Redirect\r\n" + location + b"content-length: 0\r\n\r\n")

            async with (
                serving(redirect) as server,
                aclosing(HttpTransport(settings(server.port))) as transport,
            ):
                response = await transport.send("chat/completions", b"{}")
            assert isinstance(response, HttpResponse)
            assert response.status == 307
            assert (len(server.requests), elsewhere.connections) == (1, 0)

    asyncio.run(run())


def test_a_header_that_is_not_ascii_counts_as_absent(exchange: Exchange) -> None:
    """A header that cannot be decoded does not break reading the others."""

    async def script(wire: Wire) -> None:
        await wire.answer("HTTP/1.1 200 OK\r\nx-note: 好\r\nx-id: 7\r\ncontent-length: 0\r\n\r\n".encode())

    response, _ = exchange(script)
    assert isinstance(response, HttpResponse)
    assert (response.header("x-note"), response.header("X-Id")) == (None, "7")


def test_a_large_request_arrives_whole(serving: Serving, settings: Settings) -> None:
    """Two megabytes of body arrive byte for byte."""
    body = bytes(range(256)) * 8192

    async def run() -> None:
        async with (
            serving(_answer_always) as server,
            aclosing(HttpTransport(settings(server.port))) as transport,
        ):
            assert isinstance(await transport.send("chat/completions", body), HttpResponse)
        assert server.requests[0].endswith(body)

    asyncio.run(run())


def test_a_connection_is_kept_and_used_again(serving: Serving, settings: Settings) -> None:
    """Calls one after another share a connection."""

    async def run() -> None:
        async with (
            serving(_answer_always) as server,
            aclosing(HttpTransport(settings(server.port))) as transport,
        ):
            for _ in range(5):
                await transport.send("chat/completions", b"{}")
        assert (server.connections, len(server.requests)) == (1, 5)

    asyncio.run(run())


def test_a_kept_connection_that_the_server_closed_is_replaced(serving: Serving, settings: Settings) -> None:
    """Once the client has seen the goodbye of a kept connection, the next call opens another."""

    async def answer_once(wire: Wire) -> None:
        await wire.answer()
        wire.writer.write_eof()
        await wire.until_closed()

    async def run() -> None:
        async with (
            serving(answer_once) as server,
            aclosing(HttpTransport(settings(server.port))) as transport,
        ):
            await transport.send("chat/completions", b"{}")
            await server.client_closed.wait()
            assert isinstance(await transport.send("chat/completions", b"{}"), HttpResponse)
        assert (server.connections, len(server.requests)) == (2, 2)

    asyncio.run(run())


@pytest.mark.parametrize("end", ["close", "reset"])
def test_a_kept_connection_that_ends_under_a_request_is_ambiguous(
    serving: Serving, settings: Settings, end: str
) -> None:
    """A second request that met the end of its connection is not sent again: nobody knows how much was read."""

    async def answer_then_end(wire: Wire) -> None:
        await wire.answer()
        await wire.reader.readexactly(1)
        wire.reset() if end == "reset" else wire.writer.close()

    async def run() -> None:
        async with (
            serving(answer_then_end) as server,
            aclosing(HttpTransport(settings(server.port))) as transport,
        ):
            await transport.send("chat/completions", b"{}")
            failure = await transport.send("chat/completions", b"{}")
        assert isinstance(failure, Failure)
        assert (failure.fault, failure.code) == (Fault.AMBIGUOUS, "reset")
        assert (server.connections, len(server.requests)) == (1, 1)

    asyncio.run(run())


def test_closing_gives_up_calls_in_flight_as_ambiguous(serving: Serving, settings: Settings) -> None:
    """`aclose` ends a waiting call at once; its connection closes by the time-out at the latest."""

    async def run() -> None:
        async with serving(_stall) as server:
            transport = HttpTransport(settings(server.port, timeout_s=0.5))
            call = asyncio.create_task(transport.send("chat/completions", b"{}"))
            await server.got_request.wait()
            await transport.aclose()
            failure = await call
            assert isinstance(failure, Failure)
            assert (failure.fault, failure.code) == (Fault.AMBIGUOUS, "cancelled")
            await server.client_closed.wait()

    asyncio.run(run())


def test_a_cancelled_call_closes_by_its_timeout(serving: Serving, settings: Settings) -> None:
    """Cancelling the awaiting task ends the wait at once and the connection by the time-out at the latest."""

    async def run() -> None:
        async with (
            serving(_stall) as server,
            aclosing(HttpTransport(settings(server.port, timeout_s=0.5))) as transport,
        ):
            call = asyncio.create_task(transport.send("chat/completions", b"{}"))
            await server.got_request.wait()
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await server.client_closed.wait()

    asyncio.run(run())


async def _answer_half(wire: Wire) -> None:
    """More than any buffer holds, so that the client has begun to read when it was written."""
    await wire.request()
    await wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: 30000000\r\n\r\n" + b"a" * 20_000_000)
    wire.server.half_sent.set()
    await wire.until_closed()


@pytest.mark.parametrize("end", ["aclose", "cancel"])
def test_an_answer_that_is_being_read_is_closed_at_once(serving: Serving, settings: Settings, end: str) -> None:
    """Closing the transport, or cancelling the call, ends a call whose answer has begun, and its connection."""

    async def run() -> None:
        async with serving(_answer_half) as server:
            transport = HttpTransport(settings(server.port, timeout_s=60.0, max_response_bytes=40_000_000))
            call = asyncio.create_task(transport.send("chat/completions", b"{}"))
            await server.half_sent.wait()
            if end == "aclose":
                await transport.aclose()
                failure = await call
                assert isinstance(failure, Failure)
                assert (failure.fault, failure.code) == (Fault.AMBIGUOUS, "cancelled")
            else:
                call.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await call
            async with asyncio.timeout(10):
                await server.client_closed.wait()
            await transport.aclose()

    asyncio.run(run())


def test_no_cancellation_is_lost(serving: Serving, settings: Settings) -> None:
    """At whatever moment a call is cancelled, also while its answer comes: it ends as cancelled, not as answered."""

    async def run() -> None:
        async with (
            serving(_answer_always) as server,
            aclosing(HttpTransport(settings(server.port))) as transport,
        ):
            for turns in range(150):
                call = asyncio.create_task(transport.send("chat/completions", b"{}"))
                for _ in range(turns):
                    await asyncio.sleep(0)
                if call.cancel():
                    await asyncio.wait([call])
                    assert call.cancelled()

    asyncio.run(run())


async def _answer_when_allowed(wire: Wire) -> None:
    """Answers no request but one that says "wait", and that one once the server is told to."""
    if b"wait" in await wire.request():
        await wire.server.may_answer.wait()
        await wire.send(OK)
    await wire.until_closed()


def test_a_call_may_have_a_longer_deadline(serving: Serving, settings: Settings) -> None:
    """A call with a deadline of its own is still waiting when another, begun later, has run out of the usual one."""

    async def run() -> None:
        async with (
            serving(_answer_when_allowed) as server,
            aclosing(HttpTransport(settings(server.port, timeout_s=0.2))) as transport,
        ):
            patient = asyncio.create_task(transport.send("chat/completions", b'"wait"', 60.0))
            await server.got_request.wait()
            failure = await transport.send("chat/completions", b"{}")
            assert isinstance(failure, Failure)
            assert failure.code == "timeout"
            server.may_answer.set()
            assert isinstance(await patient, HttpResponse)

    asyncio.run(run())


@pytest.mark.parametrize(("timeout_s", "said"), [(0.3, "within 0.3 s"), (0.01, "within 0.2 s"), (None, "within 0.2 s")])
def test_the_deadline_that_struck_is_named(
    serving: Serving, settings: Settings, timeout_s: float | None, said: str
) -> None:
    """The longer of the call's own deadline and the usual one counts, since connecting has to end before it."""

    async def run() -> None:
        async with (
            serving(_stall) as server,
            aclosing(HttpTransport(settings(server.port, timeout_s=0.2, idle_timeout_s=60.0))) as transport,
        ):
            failure = await transport.send("chat/completions", b"{}", timeout_s)
        assert isinstance(failure, Failure)
        assert (failure.fault, failure.code) == (Fault.AMBIGUOUS, "timeout")
        assert failure.message.endswith(said)

    asyncio.run(run())


def test_closing_closes_idle_connections(serving: Serving, settings: Settings) -> None:
    """After `aclose` the server sees its kept connection end."""

    async def answer_and_wait(wire: Wire) -> None:
        await wire.answer()
        await wire.until_closed()

    async def run() -> None:
        async with serving(answer_and_wait) as server:
            transport = HttpTransport(settings(server.port))
            await transport.send("chat/completions", b"{}")
            await transport.aclose()
            async with asyncio.timeout(2):
                await server.client_closed.wait()

    asyncio.run(run())
