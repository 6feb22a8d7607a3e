"""A small HTTP client that hides nothing, for the simulator's tests."""

import json
import socket
from collections.abc import Callable
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest

from penstock.simulator import BackgroundSimulator


class Received(msgspec.Struct, frozen=True):
    """A response as it came; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)

    def events(self) -> list[Any]:
        """The data of its server-sent events, decoded; `[DONE]` as it stands."""
        data = [line[6:] for line in self.body.decode().splitlines() if line.startswith("data: ")]
        return [text if text == "[DONE]" else json.loads(text) for text in data]


@pytest.fixture
def send() -> Callable[..., Received]:
    """Send one request on a connection of its own and read the response."""

    def send(
        sim: BackgroundSimulator, path: str, body: Any = None, key: str | None = None, method: str | None = None
    ) -> Received:
        connection = HTTPConnection(urlsplit(sim.base_url).netloc, timeout=10)
        try:
            raw = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
            headers = {"authorization": f"Bearer {key}"} if key else {}
            connection.request(method or ("GET" if body is None else "POST"), path, raw, headers)
            response = connection.getresponse()
            named = {name.lower(): value for name, value in response.getheaders()}
            return Received(response.status, named, response.read())
        finally:
            connection.close()

    return send


@pytest.fixture
def chat(send: Callable[..., Received]) -> Callable[..., Received]:
    """Send one chat completion with this user message."""

    def chat(sim: BackgroundSimulator, text: str, key: str | None = None, **fields: Any) -> Received:
        body = {"model": "sim", "messages": [{"role": "user", "content": text}], **fields}
        return send(sim, "/v1/chat/completions", body, key)

    return chat


@pytest.fixture
def open_chat() -> Callable[[BackgroundSimulator, str], socket.socket]:
    """Send one chat completion and hand over the bare socket, with nothing read from it yet."""

    def open_chat(sim: BackgroundSimulator, text: str) -> socket.socket:
        parts = urlsplit(sim.base_url)
        bare = socket.create_connection((parts.hostname, parts.port or 0), timeout=10)
        body = json.dumps({"model": "sim", "messages": [{"role": "user", "content": text}]}).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: sim\r\ncontent-length: {len(body)}\r\n\r\n"
        bare.sendall(head.encode() + body)
        return bare

    return open_chat
