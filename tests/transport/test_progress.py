"""The minimum-progress rule in virtual time: which bodies are given up, and when."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from pyreqwest.bytes import Bytes

from penstock.clock import ManualClock
from penstock.transport.progress import Watch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from penstock.clock import Timer

WINDOW_S = 30.0


class Answer:
    """One body that is read while parts of it come, a window of time apart."""

    def __init__(self, watch: Watch, clock: ManualClock) -> None:
        self.task = asyncio.create_task(self._read(watch))
        self._clock = clock
        self._parts: asyncio.Queue[bytes] = asyncio.Queue()

    async def _read(self, watch: Watch) -> bytes | None:
        with watch.begin() as body:
            while part := await self._parts.get():
                body.take(Bytes(part))
                self._parts.task_done()
            return b"".join(body.parts)
        return None

    async def window(self, *parts: bytes) -> None:
        """These parts come, and then the window ends."""
        for part in parts:
            self._parts.put_nowait(part)
        await asyncio.gather(self._parts.join(), asyncio.sleep(0))
        self._clock.advance(WINDOW_S)

    async def end(self) -> bytes | None:
        """What was read; None where it was given up before its end came."""
        self._parts.put_nowait(b"")
        return await self.task


def play(script: Callable[[Answer], Awaitable[None]]) -> bytes | None:
    """What becomes of the body of such an answer under the rule of 10 bytes."""

    async def run() -> bytes | None:
        clock = ManualClock()
        answer = Answer(Watch(10, WINDOW_S, clock), clock)
        await script(answer)
        return await answer.end()

    return asyncio.run(run())


@pytest.mark.parametrize(
    "windows",
    [
        pytest.param([b""], id="silence after the head"),
        pytest.param([b"{", b"1"], id="a drip"),
        pytest.param([b"{", b"123456789"], id="one byte too few"),
        pytest.param([b"{" * 100, b"2" * 100, b""], id="silence after much"),
        pytest.param([b" ", b"\n", b"\r\n", b""], id="blanks that end"),
        pytest.param([b" ", b"{", b" "], id="blanks inside an answer"),
    ],
)
def test_what_does_not_go_on_is_given_up(windows: list[bytes]) -> None:
    """A body is given up with the first window that brings too little, and no sooner."""

    async def script(answer: Answer) -> None:
        for part in windows:
            assert not answer.task.cancelling()
            await answer.window(*filter(None, [part]))
        assert answer.task.cancelling()

    assert play(script) is None


@pytest.mark.parametrize(
    "windows",
    [
        pytest.param([], id="at once"),
        pytest.param([b"0123456789"] * 50, id="slow but sure"),
        pytest.param([b"\n"] * 50 + [b"{", b"0123456789"], id="queued for long"),
        pytest.param([b"{", b"0123456789"], id="begun at the end of a window"),
    ],
)
def test_what_goes_on_is_read_to_its_end(windows: list[bytes]) -> None:
    """Slowness alone is no reason, nor are empty lines ahead of an answer that waits its turn."""

    async def script(answer: Answer) -> None:
        for part in windows:
            await answer.window(part)

    assert play(script) == b"".join(windows)


def test_many_small_parts_count_together() -> None:
    """The bytes of a window count, not the size of its parts."""

    async def script(answer: Answer) -> None:
        for _ in range(5):
            await answer.window(*[b"x"] * 10)

    assert play(script) == b"x" * 50


def test_a_part_that_overtakes_the_end_ends_the_reading_too() -> None:
    """The HTTP client may hand a part over instead of the cancellation: the body stays given up."""
    clock = ManualClock()
    watch = Watch(10, WINDOW_S, clock)

    async def part_instead() -> Bytes:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return Bytes(b"x" * 100)
        raise AssertionError

    async def read() -> int:
        with watch.begin() as body:
            while True:
                body.take(await part_instead())
        return body.size

    async def run() -> tuple[int, int]:
        reading = asyncio.create_task(read())
        await asyncio.sleep(0)
        clock.advance(WINDOW_S)
        return await reading, reading.cancelling()

    assert asyncio.run(run()) == (0, 0)


@pytest.mark.parametrize("first", ["rule", "caller"])
def test_the_callers_own_cancellation_is_not_swallowed(first: str) -> None:
    """Where the rule and the caller end the same wait, the task is cancelled."""

    async def run() -> None:
        clock = ManualClock()
        answer = Answer(Watch(10, WINDOW_S, clock), clock)
        if first == "caller":
            await asyncio.sleep(0)
            answer.task.cancel()
        await answer.window()
        if first == "rule":
            answer.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await answer.task

    asyncio.run(run())


def test_stopping_all_gives_up_every_body() -> None:
    """Whoever closes a transport waits for none of its answers."""

    async def run() -> list[bytes | None]:
        clock = ManualClock()
        watch = Watch(10, WINDOW_S, clock)
        answers = [Answer(watch, clock) for _ in range(3)]
        await asyncio.sleep(0)
        watch.stop_all()
        return [await answer.task for answer in answers]

    assert asyncio.run(run()) == [None, None, None]


class CountingClock(ManualClock):
    """Counts the timers that were set."""

    timers = 0

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        """Count it."""
        self.timers += 1
        return super().call_later(delay_s, callback)


def test_answers_that_come_at_once_share_a_timer() -> None:
    """A thousand bodies in one window set one timer, and none is left when they are gone."""
    clock = CountingClock()
    watch = Watch(10, WINDOW_S, clock)

    async def run() -> None:
        for _ in range(1_000):
            with watch.begin() as body:
                body.take(Bytes(b"{}"))

    asyncio.run(run())
    assert clock.timers == 1
    clock.advance(10 * WINDOW_S)
    assert clock.timers == 1
