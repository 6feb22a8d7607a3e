"""The simulator beside code that is not async: on a thread and an event loop of its own."""

import asyncio
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager

import uvloop

from penstock.clock import Clock
from penstock.simulator.bill import Bill
from penstock.simulator.server import Simulator
from penstock.simulator.settings import DEFAULT_SETTINGS, SimulatorSettings


class BackgroundSimulator:
    """A simulator that runs on another thread; every method may be called from any."""

    def __init__(self, simulator: Simulator, loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
        self._simulator = simulator
        self._loop = loop
        self._stop = stop
        self.base_url = simulator.base_url

    def bill(self) -> Bill:
        """What it would have charged so far."""

        async def read() -> Bill:
            return self._simulator.bill()

        return asyncio.run_coroutine_threadsafe(read(), self._loop).result()

    def revive(self, key: str | None = None) -> None:
        """Let a key that has died, or every one, serve as many requests again as at first."""

        async def revive() -> None:
            self._simulator.revive(key)

        asyncio.run_coroutine_threadsafe(revive(), self._loop).result()

    def wait_requests(self, count: int, timeout_s: float = 120.0) -> None:
        """Return once `count` requests in all have come in. Raises `TimeoutError`."""
        asyncio.run_coroutine_threadsafe(self._simulator.wait_requests(count), self._loop).result(timeout_s)

    def stop(self) -> None:
        """Close every connection and end. `running` does it at the end of its block."""
        self._loop.call_soon_threadsafe(self._stop.set)


@contextmanager
def running(
    settings: SimulatorSettings = DEFAULT_SETTINGS,
    *,
    port: int = 0,
    tls: ssl.SSLContext | None = None,
    clock: Clock | None = None,
) -> Iterator[BackgroundSimulator]:
    """A simulator in the background for as long as the block lasts. Raises `OSError` where the port cannot be had."""
    started: Future[BackgroundSimulator] = Future()

    async def live() -> None:
        stop = asyncio.Event()
        try:
            async with Simulator(settings, port=port, tls=tls, clock=clock) as simulator:
                started.set_result(BackgroundSimulator(simulator, asyncio.get_running_loop(), stop))
                await stop.wait()
        except Exception as error:
            if started.done():
                raise
            started.set_exception(error)

    thread = threading.Thread(target=lambda: uvloop.run(live()), name="simulator", daemon=True)
    thread.start()
    background = started.result()
    try:
        yield background
    finally:
        background.stop()
        thread.join()
