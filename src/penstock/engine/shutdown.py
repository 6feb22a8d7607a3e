"""Stopping in three steps: finish what flies, then give it up, then leave at once."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

EXIT_INTERRUPTED = 130


class Shutdown:
    """Counts requests to stop. The first calls `drain`, the second `cancel`, the third ends the process."""

    def __init__(self, drain: Callable[[], None], cancel: Callable[[], None]) -> None:
        self._drain = drain
        self._cancel = cancel
        self.requests = 0

    def request(self) -> None:
        """Take the next step."""
        self.requests += 1
        if self.requests == 1:
            self._drain()
        elif self.requests == 2:
            self._cancel()
        else:
            os._exit(EXIT_INTERRUPTED)

    def request_at_least(self, steps: int) -> None:
        """Take as many steps as are missing to `steps`, which is at most two: nobody ends the process from afar."""
        while self.requests < min(steps, 2):
            self.request()

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Let SIGINT and SIGTERM ask; only in the main thread's loop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.request)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)
