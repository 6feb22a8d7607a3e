"""From a reply to bytes on the wire: what is sent when, and how the exchange ends. Pure; the server performs it."""

import math
from collections.abc import Sequence
from email.utils import formatdate
from enum import Enum
from functools import lru_cache
from http import HTTPStatus

import msgspec

from penstock.simulator.provider import Reply
from penstock.simulator.spoiling import NO_HTTP

EVENT_STREAM = "text/event-stream; charset=utf-8"
_LAST_CHUNK = b"0\r\n\r\n"
_PHRASES = {status.value: status.phrase for status in HTTPStatus}


class Ending(Enum):
    """What becomes of the connection when everything was sent."""

    KEEP = "keep"
    CLOSE = "close"
    RESET = "reset"
    STALL = "stall"


class Delivery(msgspec.Struct, frozen=True):
    """Wait `delay_s`, send the pieces with `gap_s` between them, then end."""

    delay_s: float
    pieces: Sequence[bytes]
    gap_s: float = 0.0
    ending: Ending = Ending.KEEP

    @property
    def is_plain(self) -> bool:
        """Whether it is one write on a connection that stays open."""
        return len(self.pieces) == 1 and self.ending is Ending.KEEP


def plan_delivery(reply: Reply, keep_alive: bool, now_unix_s: float) -> Delivery:
    """How `reply` reaches the client, with the fault that it carries."""
    fault = reply.fault
    delay_s = reply.latency_s + fault.delay_ms / 1000
    if fault.reset in ("before", "after"):
        return Delivery(delay_s, (), ending=Ending.RESET)
    if fault.close is not None:
        return Delivery(delay_s, (), ending=Ending.CLOSE)
    if fault.body == "no_http":
        return Delivery(delay_s, [NO_HTTP], ending=Ending.CLOSE)
    if fault.stall == "head":
        return Delivery(delay_s, (), ending=Ending.STALL)
    head = encode_head(reply, keep_alive, now_unix_s)
    frames = [reply.body] if reply.events is None else [*map(_chunk, reply.events), _LAST_CHUNK]
    ending = Ending.KEEP if keep_alive else Ending.CLOSE
    if (cut := _cut(reply, sum(map(len, frames)))) is not None:
        length, ending = cut
        frames = [b"".join(frames)[:length]]
    if fault.drip_per_s:
        payload = b"".join(frames)
        drops = [payload[place : place + 1] for place in range(len(payload))]
        return Delivery(delay_s, [head, *drops], 1 / fault.drip_per_s, ending)
    if len(frames) > 1 and reply.latency_s:
        gap_s = reply.latency_s / len(frames)
        return Delivery(delay_s - reply.latency_s + gap_s, [head + frames[0], *frames[1:]], gap_s, ending)
    return Delivery(delay_s, [head + b"".join(frames)], ending=ending)


def encode_head(reply: Reply, keep_alive: bool, now_unix_s: float) -> bytes:
    """Status line and headers, up to and with the empty line."""
    streamed = reply.events is not None
    lines = [
        f"HTTP/1.1 {reply.status} {_PHRASES.get(reply.status, 'Unknown')}",
        f"date: {_date(math.floor(now_unix_s))}",
        "server: penstock-sim",
        f"content-type: {EVENT_STREAM if streamed else reply.content_type}",
        "transfer-encoding: chunked" if streamed else f"content-length: {len(reply.body)}",
        *(f"{name}: {value}" for name, value in reply.headers.items()),
    ]
    if not keep_alive:
        lines.append("connection: close")
    return "\r\n".join([*lines, "\r\n"]).encode("latin-1", "replace")


def _cut(reply: Reply, length: int) -> tuple[int, Ending] | None:
    """How many bytes of the payload get out, and what then happens; None where all do."""
    fault = reply.fault
    if fault.stall == "body":
        return length // 2, Ending.STALL
    if fault.reset == "answer":
        return length // 2, Ending.RESET
    if fault.short_bytes is not None:
        return max(0, length - fault.short_bytes), Ending.CLOSE
    return None


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@lru_cache(maxsize=2)
def _date(unix_s: int) -> str:
    return formatdate(unix_s, usegmt=True)
