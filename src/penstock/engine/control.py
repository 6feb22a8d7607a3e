"""The run's ear: a Unix socket in its folder, over which its user tells it what to do while it works.

Nobody who connects can hold up or end the run otherwise than by a command: whoever is silent, slow or talks nonsense is
let go, and a run that cannot listen works without.
"""

import asyncio
import os
import socket
import struct
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Protocol, cast

from penstock.control.address import SOCKET_FILE, make_socket, short_path
from penstock.control.commands import Command, Status
from penstock.control.wire import MAX_REQUEST_BYTES, Done, Refused, Reply, Told, decode_request, encode_reply
from penstock.errors import PenstockError, UsageError
from penstock.events import Snapshot

PATIENCE_S = 10.0
"""How long a client may take to ask, and to take its answer."""
FAREWELL_S = 0.5
"""How long the end of the run waits for answers that are under way."""
MOST_CLIENTS = 16
SOCKET_MODE = 0o600
NOT_THE_USER = Refused("Only the user who runs it may control this run.")
_PEER = struct.Struct("3i")
"""Linux tells of a peer its process, user and group."""


class Controlled(Protocol):
    """A run that takes commands."""

    async def control(self, command: Command) -> str:
        """Do it; the words for the person. Raises `UsageError` for what cannot be."""
        ...

    def live(self) -> Snapshot:
        """How it stands."""
        ...


@asynccontextmanager
async def serving(
    folder: Path,
    controlled: Controlled,
    on_trouble: Callable[[str], None],
    *,
    patience_s: float = PATIENCE_S,
    user_id: int | None = None,
) -> AsyncIterator[None]:
    """Take commands for the run in `folder`, whose lock is held, as long as the block lasts.

    `user_id` is whose commands are taken, by default this process's. `on_trouble` hears why the run cannot listen.
    """
    clients = _Clients(controlled, patience_s, os.getuid() if user_id is None else user_id)
    server = await _start(folder, clients, on_trouble)
    try:
        yield
    finally:
        if server is not None:
            _remove(folder)
            server.close()
            await clients.aclose()


async def _start(folder: Path, clients: "_Clients", on_trouble: Callable[[str], None]) -> asyncio.Server | None:
    try:
        return await asyncio.start_unix_server(clients.welcome, sock=listen(folder), limit=MAX_REQUEST_BYTES)
    except (OSError, UsageError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        on_trouble(f"This run takes no commands from `penstock ctl`: {reason}")
        return None


def listen(folder: Path) -> socket.socket:
    """A socket bound in the folder, for its user alone from its first instant; one that was left there gives way."""
    listener = make_socket()
    try:
        with short_path(folder) as path:
            Path(path).unlink(missing_ok=True)
            _bind(listener, path)
    except OSError:
        listener.close()
        raise
    return listener


def _bind(listener: socket.socket, path: str) -> None:
    if sys.platform == "linux":
        # The file is made with the mode of its socket. A umask would hold for the files of other threads too.
        os.fchmod(listener.fileno(), SOCKET_MODE)
        listener.bind(path)
        return
    before = os.umask(0o777 & ~SOCKET_MODE)
    try:
        listener.bind(path)
    finally:
        os.umask(before)


def _remove(folder: Path) -> None:
    """Take the socket away. One that cannot be taken is heard by nobody, and gives way to the next run's."""
    with suppress(OSError):
        (folder / SOCKET_FILE).unlink()


class _Clients:
    def __init__(self, controlled: Controlled, patience_s: float, user_id: int) -> None:
        self._controlled = controlled
        self._patience_s = patience_s
        self._user_id = user_id
        self._all: set[asyncio.Task[None]] = set()
        self._unheard: set[asyncio.Task[None]] = set()
        self._closing = False

    def welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Somebody has connected."""
        if self._closing or len(self._all) >= MOST_CLIENTS:
            writer.transport.abort()
            return
        task = asyncio.create_task(self._serve(reader, writer))
        for tasks in (self._all, self._unheard):
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        task.add_done_callback(lambda task: writer.close())

    async def aclose(self) -> None:
        """Who has been heard gets an answer, if it takes it at once; nobody else is waited for."""
        self._closing = True
        for task in self._unheard:
            task.cancel()
        if self._all:
            await asyncio.wait(self._all, timeout=FAREWELL_S)
        for task in self._all:
            task.cancel()
        await asyncio.gather(*self._all, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request and its reply."""
        # With this, what is drained is with the kernel: a client that does not read holds nothing open.
        writer.transport.set_write_buffer_limits(0)
        try:
            async with asyncio.timeout(self._patience_s):
                line = await self._hear(reader)
            if line:
                reply = await self._reply(line) if self._is_user(writer) else NOT_THE_USER
                writer.write(encode_reply(reply))
                async with asyncio.timeout(self._patience_s):
                    await writer.drain()
        except (OSError, asyncio.CancelledError):
            writer.transport.abort()

    async def _hear(self, reader: asyncio.StreamReader) -> bytes:
        """The request; nothing of a client that has gone, the beginning of one that does not end."""
        try:
            return await reader.readuntil()
        except asyncio.IncompleteReadError:
            return b""
        except asyncio.LimitOverrunError:
            return await reader.read(MAX_REQUEST_BYTES)
        finally:
            self._unheard.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    def _is_user(self, writer: asyncio.StreamWriter) -> bool:
        """Whether the peer is the run's user. Where the system does not tell, the mode of the socket is the guard."""
        if not hasattr(socket, "SO_PEERCRED"):
            return True
        connection = writer.get_extra_info("socket")
        _, user_id, _ = _PEER.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
        return bool(user_id == self._user_id)

    async def _reply(self, line: bytes) -> Reply:
        try:
            request = decode_request(line)
            if isinstance(request, Status):
                return Told(self._controlled.live())
            return Done(await self._controlled.control(request))
        except PenstockError as error:
            return Refused(error.message, error.hint)
        except Exception as error:
            return Refused(f"The command failed: {type(error).__name__}: {error}")
