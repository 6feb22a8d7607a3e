"""A server of raw sockets that goes wrong in one way each, after it has read the whole request."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

READ_WITHIN_S = 10.0
PARTIAL = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n" + b" " * 100

Handler = Callable[[socket.socket], None]


def read_request(connection: socket.socket) -> bytes:
    """One request with its body."""
    received = b""
    while b"\r\n\r\n" not in received and (part := connection.recv(65536)):
        received += part
    head, _, body = received.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    while len(body) < int(lengths[0]) and (part := connection.recv(65536)):
        body += part
    return body


def reset(connection: socket.socket) -> None:
    """Reset instead of an answer."""
    read_request(connection)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def close(connection: socket.socket) -> None:
    """Close instead of an answer."""
    read_request(connection)


def cut(connection: socket.socket) -> None:
    """Announce 1,000 bytes, send 100 and close."""
    read_request(connection)
    connection.sendall(PARTIAL)


def silence(connection: socket.socket) -> None:
    """Say nothing until the client goes away."""
    read_request(connection)
    with suppress(OSError):
        connection.recv(1)


@contextmanager
def going_wrong(handler: Handler) -> Iterator[str]:
    """The URL of a server whose every connection is given to `handler` and closed after it."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection:
                    connection.settimeout(READ_WITHIN_S)
                    with suppress(OSError):
                        handler(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield _url(listener)
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


@contextmanager
def refusing() -> Iterator[str]:
    """The URL of a port that nobody listens on."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield _url(bound)


@contextmanager
def never_accepting() -> Iterator[str]:
    """The URL of a listener whose queue is full: to connect takes until the time-out."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        waiting = []
        for _ in range(4):
            one = socket.socket()
            one.setblocking(False)
            with suppress(BlockingIOError):
                one.connect(listener.getsockname())
            waiting.append(one)
        try:
            yield _url(listener)
        finally:
            for one in waiting:
                one.close()


def _url(listening: socket.socket) -> str:
    return f"http://127.0.0.1:{listening.getsockname()[1]}/v1/chat/completions"
