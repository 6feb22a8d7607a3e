"""The minimum-progress rule: an answer that drips or stands still is given up long before its deadline.

What is not streamed sends nothing before its head, so the wait for the head is left to the deadline, and a body is
watched from its head on. Time runs in windows, one after the other. Until the answer has begun one byte is enough for a
window, be it blank: DeepSeek and others send empty lines ahead of an answer that is still queued. From then on each
window must bring a least number of bytes, counted decompressed. So what stands still is given up after one window or
nearly two, what drips after two. A stream of events is judged by its pieces; see `transport.streaming`.

One timer serves all the bodies that a transport reads: an answer that comes in one piece sets none of its own.
"""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, cast

import msgspec
from pyreqwest.bytes import Bytes

from penstock.clock import Clock, Timer


def refuse_cancelled() -> None:
    """Raise `CancelledError` where somebody has cancelled the running task."""
    if cast("asyncio.Task[Any]", asyncio.current_task()).cancelling():
        raise asyncio.CancelledError


class Body(msgspec.Struct, eq=False):
    """A response body as far as it has come, in `parts`.

    As a context it ends its task's wait for the next part when the body is given up, and the block with it. Nothing
    else may be awaited inside. The HTTP client loses a cancellation when a part comes at the same moment, so whoever
    cancelled the task, it is looked for with each part and at the end.
    """

    task: asyncio.Task[Any]
    window_ends_s: float
    bodies: dict["Body", None]
    parts: list[Bytes] = []
    size: int = 0
    judged_size: int = 0
    began: bool = False
    stopped: bool = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Take back the rule's own cancellation. Raises `CancelledError` where somebody else has cancelled the task."""
        self.bodies.pop(self, None)
        if self.stopped:
            self.task.uncancel()
        if self.task.cancelling():
            raise asyncio.CancelledError
        return self.stopped and kind is asyncio.CancelledError

    def take(self, part: Bytes) -> None:
        """The next part has come."""
        if self.task.cancelling():
            raise asyncio.CancelledError
        self.parts.append(part)
        self.size += len(part)

    def advanced(self, min_bytes: int) -> bool:
        """Whether the window that ends now has brought enough; the next one begins."""
        needed = min_bytes if self.began else 1
        came = self.size - self.judged_size
        self.judged_size = self.size
        self.began = self.began or not all(part.isspace() for part in self.parts)
        return came >= needed

    def stop(self) -> None:
        """Give it up."""
        if not self.task.cancelling():
            self.stopped = True
            self.task.cancel()


class Watch:
    """The bodies that are being read, and the rule of `min_bytes` in each window of `window_s`."""

    def __init__(self, min_bytes: int, window_s: float, clock: Clock) -> None:
        self._min_bytes = min_bytes
        self._window_s = window_s
        self._clock = clock
        self._bodies: dict[Body, None] = {}  # whose window ends first stands first
        self._timer: Timer | None = None

    def begin(self, make: Callable[["asyncio.Task[Any]", float, dict[Body, None]], Body] = Body) -> Body:
        """A head has come: watch its body, which `make` makes of its first three fields."""
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        body = make(task, self._clock.monotonic_s() + self._window_s, self._bodies)
        self._bodies[body] = None
        if self._timer is None:
            self._timer = self._clock.call_later(self._window_s, self._judge)
        return body

    def stop_all(self) -> None:
        """Give up every body."""
        for body in self._bodies:
            body.stop()

    def _judge(self) -> None:
        """Judge the bodies whose windows have ended."""
        self._timer = None
        now_s = self._clock.monotonic_s()
        for body in list(self._bodies):
            if body.window_ends_s > now_s:
                self._timer = self._clock.call_later(body.window_ends_s - now_s, self._judge)
                return
            del self._bodies[body]
            if body.advanced(self._min_bytes):
                body.window_ends_s = now_s + self._window_s
                self._bodies[body] = None
            else:
                body.stop()
        if self._bodies:
            self._timer = self._clock.call_later(self._window_s, self._judge)
