"""Frames over a socket pair: whole, in order, and no more of them in memory than the other side takes."""

import asyncio
import os
import socket
from collections import deque

import pytest

from penstock.engine.processes.channel import PREFIX_BYTES, ROOM_BYTES, Channel

HARD_LIMIT_S = 60.0


class End:
    """One end that sends what it is given, and keeps what comes."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.to_send: deque[bytes] = deque()
        self.came: list[bytes] = []
        self.ended = asyncio.Event()
        self.changed = asyncio.Event()
        self.channel = Channel(connection, self._next_frame, self._take, self.ended.set)

    def send(self, *frames: bytes) -> None:
        """Send these."""
        self.to_send.extend(frames)
        self.channel.wake()

    async def until_came(self, count: int) -> None:
        """Return once so many frames have come."""
        while len(self.came) < count:
            self.changed.clear()
            await self.changed.wait()

    def _next_frame(self) -> bytearray | None:
        return bytearray(PREFIX_BYTES) + self.to_send.popleft() if self.to_send else None

    def _take(self, frame: memoryview) -> None:
        self.came.append(bytes(frame))
        self.changed.set()


SIZES = [
    [0],
    [1, 0, 2, 0, 0, 3],
    [ROOM_BYTES - PREFIX_BYTES],
    [ROOM_BYTES - PREFIX_BYTES + 1],
    [ROOM_BYTES - 5, 3, 10 * ROOM_BYTES, 1, ROOM_BYTES, 5, 5],
    [7] * 100_000,
]


@pytest.mark.parametrize("sizes", SIZES, ids=lambda sizes: f"{len(sizes)} up to {max(sizes)}")
def test_frames_of_every_size_arrive_whole_and_in_order(sizes: list[int]) -> None:
    """Also such as are larger than the room for them, and thousands at a time."""

    async def work() -> None:
        one, other = map(End, socket.socketpair())
        frames = [os.urandom(size) for size in sizes]
        async with asyncio.timeout(HARD_LIMIT_S):
            one.send(*frames)
            other.send(*frames[::-1])
            await other.until_came(len(frames))
            await one.until_came(len(frames))
        assert other.came == frames
        assert one.came == frames[::-1]
        one.channel.close()
        other.channel.close()

    asyncio.run(work())


def test_who_does_not_read_is_given_no_more() -> None:
    """One frame waits, whatever else there is to send, and all of it comes once he reads."""

    async def work() -> None:
        near, far = socket.socketpair()
        one = End(near)
        frames = [bytes([number]) * ROOM_BYTES for number in range(50)]
        one.send(*frames)
        for _ in range(100):
            await asyncio.sleep(0)
        assert len(one.to_send) >= 45
        other = End(far)
        async with asyncio.timeout(HARD_LIMIT_S):
            await other.until_came(len(frames))
        assert other.came == frames
        one.channel.close()
        other.channel.close()

    asyncio.run(work())


def test_what_was_sent_before_the_end_is_heard_before_it() -> None:
    """Answers that came are not lost because whoever sent them is gone, though he did not read everything."""

    async def work() -> None:
        near, far = socket.socketpair()
        one = End(near)
        one.send(b"never read")
        await asyncio.sleep(0)
        far.sendall(b"\x00\x00\x00\x03yes" + b"\x00\x00\x00\x09half")
        far.close()
        async with asyncio.timeout(HARD_LIMIT_S):
            await one.ended.wait()
        assert one.came == [b"yes"]
        one.send(b"to nobody")
        one.channel.close()

    asyncio.run(work())


def test_frames_for_somebody_who_is_gone_are_not_asked_for() -> None:
    """They were never sent."""

    async def work() -> None:
        near, far = socket.socketpair()
        one = End(near)
        far.close()
        one.send(b"1", b"2", b"3")
        async with asyncio.timeout(HARD_LIMIT_S):
            await one.ended.wait()
        assert len(one.to_send) >= 2

    asyncio.run(work())
