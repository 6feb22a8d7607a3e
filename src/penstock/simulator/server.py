"""The simulated provider on a socket: HTTP/1.1 with keep-alive, one protocol object per connection."""

import asyncio
import socket
import ssl
import struct
from collections import deque
from types import TracebackType
from typing import Self, cast

import httptools

from penstock.clock import Clock, SystemClock
from penstock.simulator.bill import Bill
from penstock.simulator.delivery import Delivery, Ending, plan_delivery
from penstock.simulator.provider import Call, Provider, Reply
from penstock.simulator.reading import RequestReader
from penstock.simulator.rejections import Rejection
from penstock.simulator.settings import DEFAULT_SETTINGS, SimulatorSettings

BACKLOG = 4096
HEAD_START_S = 0.02
"""What was written before a reset gets this much time to leave; a reset throws away what still waits."""
TICK_S = 0.001
_LINGER_ZERO = struct.pack("ii", 1, 0)
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_NOT_HTTP = Rejection(400, "This is not HTTP.", code="bad_request")


class Simulator:
    """A provider that listens while it is entered: `async with Simulator(settings) as sim: … sim.base_url …`.

    Port 0 takes any free port. With `tls` it speaks HTTPS. Raises `OSError` where the port cannot be had.
    """

    def __init__(
        self,
        settings: SimulatorSettings = DEFAULT_SETTINGS,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock or SystemClock()
        self._address = (host, port)
        self._tls = tls
        self._connections: set[Connection] = set()
        self._server: asyncio.Server | None = None

    @property
    def base_url(self) -> str:
        """Up to and with /v1, with the port that was taken."""
        host, port = self._address
        name = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "::1": "[::1]"}.get(host, host)
        return f"{'https' if self._tls else 'http'}://{name}:{port}/v1"

    def bill(self) -> Bill:
        """What it would have charged so far."""
        return self._provider.bill()

    def revive(self, key: str | None = None) -> None:
        """Let a key that has died, or every one, serve as many requests again as at first."""
        self._provider.revive(key)

    async def wait_requests(self, count: int) -> None:
        """Return once `count` requests in all have come in."""
        received = asyncio.Event()
        self._provider.ledger.when_received(count, received.set)
        await received.wait()

    async def __aenter__(self) -> Self:
        self._provider = Provider(self._settings, self._clock)
        host, port = self._address
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Connection(self._provider, self._clock, self._connections),
            host,
            port,
            ssl=self._tls,
            backlog=BACKLOG,
        )
        self._address = (host, self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        await asyncio.gather(*[connection.aclose() for connection in self._connections])
        await self._server.wait_closed()


class Connection(asyncio.Protocol):
    """One client's connection. Requests that come while one is being answered wait for their turn."""

    def __init__(self, provider: Provider, clock: Clock, connections: "set[Connection]") -> None:
        self._provider = provider
        self._clock = clock
        self._connections = connections
        self._reader = RequestReader(self)
        self._waiting: deque[Call] = deque()
        self._current: Reply | None = None
        self._performance: asyncio.Task[None] | None = None
        self._gone = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        self._transport = cast(asyncio.Transport, transport)
        self._connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is over. An answer in the making is still produced, and billed."""
        self._connections.discard(self)
        self._waiting.clear()
        self._release()
        self._gone.set()
        self._writable.set()

    def pause_writing(self) -> None:
        """The client reads more slowly than we write."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Everything that was written is on its way."""
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        """Bytes have come in."""
        if self._transport.is_closing():
            return
        try:
            self._reader.feed(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._transport.write(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n" + _NOT_HTTP.body())
            self._transport.close()

    def hear_head(self, path: str, expects_continue: bool) -> None:
        """The reader has the head of a request."""
        if self._provider.turn_away_unread(path):
            self._reset()
        elif expects_continue:
            self._transport.write(_CONTINUE)

    def hear_call(self, call: Call) -> None:
        """The reader has a whole request."""
        if not self._transport.is_closing():
            self._waiting.append(call)
            self._answer_waiting()

    async def aclose(self) -> None:
        """Drop the client, whatever is under way."""
        if self._performance is not None:
            self._performance.cancel()
        self._transport.abort()
        await self._gone.wait()

    def _answer_waiting(self) -> None:
        while self._waiting and self._current is None:
            call = self._waiting.popleft()
            reply = self._current = self._provider.take(call)
            delivery = plan_delivery(reply, call.keep_alive, self._clock.unix_s())
            loop = asyncio.get_running_loop()
            if not delivery.is_plain:
                self._performance = loop.create_task(self._perform(reply, delivery))
            elif delivery.delay_s:
                loop.call_later(delivery.delay_s, self._send_late, reply, delivery)
            else:
                self._send(reply, delivery)

    def _send_late(self, reply: Reply, delivery: Delivery) -> None:
        self._send(reply, delivery)
        self._answer_waiting()

    def _send(self, reply: Reply, delivery: Delivery) -> None:
        self._provider.charge(reply)
        if self._current is reply:
            self._transport.write(delivery.pieces[0])
            self._release()

    async def _perform(self, reply: Reply, delivery: Delivery) -> None:
        await asyncio.sleep(delivery.delay_s)
        self._provider.charge(reply)
        due_s = asyncio.get_running_loop().time()
        for piece in delivery.pieces:
            await _sleep_until(due_s)
            due_s += delivery.gap_s
            await self._writable.wait()
            if self._current is not reply:
                return
            self._transport.write(piece)
        await self._end(delivery.ending)

    async def _end(self, ending: Ending) -> None:
        match ending:
            case Ending.KEEP:
                self._release()
                self._answer_waiting()
            case Ending.CLOSE:
                self._transport.close()
            case Ending.STALL:
                await self._gone.wait()
            case Ending.RESET:
                await asyncio.sleep(HEAD_START_S)
                self._reset()

    def _reset(self) -> None:
        """Close with a reset in place of a goodbye: what a crashed server or an impatient proxy does."""
        if not self._transport.is_closing():
            raw = self._transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
            self._transport.abort()

    def _release(self) -> None:
        if self._current is not None:
            self._provider.release(self._current)
            self._current = None


async def _sleep_until(due_s: float) -> None:
    """Sleep until the loop's clock reads `due_s`. Its timers know whole milliseconds only: a shorter one is none."""
    early_s = due_s - asyncio.get_running_loop().time()
    if early_s > 0:
        await asyncio.sleep(max(early_s, TICK_S))
