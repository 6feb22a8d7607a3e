"""Spoiling a good answer in the ways a fault names."""

import zlib

from penstock.simulator.faults import InjectedFault

BYTES_PER_MB = 1024 * 1024
HTML_TYPE = "text/html; charset=utf-8"
TEXT_TYPE = "text/plain; charset=utf-8"
NO_HTTP = b"\x00\x16 this is no HTTP at all\r\n\r\n"
PLAIN_TEXT = b"The service is busy. Please come back later.\n"
_GZIP = 31
_DEEP = b'{"choices":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
_DIGITS = b'{"choices":[],"created":' + b"9" * 1_000_000 + b"}"


def error_page(status: int) -> bytes:
    """The page of a proxy that stands before the provider and could not reach it."""
    return (
        "<!DOCTYPE html>\n<html>\n"
        f"<head><title>{status} | Bad gateway</title><style>body {{ margin: 0 }}</style></head>\n"
        "<body>\n<h1>Bad gateway</h1>\n<p>The web server reported a bad gateway error.</p>\n</body>\n</html>\n"
    ).encode()


def spoil_body(body: bytes, fault: InjectedFault) -> bytes:
    """A complete body, as `fault.body` leaves it. Oversized ones and bombs stay valid JSON: blanks follow it."""
    match fault.body:
        case "empty":
            return b""
        case "bad_json":
            return body[: len(body) // 2]
        case "bad_utf8":
            return body[: len(body) // 2] + b"\xff\xfe" + body[len(body) // 2 :]
        case "oversized":
            return body + b" " * (fault.mb * BYTES_PER_MB)
        case "bomb":
            return _packed(body, fault.mb)
        case "deep":
            return _DEEP
        case "digits":
            return _DIGITS
        case _:
            return body


def spoil_events(events: list[bytes], fault: InjectedFault) -> list[bytes]:
    """The events of a stream, as `fault.body` leaves them. An oversized stream holds one huge comment."""
    match fault.body:
        case "empty":
            return []
        case "bad_json":
            return [*events[: len(events) // 2], b'data: {"id": \n\n']
        case "oversized":
            return [b":" + b" " * (fault.mb * BYTES_PER_MB) + b"\n\n", *events]
        case "bomb":
            return [_packed(b"".join(events), fault.mb)]
        case "deep" | "digits" | "bad_utf8":
            return [*events[: len(events) // 2], b"data: " + spoil_body(b'""', fault) + b"\n\n"]
        case _:
            return events


def _packed(data: bytes, mb: int) -> bytes:
    """A gzip of `data` and `mb` megabytes of blanks: a thousandth of that on the wire."""
    packer = zlib.compressobj(wbits=_GZIP)
    blanks = [packer.compress(b" " * BYTES_PER_MB) for _ in range(mb)]
    head = packer.compress(data)
    return b"".join((*blanks, head, packer.flush()))
