"""How a command and its reply go over the socket: one line of JSON each way, then the connection closes."""

import msgspec

from penstock.control.commands import Command, SetValue, Status, checked
from penstock.errors import UsageError
from penstock.events import Snapshot

MAX_REQUEST_BYTES = 4096
MAX_REPLY_BYTES = 16 * 2**20
"""A snapshot of a thousand scopes with full histories is a few MiB."""

Request = Command | Status


class Done(msgspec.Struct, frozen=True, tag="done"):
    """The command was done; the words are for a person."""

    words: str


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """The command was not done, and why."""

    message: str
    hint: str | None = None


class Told(msgspec.Struct, frozen=True, tag="told"):
    """How the run stands."""

    snapshot: Snapshot


Reply = Done | Refused | Told

_requests = msgspec.json.Decoder(Request)
_replies = msgspec.json.Decoder(Reply)


def encode_request(request: Request) -> bytes:
    """The line that asks."""
    return msgspec.json.encode(request) + b"\n"


def decode_request(line: bytes) -> Request:
    """What was asked, with values that can be. Raises `UsageError`."""
    try:
        request: Request = _requests.decode(line)
    except msgspec.DecodeError as error:
        raise UsageError(f"This is no command: {error}.") from None
    return checked(request) if isinstance(request, SetValue) else request


def encode_reply(reply: Reply) -> bytes:
    """The line that answers."""
    return msgspec.json.encode(reply) + b"\n"


def decode_reply(line: bytes) -> Reply:
    """What was answered. Raises `UsageError` for what an older or newer version says."""
    try:
        reply: Reply = _replies.decode(line)
    except msgspec.DecodeError:
        raise UsageError(
            "The run's answer cannot be read.", "It is worked on by another version of penstock: use that one."
        ) from None
    return reply
