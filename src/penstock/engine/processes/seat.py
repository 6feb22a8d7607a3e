"""A seat: one of a run's workers, whichever process holds it. Calls that were not sent outlive the process."""

import asyncio
import time
from collections import deque
from collections.abc import Callable

import msgspec

from penstock.engine.flight import End, Flight
from penstock.engine.processes.channel import PREFIX_BYTES
from penstock.engine.processes.lanes import LaneNumbers
from penstock.engine.processes.messages import (
    Broken,
    Call,
    GiveUp,
    Ready,
    ToWorker,
    decode_from_worker,
    encode_frame,
)
from penstock.engine.processes.process import WorkerProcess
from penstock.models import Failure

FRAME_BYTES = 65_536
"""A frame is closed once its bodies are so large together: few of them are in memory twice, and it goes in one step."""
MOST_FILLS = 4
"""Processes that a seat may have within a minute. Whoever needs more does not keep them."""
MINUTE_S = 60.0


class Seat:
    """The calls of one worker, and its process.

    `on_death` gets a process that is gone, and how many calls were lost with it: those that were under way, which
    ended as lost. Those that were not sent stay, until the seat is filled again. `on_defect` hears of an exception that
    should not have been. `opened` is set once a process has been ready, or none will be.
    """

    def __init__(
        self,
        lanes: LaneNumbers,
        on_death: Callable[["Seat", WorkerProcess, int], None],
        on_defect: Callable[[BaseException], None],
    ) -> None:
        self._lanes = lanes
        self._on_death = on_death
        self._on_defect = on_defect
        self._loop = asyncio.get_running_loop()
        self._calls: dict[int, tuple[Flight, End]] = {}
        self._unsent: deque[int] = deque()
        self._given_up: list[int] = []
        self._frame = bytearray(PREFIX_BYTES)
        self._opened: set[int] = set()
        self._is_ready = False
        self._filled_s: deque[float] = deque(maxlen=MOST_FILLS)
        self._closed_for: Failure | None = None
        self.process: WorkerProcess | None = None
        self.opened = asyncio.Event()

    @property
    def in_flight(self) -> int:
        """Calls that are under way here, or wait for the process to be ready."""
        return len(self._calls)

    @property
    def is_filled_too_often(self) -> bool:
        """Whether it had as many processes within a minute as it may have."""
        return len(self._filled_s) == MOST_FILLS and time.monotonic() - self._filled_s[0] < MINUTE_S

    def fill(self) -> None:
        """Start a process. Raises `OSError` where none can be had."""
        self._filled_s.append(time.monotonic())
        self.process = WorkerProcess(self._next_frame, self._take, self._die)

    def shut(self, failure: Failure) -> None:
        """Let no process have it any more: what was not sent comes to this failure, and so does what comes."""
        self._closed_for = failure
        self.opened.set()
        for number in self._unsent:
            if (call := self._calls.pop(number, None)) is not None:
                flight, end = call
                end(flight, failure, None)
        self._unsent.clear()

    # Calls

    def start(self, number: int, flight: Flight, end: End) -> None:
        """Send a call, as soon as the process is ready."""
        if self._closed_for is not None:
            self._loop.call_soon(end, flight, self._closed_for, None)
            return
        self._calls[number] = (flight, end)
        self._unsent.append(number)
        self._wake()

    def give_up(self, number: int) -> None:
        """Let go of a call: it ends with the next turn of the loop, whatever the process does."""
        if (call := self._calls.pop(number, None)) is None:
            return
        flight, end = call
        self._loop.call_soon(end, flight, None, None)
        if flight.begun:
            self._given_up.append(number)
            self._wake()

    def _wake(self) -> None:
        if self._is_ready and self.process is not None:
            self.process.channel.wake()

    def _next_frame(self) -> bytearray | None:
        messages: list[ToWorker] = [GiveUp(number) for number in self._given_up]
        self._given_up.clear()
        size = 0
        while self._is_ready and self._unsent and size < FRAME_BYTES:
            number = self._unsent.popleft()
            if number in self._calls:
                flight, _ = self._calls[number]
                flight.begun = True
                request = flight.work.request
                lane = self._lane(flight, messages)
                messages.append(Call(number, lane, request, flight.timeout_s, flight.looks))
                size += len(request.body)
        return encode_frame(messages, self._frame) if messages else None

    def _lane(self, flight: Flight, messages: list[ToWorker]) -> int:
        number = self._lanes.number_of(flight.place.scope.lane)
        if number not in self._opened:
            self._opened.add(number)
            messages.append(self._lanes.opening(number))
        return number

    # What the process says

    def _take(self, frame: memoryview) -> None:
        try:
            messages = decode_from_worker(frame)
        except msgspec.DecodeError as error:
            self._on_defect(error)
            self._die()
            return
        for message in messages:
            if isinstance(message, Ready):
                self._is_ready = True
                self.opened.set()
                self._wake()
            elif (call := self._calls.pop(message.number, None)) is not None:
                flight, end = call
                if isinstance(message, Broken):
                    self._on_defect(RuntimeError(f"A worker process failed at a call:\n{message.words}"))
                    end(flight, None, None)
                else:
                    end(flight, message.outcome, message.announced)

    def _die(self) -> None:
        """The process is gone, or cannot be understood."""
        process, self.process, self._is_ready = self.process, None, False
        assert process is not None, "a process dies once"
        process.kill()
        self._frame = bytearray(PREFIX_BYTES)
        self._given_up.clear()
        self._opened.clear()
        lost = [number for number, (flight, _) in self._calls.items() if flight.begun]
        for number in lost:
            flight, end = self._calls.pop(number)
            end(flight, None, None)
        self._on_death(self, process, len(lost))
