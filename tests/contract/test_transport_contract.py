"""One suite over every transport: what a caller may rely on, whoever carries the request."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager

import pytest

from penstock.models import Failure, Fault, HttpResponse
from penstock.transport.fake import FunctionTransport, respond
from penstock.transport.http import HttpTransport
from penstock.transport.protocol import Transport
from penstock.transport.settings import TransportSettings

Answer = Callable[[str, bytes], HttpResponse]
Open = Callable[[Answer], AbstractAsyncContextManager[Transport]]
Use = Callable[[Transport], Awaitable[None]]


@asynccontextmanager
async def open_function(answer: Answer) -> AsyncIterator[Transport]:
    """The fake with a plain handler."""
    async with aclosing(FunctionTransport(answer)) as transport:
        yield transport


@asynccontextmanager
async def open_async_function(answer: Answer) -> AsyncIterator[Transport]:
    """The fake with a handler that is awaited."""

    async def handler(path: str, body: bytes) -> HttpResponse:
        return answer(path, body)

    async with aclosing(FunctionTransport(handler)) as transport:
        yield transport


@asynccontextmanager
async def open_http(answer: Answer) -> AsyncIterator[Transport]:
    """The real one, against a small server that answers with the same function."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conversations.append(asyncio.current_task())
        while head := (await reader.read(65536)).decode():
            first, _, rest = head.partition("\r\n")
            fields, _, body = rest.partition("\r\n\r\n")
            length = next((int(f[15:]) for f in fields.split("\r\n") if f.lower().startswith("content-length:")), 0)
            received = body.encode()
            received += await reader.readexactly(length - len(received))
            response = answer(first.split()[1].removeprefix("/v1/"), received)
            writer.write(f"HTTP/1.1 {response.status} Status\r\nx-id: {response.header('x-id')}\r\n".encode())
            writer.write(f"content-length: {len(response.body)}\r\n\r\n".encode() + response.body)
        writer.close()
        await writer.wait_closed()

    conversations: list[asyncio.Task[None] | None] = []
    server = await asyncio.start_server(converse, "127.0.0.1", 0)
    settings = TransportSettings(
        base_url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1",
        timeout_s=5.0,
        connect_timeout_s=2.0,
        max_response_bytes=100_000,
        concurrency=10,
    )
    async with server, aclosing(HttpTransport(settings)) as transport:
        yield transport
    await asyncio.gather(*filter(None, conversations))


@pytest.fixture(params=[open_function, open_async_function, open_http])
def opening(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Every transport there is."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    found: Open = request.param
    return found


def echo(path: str, body: bytes) -> HttpResponse:
    """Path and body back, with a header."""
    return respond(200, path.encode() + b" " + body, {"X-Id": "7"})


def run(opening: Open, answer: Answer, use: Use) -> None:
    """Open a transport on `answer` and use it."""

    async def main() -> None:
        async with asyncio.timeout(10), opening(answer) as transport:
            await use(transport)

    asyncio.run(main())


def test_path_and_body_arrive_and_the_answer_comes_back(opening: Open) -> None:
    """`send` carries path and body there, and status and body back."""

    async def use(transport: Transport) -> None:
        response = await transport.send("chat/completions", b'{"a":1}')
        assert isinstance(response, HttpResponse)
        assert (response.status, response.body) == (200, b'chat/completions {"a":1}')

    run(opening, echo, use)


def test_a_deadline_of_its_own_changes_nothing_else(opening: Open) -> None:
    """A call with a longer deadline is answered like any other."""

    async def use(transport: Transport) -> None:
        response = await transport.send("chat/completions", b"{}", 60.0)
        assert isinstance(response, HttpResponse)
        assert response.body == b"chat/completions {}"

    run(opening, echo, use)


def test_get_sends_no_body(opening: Open) -> None:
    """`get` asks without a body."""

    async def use(transport: Transport) -> None:
        response = await transport.get("models")
        assert isinstance(response, HttpResponse)
        assert response.body == b"models "

    run(opening, echo, use)


def test_headers_are_found_whatever_their_case(opening: Open) -> None:
    """A header is looked up by name without case; an absent one is None."""

    async def use(transport: Transport) -> None:
        response = await transport.send("x", b"")
        assert isinstance(response, HttpResponse)
        assert (response.header("x-id"), response.header("X-ID"), response.header("x-no")) == ("7", "7", None)

    run(opening, echo, use)


@pytest.mark.parametrize("status", [200, 307, 400, 401, 429, 500, 503])
def test_any_status_is_a_response(opening: Open, status: int) -> None:
    """What a status means is for others to say."""

    async def use(transport: Transport) -> None:
        response = await transport.send("x", b"{}")
        assert isinstance(response, HttpResponse)
        assert (response.status, response.body) == (status, b"why")

    run(opening, lambda path, body: respond(status, b"why"), use)


def test_answers_do_not_get_mixed_up(opening: Open) -> None:
    """Many calls at once each get their own answer."""

    async def use(transport: Transport) -> None:
        outcomes = await asyncio.gather(*(transport.send("x", b"%d" % n) for n in range(50)))
        assert [o.body for o in outcomes if isinstance(o, HttpResponse)] == [b"x %d" % n for n in range(50)]

    run(opening, echo, use)


def test_after_closing_nothing_is_sent(opening: Open) -> None:
    """Closing twice is safe, and a call after it is a failure that reached nobody."""
    seen: list[bytes] = []

    def answer(path: str, body: bytes) -> HttpResponse:
        seen.append(body)
        return respond()

    async def use(transport: Transport) -> None:
        await transport.aclose()
        await transport.aclose()
        for outcome in (await transport.send("x", b"{}"), await transport.get("x")):
            assert isinstance(outcome, Failure)
            assert (outcome.fault, outcome.code) == (Fault.UNSENT, "closed")

    run(opening, answer, use)
    assert seen == []
