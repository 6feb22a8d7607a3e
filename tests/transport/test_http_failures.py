"""What becomes of a call when the network or the server misbehaves, tried on real sockets.

Each test compares what the transport says with what the server saw: only a request that no server saw is `UNSENT`.
"""

from __future__ import annotations

import asyncio
import gzip
import resource
import socket
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import pytest

from penstock.models import Failure, Fault, HttpResponse
from penstock.transport.http import HttpTransport

if TYPE_CHECKING:
    from tests.transport.conftest import Exchange, Script, Serving, Settings, Wire

    from penstock.transport.settings import TransportSettings

HEAD_OF_100 = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


def send(settings: TransportSettings) -> HttpResponse | Failure:
    """Send one request where no server of ours listens."""

    async def run() -> HttpResponse | Failure:
        async with aclosing(HttpTransport(settings)) as transport:
            return await transport.send("chat/completions", b"{}")

    return asyncio.run(run())


def failure_of(outcome: HttpResponse | Failure) -> Failure:
    """The outcome, which must be a failure that does not show the key."""
    assert isinstance(outcome, Failure)
    assert "do-not-show-me" not in repr(outcome)
    return outcome


def test_refused_is_unsent(settings: Settings) -> None:
    """A port on which nobody listens never saw the request."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        failure = failure_of(send(settings(port)))
    expected = Failure(Fault.UNSENT, f"connection refused by 127.0.0.1:{port}", code="refused")
    assert failure == expected


def test_unknown_host_is_unsent(settings: Settings) -> None:
    """A name that cannot be looked up never got the request."""
    failure = failure_of(send(settings(base_url="https://api.exmple.invalid/v1")))
    assert (failure.fault, failure.code) == (Fault.UNSENT, "dns")
    assert "api.exmple.invalid" in failure.message


@pytest.mark.parametrize(
    "others",
    [
        {"connect_timeout_s": 0.3},
        {"connect_timeout_s": 30.0, "timeout_s": 0.4},
        {"connect_timeout_s": 30.0, "idle_timeout_s": 0.4},
    ],
)
def test_connect_timeout_is_unsent_whichever_limit_is_shortest(settings: Settings, others: dict[str, float]) -> None:
    """A host that takes no connections never saw the request, even where the total time-out is the shorter one."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        failure = failure_of(send(settings(full.getsockname()[1], **others)))
        for one in waiting:
            one.close()
    assert (failure.fault, failure.code) == (Fault.UNSENT, "connect_timeout")
    assert "within 0.3" in failure.message


def test_too_many_open_files_is_local(serving: Serving, settings: Settings) -> None:
    """Running out of open files is this machine's fault, and the message says how to mend it."""

    async def answer(wire: Wire) -> None:
        await wire.answer()

    async def run() -> HttpResponse | Failure:
        async with (
            serving(answer) as first,
            serving(answer) as second,
            aclosing(HttpTransport(settings(first.port))) as warm,
            aclosing(HttpTransport(settings(second.port))) as transport,
        ):
            await warm.send("x", b"{}")
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
            try:
                outcome: HttpResponse | Failure = await transport.send("x", b"{}")
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            assert second.connections == 0
            return outcome

    failure = failure_of(asyncio.run(run()))
    assert (failure.fault, failure.code) == (Fault.UNSENT, "too_many_files")
    assert "ulimit -n" in failure.message


async def _reset(wire: Wire) -> None:
    await wire.request()
    wire.reset()


async def _close(wire: Wire) -> None:
    await wire.request()


async def _reset_in_body(wire: Wire) -> None:
    await wire.answer(HEAD_OF_100 + b"abc")
    wire.reset()


async def _cut_body(wire: Wire) -> None:
    await wire.answer(HEAD_OF_100 + b"abc")


async def _cut_chunk(wire: Wire) -> None:
    await wire.answer(CHUNKED + b"5\r\nabcde\r\n")


async def _no_http(wire: Wire) -> None:
    await wire.answer(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")


async def _bad_chunk(wire: Wire) -> None:
    await wire.answer(CHUNKED + b"zz\r\nabcde\r\n")


async def _bad_gzip(wire: Wire) -> None:
    await wire.answer(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\nabcd")


async def _endless_head(wire: Wire) -> None:
    await wire.answer(b"HTTP/1.1 200 OK\r\nx-y: " + b"a" * 1_000_000 + b"\r\n\r\n")


async def _stall(wire: Wire) -> None:
    await wire.request()
    await wire.until_closed()


async def _stall_in_body(wire: Wire) -> None:
    await wire.answer(HEAD_OF_100 + b"abc")
    await wire.until_closed()


async def _drip(wire: Wire) -> None:
    await wire.answer(HEAD_OF_100)
    while True:
        await wire.send(b"a")
        await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("script", "code"),
    [
        (_reset, "reset"),
        (_close, "reset"),
        (_reset_in_body, "reset"),
        (_cut_body, "short_body"),
        (_cut_chunk, "short_body"),
        (_no_http, "garbage"),
        (_bad_chunk, "garbage"),
        (_bad_gzip, "garbage"),
        (_endless_head, "garbage"),
    ],
)
def test_a_broken_answer_is_ambiguous(exchange: Exchange, script: Script, code: str) -> None:
    """A server that read the request and broke off or talked nonsense may have billed it."""
    outcome, server = exchange(script)
    failure = failure_of(outcome)
    assert (failure.fault, failure.code) == (Fault.AMBIGUOUS, code)
    assert f"127.0.0.1:{server.port}" in failure.message
    assert len(server.requests) == 1


def test_a_reset_before_the_request_was_read_is_ambiguous(exchange: Exchange) -> None:
    """A reset says nothing of how much the server read, so it counts as read, even where it was not."""

    async def script(wire: Wire) -> None:
        await wire.reader.readexactly(1)
        wire.reset()

    outcome, server = exchange(script)
    failure = failure_of(outcome)
    assert (failure.fault, failure.code) == (Fault.AMBIGUOUS, "reset")
    assert server.requests == []


@pytest.mark.parametrize(
    ("script", "limits", "code"),
    [
        (_stall, {"timeout_s": 0.3}, "timeout"),
        (_stall_in_body, {"timeout_s": 0.3}, "timeout"),
        (_drip, {"timeout_s": 0.3}, "timeout"),
        (_drip, {"timeout_s": 0.3, "idle_timeout_s": 0.2}, "timeout"),
        (_stall, {"timeout_s": 0.3, "progress_window_s": 0.01}, "timeout"),
        (_stall, {"idle_timeout_s": 0.2}, "idle_timeout"),
        (_stall_in_body, {"idle_timeout_s": 0.2}, "idle_timeout"),
    ],
)
def test_a_timeout_after_sending_is_ambiguous_and_closes(
    exchange: Exchange, script: Script, limits: dict[str, Any], code: str
) -> None:
    """A server that has the request and stays silent, or drips, is given up, and sees the connection closed."""
    outcome, server = exchange(script, wait_closed=True, **limits)
    failure = failure_of(outcome)
    assert (failure.fault, failure.code) == (Fault.AMBIGUOUS, code)
    assert ("0.3 s" if code == "timeout" else "0.2 s") in failure.message
    assert len(server.requests) == 1


async def _stall_after_head(wire: Wire) -> None:
    await wire.answer(HEAD_OF_100)
    await wire.until_closed()


async def _stall_in_chunks(wire: Wire) -> None:
    await wire.answer(CHUNKED + b"5\r\nabcde\r\n")
    await wire.until_closed()


async def _drip_for_ever(wire: Wire) -> None:
    await wire.answer(CHUNKED)
    while True:
        await wire.send(b"1\r\na\r\n")
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("script", [_stall_after_head, _stall_in_body, _stall_in_chunks, _drip_for_ever])
def test_an_answer_without_progress_is_ambiguous_and_closes(exchange: Exchange, script: Script) -> None:
    """An answer that has begun and does not go on is given up long before its deadline."""
    outcome, server = exchange(script, wait_closed=True, timeout_s=60.0, progress_window_s=0.05, brisk_gap_s=0.0)
    failure = failure_of(outcome)
    assert (failure.fault, failure.code, failure.status) == (Fault.AMBIGUOUS, "stalled", 200)
    assert failure.message.endswith("came to a standstill: less than 256 bytes in 0.05 s")
    assert len(server.requests) == 1


async def _oversized(wire: Wire) -> None:
    await wire.answer(b"HTTP/1.1 200 OK\r\ncontent-length: 8000000\r\n\r\n" + b"a" * 8_000_000)
    await wire.until_closed()


async def _oversized_without_length(wire: Wire) -> None:
    await wire.answer(CHUNKED)
    while True:
        await wire.send(b"10000\r\n" + b"a" * 0x10000 + b"\r\n")


async def _oversized_with_false_length(wire: Wire) -> None:
    await wire.answer(CHUNKED.replace(b"\r\n\r\n", b"\r\ncontent-length: 2\r\n\r\n"))
    while True:
        await wire.send(b"10000\r\n" + b"a" * 0x10000 + b"\r\n")


async def _gzip_bomb(wire: Wire) -> None:
    bomb = gzip.compress(bytes(30_000_000))
    await wire.answer(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(bomb) + bomb)
    await wire.until_closed()


@pytest.mark.parametrize("script", [_oversized, _oversized_without_length, _oversized_with_false_length])
def test_an_oversized_answer_is_ambiguous_and_closes(exchange: Exchange, script: Script) -> None:
    """Reading stops at the limit, whatever length was announced, and the connection is closed."""
    outcome, server = exchange(script, wait_closed=True)
    failure = failure_of(outcome)
    assert (failure.fault, failure.code, failure.status) == (Fault.AMBIGUOUS, "response_too_large", 200)
    assert "1,000,000 bytes" in failure.message
    assert len(server.requests) == 1


def test_a_gzip_bomb_is_not_unpacked(exchange: Exchange) -> None:
    """The limit counts decompressed bytes."""
    outcome, server = exchange(_gzip_bomb)
    assert failure_of(outcome).code == "response_too_large"
    assert len(server.requests) == 1


def test_a_url_that_cannot_be_sent_rejects_the_task(serving: Serving, settings: Settings) -> None:
    """A path from a row that no request can carry fails that row, and no server sees it."""

    async def answer(wire: Wire) -> None:
        await wire.answer()

    async def run(path: str) -> Failure:
        async with (
            serving(answer) as server,
            aclosing(HttpTransport(settings(server.port))) as transport,
        ):
            failure = failure_of(await transport.send(path, b"{}"))
            assert server.connections == 0
            return failure

    for path in ("a" * 70_000, "\ud800"):
        failure = asyncio.run(run(path))
        assert (failure.fault, failure.code) == (Fault.REJECTED, "invalid_request")
        assert len(failure.message) < 200
