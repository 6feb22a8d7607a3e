"""Spoiling a good answer in the ways a fault names."""

from penstock.simulator.faults import InjectedFault

BYTES_PER_MB = 1024 * 1024
HTML_TYPE = "text/html; charset=utf-8"


def error_page(status: int) -> bytes:
    """The page of a proxy that stands before the provider and could not reach it."""
    return (
        "<!DOCTYPE html>\n<html>\n"
        f"<head><title>{status} | Bad gateway</title><style>body {{ margin: 0 }}</style></head>\n"
        "<body>\n<h1>Bad gateway</h1>\n<p>The web server reported a bad gateway error.</p>\n</body>\n</html>\n"
    ).encode()


def spoil_body(body: bytes, fault: InjectedFault) -> bytes:
    """A complete body, as `fault.body` leaves it. An oversized one stays valid JSON: blanks follow it."""
    match fault.body:
        case "empty":
            return b""
        case "bad_json":
            return body[: len(body) // 2]
        case "oversized":
            return body + b" " * (fault.mb * BYTES_PER_MB)
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
        case _:
            return events
