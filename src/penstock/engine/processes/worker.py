"""A worker: `python -m penstock.engine.processes.worker`, with one end of a socket pair as its standard input.

It makes the calls that it is told to make, says what they came to, and lives until the other end closes. It saves
nothing and decides nothing, so it may be killed at any moment.
"""

import asyncio
import ctypes
import os
import signal
import socket
import sys
import traceback
from collections import deque
from collections.abc import Callable

from penstock.endpoints import NO_KEY, Endpoint, Key
from penstock.engine.caller import call
from penstock.engine.processes.channel import PREFIX_BYTES, Channel
from penstock.engine.processes.messages import (
    Answered,
    Broken,
    Call,
    FromWorker,
    GiveUp,
    OpenLane,
    Ready,
    decode_to_worker,
    encode_frame,
    encode_settings,
    told,
)
from penstock.engine.processes.process import IGNORED_SIGNALS
from penstock.engine.scope import Lane
from penstock.errors import UsageError
from penstock.models import Failure, Fault
from penstock.transport.http import HttpTransport
from penstock.transport.settings import TransportSettings

FRAME_BYTES = 65_536
"""A frame is closed once its answers are so large together: with their texts it fits the driver's room."""
PR_SET_PDEATHSIG = 1


class Worker:
    """Calls by their numbers, until the driver is gone."""

    def __init__(self, connection: socket.socket) -> None:
        self._loop = asyncio.get_running_loop()
        self._lanes: dict[int, Lane | Failure] = {}
        self._transports: dict[bytes, HttpTransport] = {}
        self._calls: dict[int, asyncio.Task[None]] = {}
        self._told: deque[FromWorker] = deque([Ready()])
        self._frame = bytearray(PREFIX_BYTES)
        self.ended = asyncio.Event()
        self._channel = Channel(connection, self._next_frame, self._take, self.ended.set)
        self._channel.wake()

    def _take(self, frame: memoryview) -> None:
        for message in decode_to_worker(frame):
            match message:
                case Call():
                    self._calls[message.number] = self._loop.create_task(self._call(message))
                case GiveUp(number):
                    if (task := self._calls.pop(number, None)) is not None:
                        task.cancel()
                case OpenLane():
                    self._lanes[message.number] = self._lane(message)

    def _lane(self, opened: OpenLane) -> Lane | Failure:
        """A lane, or what its calls come to: the driver could use these settings once, but files go."""
        settings = opened.settings
        try:
            transport = self._transport(settings)
        except UsageError as error:
            return Failure(Fault.LOCAL, error.message)
        key = NO_KEY if settings.api_key is None else Key(settings.api_key, "")
        return Lane(Endpoint("", settings.base_url), key, opened.model, transport)

    def _transport(self, settings: TransportSettings) -> HttpTransport:
        """Lanes of one endpoint and key share their connections."""
        name = encode_settings(settings)
        if name not in self._transports:
            self._transports[name] = HttpTransport(settings)
        return self._transports[name]

    async def _call(self, asked: Call) -> None:
        number = asked.number
        try:
            lane = self._lanes[asked.lane]
            if isinstance(lane, Failure):
                self._tell(told(number, lane, None))
                return
            outcome, announced = await call(lane, asked.request, asked.timeout_s, looks=asked.looks)
            self._tell(told(number, outcome, announced))
        except Exception:
            self._tell(Broken(number, traceback.format_exc()))
        finally:
            self._calls.pop(number, None)

    def _tell(self, message: FromWorker) -> None:
        self._told.append(message)
        self._channel.wake()

    def _next_frame(self) -> bytearray | None:
        if not self._told:
            return None
        messages: list[FromWorker] = []
        size = 0
        while self._told and size < FRAME_BYTES:
            message = self._told.popleft()
            messages.append(message)
            size += len(message.response.body) if isinstance(message, Answered) else 0
        return encode_frame(messages, self._frame)


def main() -> None:
    """Be a worker, to which nobody but its driver says when to stop."""
    for number in IGNORED_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, IGNORED_SIGNALS)
    if sys.platform == "linux":
        # Else a worker that is held up, and does not see that its driver was killed, would live on.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve())


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


async def _serve() -> None:
    worker = Worker(socket.socket(fileno=os.dup(sys.stdin.fileno())))
    await worker.ended.wait()
    os._exit(0)  # calls that nobody waits for any more hold nothing up


if __name__ == "__main__":
    main()
