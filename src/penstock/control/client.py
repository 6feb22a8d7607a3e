"""Telling a run what to do, and asking how it stands, from another process."""

import socket
from pathlib import Path

from penstock.control.address import make_socket, short_path
from penstock.control.commands import Command, Status
from penstock.control.wire import (
    MAX_REPLY_BYTES,
    Done,
    Refused,
    Reply,
    Request,
    Told,
    decode_reply,
    encode_request,
)
from penstock.errors import UsageError
from penstock.events import Snapshot

ORDER_TIMEOUT_S = 30.0
LOOK_TIMEOUT_S = 5.0
"""A run whose event loop is busy answers late, not never; who only looks does not wait as long."""
CHUNK_BYTES = 65_536
AGAIN = "Unless it has ended, try again."


def order(folder: Path, command: Command) -> str:
    """Have the run in this folder do something; its words. Raises `UsageError` when it does not."""
    match _ask(folder, command, ORDER_TIMEOUT_S):
        case Done(words):
            return words
        case other:
            raise _unexpected(other)


def look(folder: Path) -> Snapshot:
    """How the run in this folder stands now. Raises `UsageError` when it does not say."""
    match _ask(folder, Status(), LOOK_TIMEOUT_S):
        case Told(snapshot):
            return snapshot
        case other:
            raise _unexpected(other)


def _unexpected(reply: Reply) -> UsageError:
    if isinstance(reply, Refused):
        return UsageError(reply.message, reply.hint)
    return UsageError("The run answered something else than it was asked.")


def _ask(folder: Path, request: Request, timeout_s: float) -> Reply:
    with make_socket() as connection:
        connection.settimeout(timeout_s)
        _connect(connection, folder)
        try:
            connection.sendall(encode_request(request))
            line = _read_line(connection)
        except OSError as error:
            raise UsageError(f"The run {folder.name!r} did not answer ({error.strerror or error}).", AGAIN) from None
    if not line.endswith(b"\n"):
        raise UsageError(f"The run {folder.name!r} hung up before it answered.", AGAIN)
    return decode_reply(line)


def _connect(connection: socket.socket, folder: Path) -> None:
    try:
        with short_path(folder) as path:
            connection.connect(path)
    except OSError as error:
        raise UsageError(
            f"The run {folder.name!r} does not listen ({error.strerror or error}).",
            "It is just starting or ending, or its folder takes no sockets: try again in a moment. Ctrl-C stops it.",
        ) from None


def _read_line(connection: socket.socket) -> bytes:
    line = bytearray()
    while not line.endswith(b"\n") and len(line) <= MAX_REPLY_BYTES:
        chunk = connection.recv(CHUNK_BYTES)
        if not chunk:
            break
        line += chunk
    return bytes(line)
