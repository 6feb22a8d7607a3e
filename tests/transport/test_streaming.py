"""Streams over HTTP: heard as they come, given up when they stand still, and closed in good order."""

from __future__ import annotations

import asyncio
import zlib
from contextlib import aclosing
from typing import TYPE_CHECKING

import pytest
from pyreqwest.bytes import Bytes

from penstock.clock import ManualClock
from penstock.models import Failure, Fault, HttpResponse
from penstock.transport.http import HttpTransport
from penstock.transport.progress import Watch
from penstock.transport.streaming import Reading, StreamBody

if TYPE_CHECKING:
    from tests.transport.conftest import Script, Serving, Settings, Wire

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"
WINDOW_S = 30.0


class Ear:
    """A listener to whom every event named `piece` is a piece, `end` the last and `halt` the end of a piece."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.pieces = 0
        self.speaking = False
        self.first = asyncio.Event()

    def hear(self, name: str, data: bytes, at_s: float) -> bool:
        """Take an event."""
        self.heard.append(name)
        self.first.set()
        if name == "piece":
            self.pieces += 1
        self.speaking = name != "halt" and (self.speaking or name == "piece")
        return name == "end"


def event(name: str, data: bytes = b"x") -> bytes:
    """An event as it goes over the wire."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), data)


def chunk(data: bytes) -> bytes:
    """A chunk of a body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def streamed(serving: Serving, settings: Settings, script: Script, **others: object) -> tuple[object, Ear]:
    """What a stream comes to, and what was heard of it."""

    async def run() -> tuple[object, Ear]:
        ear = Ear()
        async with (
            asyncio.timeout(30),
            serving(script) as server,
            aclosing(HttpTransport(settings(server.port, **others))) as transport,
        ):
            return await transport.stream("chat/completions", b"{}", ear), ear

    return asyncio.run(run())


def test_an_event_is_heard_while_the_stream_goes_on(serving: Serving, settings: Settings) -> None:
    """Nothing is read ahead: the second event is sent only when the first was heard."""

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(HEAD + chunk(event("piece")))
        await wire.server.may_answer.wait()
        await wire.send(chunk(event("end")) + LAST_CHUNK)

    async def run() -> None:
        ear = Ear()
        async with (
            asyncio.timeout(30),
            serving(script) as server,
            aclosing(HttpTransport(settings(server.port))) as transport,
        ):
            call = asyncio.create_task(transport.stream("chat/completions", b"{}", ear))
            await ear.first.wait()
            assert ear.heard == ["piece"]
            server.may_answer.set()
            assert isinstance(await call, HttpResponse)
            assert ear.heard == ["piece", "end"]

    asyncio.run(run())


def test_an_event_is_heard_as_soon_where_the_stream_is_compressed(serving: Serving, settings: Settings) -> None:
    """A piece that the server flushes is unpacked at once."""
    packer = zlib.compressobj(wbits=31)
    pieces = [packer.compress(event(name)) + packer.flush(zlib.Z_SYNC_FLUSH) for name in ("piece", "end")]

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(HEAD.replace(b"\r\n\r\n", b"\r\ncontent-encoding: gzip\r\n\r\n") + chunk(pieces[0]))
        await wire.server.may_answer.wait()
        await wire.send(chunk(pieces[1] + packer.flush()) + LAST_CHUNK)

    async def run() -> None:
        ear = Ear()
        async with (
            asyncio.timeout(30),
            serving(script) as server,
            aclosing(HttpTransport(settings(server.port))) as transport,
        ):
            call = asyncio.create_task(transport.stream("chat/completions", b"{}", ear))
            await ear.first.wait()
            server.may_answer.set()
            assert isinstance(await call, HttpResponse)
            assert ear.heard == ["piece", "end"]

    asyncio.run(run())


def test_a_connection_serves_again_after_a_stream(serving: Serving, settings: Settings) -> None:
    """The rest behind the last event is read, too."""

    async def script(wire: Wire) -> None:
        while True:
            await wire.answer(HEAD + chunk(event("piece")) + chunk(event("end")) + LAST_CHUNK)

    async def run() -> int:
        async with (
            asyncio.timeout(30),
            serving(script) as server,
            aclosing(HttpTransport(settings(server.port))) as transport,
        ):
            for _ in range(5):
                assert isinstance(await transport.stream("chat/completions", b"{}", Ear()), HttpResponse)
            connections: int = server.connections
            return connections

    assert asyncio.run(run()) == 1


async def _never_ends(wire: Wire) -> None:
    await wire.answer(HEAD + chunk(event("piece")) + chunk(event("end")))
    await wire.until_closed()


async def _resets_at_the_end(wire: Wire) -> None:
    await wire.answer(HEAD + chunk(event("piece")) + chunk(event("end")))
    wire.reset()


async def _goes_on_for_ever(wire: Wire) -> None:
    await wire.answer(HEAD + chunk(event("piece")) + chunk(event("end")))
    while True:
        await wire.send(chunk(b": and so on\n\n"))


@pytest.mark.parametrize("script", [_never_ends, _resets_at_the_end, _goes_on_for_ever])
def test_with_the_last_event_all_is_there(serving: Serving, settings: Settings, script: Script) -> None:
    """Whatever the server does to the connection afterwards."""
    outcome, ear = streamed(serving, settings, script)
    assert isinstance(outcome, HttpResponse)
    assert ear.heard == ["piece", "end"]


async def _cut(wire: Wire) -> None:
    await wire.answer(HEAD + chunk(event("piece")))


async def _stalls(wire: Wire) -> None:
    await wire.answer(HEAD + chunk(event("piece")))
    await wire.until_closed()


@pytest.mark.parametrize(
    ("script", "others", "codes"),
    [
        (_cut, {}, {"short_body", "reset"}),
        (_stalls, {"progress_window_s": 0.05}, {"stalled"}),
        (_stalls, {"timeout_s": 0.2}, {"timeout"}),
        (_stalls, {"idle_timeout_s": 0.2}, {"idle_timeout"}),
        (_stalls, {"max_response_bytes": 10}, {"response_too_large"}),
    ],
)
def test_what_breaks_off_is_ambiguous(
    serving: Serving, settings: Settings, script: Script, others: dict[str, float], codes: set[str]
) -> None:
    """The events until then were heard, and the failure says what ended them."""
    outcome, ear = streamed(serving, settings, script, **others)
    assert isinstance(outcome, Failure)
    assert outcome.fault is Fault.AMBIGUOUS
    assert outcome.code in codes
    assert ear.heard in (["piece"], [])


class Stream:
    """A stream that is read while parts of it come, a window of time apart."""

    def __init__(self, clock: ManualClock, content_type: str = "text/event-stream") -> None:
        self._clock = clock
        self._parts: asyncio.Queue[bytes] = asyncio.Queue()
        self._watch = Watch(100, WINDOW_S, clock)
        self.reading = Reading(Ear(), content_type, 100_000)
        self.task = asyncio.create_task(self._read())

    async def _read(self) -> bool:
        with self._watch.begin(lambda *place: StreamBody(*place, reading=self.reading)) as body:
            while part := await self._parts.get():
                body.take(Bytes(part))
                self._parts.task_done()
            return True
        return False

    async def windows(self, *windows: bytes) -> list[bool]:
        """These parts come, each in a window of its own; whether the stream goes on after each."""
        going: list[bool] = []
        for part in windows:
            if part:
                self._parts.put_nowait(part)
            await asyncio.gather(self._parts.join(), asyncio.sleep(0))
            self._clock.advance(WINDOW_S)
            going.append(not self.task.cancelling())
            if not going[-1]:
                break
        self._parts.put_nowait(b"")
        assert await self.task is going[-1]
        return going


COMMENT = b": keep-alive\n\n" * 10
PIECE = event("piece", b"x" * 100)


@pytest.mark.parametrize(
    ("windows", "outlives"),
    [
        pytest.param([b""] * 20, True, id="silence while the answer is queued"),
        pytest.param([COMMENT] * 20, True, id="comments while the answer is queued"),
        pytest.param([event("created"), *[b""] * 20], True, id="silence while the model thinks"),
        pytest.param([PIECE] * 20, True, id="an answer that goes on"),
        pytest.param([event("piece"), PIECE, PIECE], True, id="a short first piece, late in its window"),
        pytest.param([PIECE, PIECE, event("halt"), b"", COMMENT, b""], True, id="a halt between two pieces"),
        pytest.param([PIECE, b""], False, id="silence inside the answer"),
        pytest.param([PIECE, COMMENT], False, id="comments inside the answer"),
        pytest.param([PIECE, event("ping", b"x" * 200)], False, id="events that bring nothing"),
        pytest.param([PIECE, b"event: piece\ndata: x"], False, id="a drip"),
        pytest.param([PIECE, event("piece")], False, id="a piece of too few bytes"),
        pytest.param([PIECE, PIECE, event("halt"), PIECE, b""], False, id="silence after a halt"),
    ],
)
def test_progress_of_a_stream(windows: list[bytes], outlives: bool) -> None:
    """Where a piece of the answer is due, each window must bring one, and 100 bytes that are no comment."""

    async def run() -> list[bool]:
        return await Stream(ManualClock()).windows(*windows)

    going = asyncio.run(run())
    assert going == [True] * (len(windows) - 1) + [outlives]


@pytest.mark.parametrize(
    ("windows", "outlives"),
    [
        ([b"\n", b"\n", b'{"a": 1', b""], False),
        ([b"\n", b"\n", b'{"a": 1'], True),
        ([b"\n", b'{"a": 1', b"2"], False),
        ([b"{" * 100, b""], False),
    ],
)
def test_progress_of_what_is_no_stream(windows: list[bytes], outlives: bool) -> None:
    """A plain body is judged as ever."""

    async def run() -> list[bool]:
        return await Stream(ManualClock()).windows(*windows)

    assert asyncio.run(run()) == [True] * (len(windows) - 1) + [outlives]


def test_closing_gives_up_a_stream_that_is_being_read(serving: Serving, settings: Settings) -> None:
    """As any other answer."""

    async def run() -> None:
        ear = Ear()
        async with asyncio.timeout(30), serving(_stalls) as server:
            transport = HttpTransport(settings(server.port))
            call = asyncio.create_task(transport.stream("chat/completions", b"{}", ear))
            await ear.first.wait()
            await transport.aclose()
            outcome = await call
            assert isinstance(outcome, Failure)
            assert outcome.code == "cancelled"
            await server.client_closed.wait()

    asyncio.run(run())


def test_one_event_may_not_be_larger_than_a_response(serving: Serving, settings: Settings) -> None:
    """It is given up when it is, and not held."""

    async def script(wire: Wire) -> None:
        await wire.answer(HEAD)
        while True:
            await wire.send(chunk(b"data: " + b"x" * 10_000))

    outcome, _ = streamed(serving, settings, script, max_response_bytes=100_000)
    assert isinstance(outcome, Failure)
    assert outcome.code == "response_too_large"
