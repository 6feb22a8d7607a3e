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
            writer.write(f"content-type: {response.header('content-type')}\r\n".encode())
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


class Heard:
    """A listener that remembers; its last event is the one with the data `last`."""

    def __init__(self, last: bytes = b"[DONE]") -> None:
        self.events: list[tuple[str, bytes]] = []
        self.speaking = True
        self._last = last

    @property
    def pieces(self) -> int:
        """Each event is one."""
        return len(self.events)

    def hear(self, name: str, data: bytes, at_s: float) -> bool:
        """Take an event."""
        self.events.append((name, data))
        return data == self._last


STREAM = b": hello\n\nevent: e\ndata: a\n\ndata: b\n\ndata: [DONE]\n\ndata: never heard\n\n"


@pytest.mark.parametrize("content_type", ["text/event-stream", "Text/Event-Stream; charset=utf-8", "text/plain"])
def test_a_stream_is_heard_up_to_its_last_event(opening: Open, content_type: str) -> None:
    """Event by event, whatever type it says it is; what comes back is its beginning."""

    async def use(transport: Transport) -> None:
        heard = Heard()
        response = await transport.stream("x", b"{}", heard)
        assert isinstance(response, HttpResponse)
        assert heard.events == [("e", b"a"), ("", b"b"), ("", b"[DONE]")]
        assert (response.status, response.body, response.header("x-id")) == (200, STREAM, "9")

    run(opening, lambda path, body: respond(200, STREAM, {"content-type": content_type, "x-id": "9"}), use)


def test_a_stream_may_end_without_a_last_event(opening: Open) -> None:
    """That it is no answer is for others to say."""

    async def use(transport: Transport) -> None:
        heard = Heard()
        response = await transport.stream("x", b"{}", heard, 60.0)
        assert isinstance(response, HttpResponse)
        assert heard.events == [("", b"a"), ("", b"b")]

    run(opening, lambda path, body: respond(200, b"data: a\n\ndata: b"), use)


@pytest.mark.parametrize("body", [b'{"choices": []}', b" \n[1]", b"<html>data: x\n\n", b"disturbed", b"da", b"", b"\n"])
@pytest.mark.parametrize("content_type", ["text/event-stream", "application/json"])
def test_what_is_no_stream_comes_back_whole(opening: Open, body: bytes, content_type: str) -> None:
    """A provider may not stream, and a proxy shows a page: nothing is heard, and nothing is lost."""

    async def use(transport: Transport) -> None:
        heard = Heard()
        response = await transport.stream("x", b"{}", heard)
        assert isinstance(response, HttpResponse)
        assert (heard.events, response.body) == ([], body)

    run(opening, lambda path, _: respond(200, body, {"content-type": content_type}), use)


def test_an_error_is_no_stream(opening: Open) -> None:
    """A status other than 2xx has a body, even one that looks like events."""

    async def use(transport: Transport) -> None:
        heard = Heard()
        response = await transport.stream("x", b"{}", heard)
        assert isinstance(response, HttpResponse)
        assert (heard.events, response.status, response.body) == ([], 503, STREAM)

    run(opening, lambda path, body: respond(503, STREAM, {"content-type": "text/event-stream"}), use)


def test_only_the_beginning_of_a_long_stream_comes_back(opening: Open) -> None:
    """For a person; the events were heard."""

    async def use(transport: Transport) -> None:
        heard = Heard()
        response = await transport.stream("x", b"{}", heard)
        assert isinstance(response, HttpResponse)
        assert len(heard.events) == 1_001
        assert response.body == (b"data: x\n\n" * 1_000)[:2_048]

    run(opening, lambda path, body: respond(200, b"data: x\n\n" * 1_000 + b"data: [DONE]\n\n"), use)


def test_after_closing_nothing_is_sent(opening: Open) -> None:
    """Closing twice is safe, and a call after it is a failure that reached nobody."""
    seen: list[bytes] = []

    def answer(path: str, body: bytes) -> HttpResponse:
        seen.append(body)
        return respond()

    async def use(transport: Transport) -> None:
        await transport.aclose()
        await transport.aclose()
        for outcome in (
            await transport.send("x", b"{}"),
            await transport.get("x"),
            await transport.stream("x", b"{}", Heard()),
        ):
            assert isinstance(outcome, Failure)
            assert (outcome.fault, outcome.code) == (Fault.UNSENT, "closed")

    run(opening, answer, use)
    assert seen == []
