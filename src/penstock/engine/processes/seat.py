"""A seat: one of a run's workers, whichever process holds it. Calls that were not sent outlive the process."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping

import msgspec

from penstock.clock import Clock
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
START_S = 30.0
"""So long a process may take until it is ready."""
SLACK_S = 30.0
"""So long after the deadline of its oldest call something must have come from a process."""


class Terms(msgspec.Struct, frozen=True):
    """What holds for every process of a run: its environment, the deadline of a call without its own, the clock."""

    environment: Mapping[str, str]
    timeout_s: float
    clock: Clock


class Seat:
    """The calls of one worker, and its process.

    `on_death` gets a process that is gone, and how many calls were lost with it: those that were under way, which
    ended as lost. Those that were not sent stay, until the seat is filled again. `on_defect` hears of an exception that
    should not have been. `opened`, which all seats share, is set once a process is ready, or this seat gets none.
    """

    def __init__(
        self,
        lanes: LaneNumbers,
        on_death: Callable[["Seat", WorkerProcess, int], None],
        on_defect: Callable[[BaseException], None],
        terms: Terms,
        opened: asyncio.Event,
    ) -> None:
        self._lanes = lanes
        self._on_death = on_death
        self._on_defect = on_defect
        self._terms = terms
        self._any_opened = opened
        self._loop = asyncio.get_running_loop()
        self._calls: dict[int, tuple[Flight, End, float]] = {}
        self._unsent: deque[int] = deque()
        self._given_up: list[int] = []
        self._frame = bytearray(PREFIX_BYTES)
        self._opened: set[int] = set()
        self._is_ready = False
        self._filled_s: deque[float] = deque(maxlen=MOST_FILLS)
        self._closed_for: Failure | None = None
        self.process: WorkerProcess | None = None
        self._heard_s = 0.0
        self.was_ready = False
        """Whether the process that it has, or had last, was ready."""
        self.vain = 0
        """Processes since the last one that was."""

    @property
    def in_flight(self) -> int:
        """Calls that are under way here, or wait for the process to be ready."""
        return len(self._calls)

    @property
    def is_filled_too_often(self) -> bool:
        """Whether it had as many processes within a minute as it may have."""
        return len(self._filled_s) == MOST_FILLS and self._now_s() - self._filled_s[0] < MINUTE_S

    @property
    def is_shut(self) -> bool:
        """Whether no process will have it any more."""
        return self._closed_for is not None

    @property
    def due_s(self) -> float | None:
        """When something must have come from the process, at the latest; None while nothing is waited for."""
        if self.process is None:
            return None
        if not self._is_ready:
            return self._heard_s + START_S
        if not self._calls:
            return None
        flight, _, since_s = next(iter(self._calls.values()))
        return max(self._heard_s, since_s) + self.patience_s(flight)

    def patience_s(self, flight: Flight) -> float:
        """For how long after its start a call may be under way with nothing heard from the process."""
        return (self._terms.timeout_s if flight.timeout_s is None else flight.timeout_s) + SLACK_S

    def _now_s(self) -> float:
        return self._terms.clock.monotonic_s()

    def fill(self) -> None:
        """Start a process. Raises `OSError` where none can be had."""
        self._heard_s = self._now_s()
        self.was_ready = False
        self._filled_s.append(self._heard_s)
        self.process = WorkerProcess(self._next_frame, self._take, self._die, self._terms.environment)

    def end_silent(self) -> None:
        """Kill the process, from which nothing comes; it dies as any does."""
        assert self.process is not None, "a process that is waited for"
        self.process.kill_silent(self._now_s() - self._heard_s)
        self._die()

    def shut(self, failure: Failure) -> None:
        """Let no process have it any more: what was not sent comes to this failure, and so does what comes."""
        self._closed_for = failure
        self._any_opened.set()
        for number in self._unsent:
            if (call := self._calls.pop(number, None)) is not None:
                flight, end, _ = call
                end(flight, failure, None)
        self._unsent.clear()

    # Calls

    def start(self, number: int, flight: Flight, end: End) -> None:
        """Send a call, as soon as the process is ready."""
        if self._closed_for is not None:
            self._loop.call_soon(end, flight, self._closed_for, None)
            return
        self._calls[number] = (flight, end, self._now_s())
        self._unsent.append(number)
        self._wake()

    def give_up(self, number: int) -> None:
        """Let go of a call: it ends with the next turn of the loop, whatever the process does."""
        if (call := self._calls.pop(number, None)) is None:
            return
        flight, end, _ = call
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
                flight = self._calls[number][0]
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
        self._heard_s = self._now_s()
        for message in messages:
            if isinstance(message, Ready):
                self._is_ready = self.was_ready = True
                self.vain = 0
                self._any_opened.set()
                self._wake()
            elif (call := self._calls.pop(message.number, None)) is not None:
                flight, end, _ = call
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
        lost = [number for number, (flight, _, _) in self._calls.items() if flight.begun]
        for number in lost:
            flight, end, _ = self._calls.pop(number)
            end(flight, None, None)
        self._on_death(self, process, len(lost))
