"""Frames between two event loops over a socket. Nothing waits: who reads slowly is given no more until he has read.

A frame is its length in four bytes, and so many bytes.
"""

import asyncio
import socket
from collections.abc import Callable

PREFIX_BYTES = 4
ROOM_BYTES = 262_144
"""Room for what comes in; a frame that is larger gets more for as long as it takes."""
NOTHING = memoryview(b"")


class Channel:
    """One end of a socket pair.

    `next_frame` is asked for a frame, which begins with `PREFIX_BYTES` to be filled in, once in a turn of the loop
    after `wake`, and for more as long as the other side takes them; None where there is none. `on_frame` gets what
    comes, for the time of the call; `on_end` hears that the other side is gone. The memory of a frame may be used again
    for the next one.
    """

    def __init__(
        self,
        connection: socket.socket,
        next_frame: Callable[[], bytearray | None],
        on_frame: Callable[[memoryview], None],
        on_end: Callable[[], None],
    ) -> None:
        connection.setblocking(False)
        self._socket = connection
        self._next_frame = next_frame
        self._on_frame = on_frame
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._is_awake = False
        self._is_open = True
        self._is_heard = True
        self._rest = NOTHING
        self._room = memoryview(bytearray(ROOM_BYTES))
        self._filled = 0
        self._loop.add_reader(connection, self._read)

    def wake(self) -> None:
        """There is something to send: a frame is asked for with the next turn of the loop, if the last one has gone."""
        if not self._is_awake and not self._rest:
            self._is_awake = True
            self._loop.call_soon(self._send)

    def close(self) -> None:
        """Send and take nothing any more. Safe to call twice."""
        if not self._is_open:
            return
        self._is_open = self._is_heard = False
        self._loop.remove_reader(self._socket)
        if self._rest:
            self._loop.remove_writer(self._socket)
            self._rest = NOTHING
        self._socket.close()

    # Sending

    def _send(self) -> None:
        self._is_awake = False
        while self._is_heard and not self._rest and (frame := self._next_frame()) is not None:
            frame[:PREFIX_BYTES] = (len(frame) - PREFIX_BYTES).to_bytes(PREFIX_BYTES)
            self._rest = memoryview(frame)
            self._write()
            if self._rest:
                self._loop.add_writer(self._socket, self._go_on)

    def _go_on(self) -> None:
        self._write()
        if not self._rest:
            self._loop.remove_writer(self._socket)
            self._send()

    def _write(self) -> None:
        try:
            sent = self._socket.send(self._rest)
            # Nothing may hold on to a frame that has gone: the next one is written in its place.
            self._rest = self._rest[sent:] if sent < len(self._rest) else NOTHING
        except BlockingIOError:
            return
        except OSError:
            self._rest, self._is_heard = NOTHING, False  # nobody is there: the reading side will see

    # Taking

    def _read(self) -> None:
        try:
            count = self._socket.recv_into(self._room[self._filled :])
        except BlockingIOError:
            return
        except OSError:
            count = 0
        if count == 0:
            self.close()
            self._on_end()
            return
        self._filled += count
        self._take()

    def _take(self) -> None:
        """Hand on every frame that is complete, and keep the beginning of the next."""
        room, start, ends = self._room, 0, 0
        while self._filled - start >= PREFIX_BYTES:
            ends = start + PREFIX_BYTES + int.from_bytes(room[start : start + PREFIX_BYTES])
            if ends > self._filled:
                break
            self._on_frame(room[start + PREFIX_BYTES : ends])
            if not self._is_open:
                return
            start = ends
        left = self._filled - start
        wanted = max(ROOM_BYTES, ends - start)
        if wanted == len(room):
            room[:left] = room[start : self._filled]
        else:
            self._room = memoryview(bytearray(wanted))
            self._room[:left] = room[start : self._filled]
        self._filled = left
