"""Reading HTTP/1.1 requests from the bytes of one connection."""

from typing import Protocol

import httptools

from penstock.simulator.provider import Call


class Hearer(Protocol):
    """Who wants to know what was read."""

    def hear_head(self, path: str, expects_continue: bool) -> None:
        """The head of a request has come; `expects_continue` where the client waits for leave to send the body."""
        ...

    def hear_call(self, call: Call) -> None:
        """A request has come in whole."""
        ...


class RequestReader:
    """Collects requests and tells `hearer` of each. `feed` raises `httptools.HttpParserError` for what is not HTTP."""

    def __init__(self, hearer: Hearer) -> None:
        self._hearer = hearer
        self._parser = httptools.HttpRequestParser(self)
        self.feed = self._parser.feed_data
        self.on_message_begin()

    def on_message_begin(self) -> None:
        """Called by the parser."""
        self._url = b""
        self._key = ""
        self._expects_continue = False
        self._body: list[bytes] = []

    def on_url(self, url: bytes) -> None:
        """Called by the parser, perhaps with a part of it."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser."""
        lowered = name.lower()
        if lowered == b"authorization":
            self._key = value.decode("latin-1").removeprefix("Bearer ").strip()
        elif lowered == b"expect":
            self._expects_continue = value.lower() == b"100-continue"

    def on_headers_complete(self) -> None:
        """Called by the parser."""
        self._hearer.hear_head(self._path(), self._expects_continue)

    def on_body(self, data: bytes) -> None:
        """Called by the parser, with a part of it."""
        self._body.append(data)

    def on_message_complete(self) -> None:
        """Called by the parser."""
        call = Call(
            method=self._parser.get_method().decode("latin-1"),
            path=self._path(),
            key=self._key,
            body=b"".join(self._body),
            keep_alive=self._parser.should_keep_alive(),
        )
        self._hearer.hear_call(call)

    def _path(self) -> str:
        return self._url.decode("latin-1").partition("?")[0]
