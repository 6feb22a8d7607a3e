"""What the driver and its workers say to each other, and how it is written: MessagePack, many messages to a frame."""

from typing import Any

import msgspec

from penstock.engine.processes.channel import PREFIX_BYTES
from penstock.models import Failure, Outcome, Request, Response
from penstock.policy.announced import Announced
from penstock.redaction import Secret
from penstock.transport.settings import TransportSettings


class OpenLane(msgspec.Struct, frozen=True, array_like=True, tag="lane"):
    """To a worker: from here on calls go by this lane too. It is the one message that carries a key."""

    number: int
    model: str
    settings: TransportSettings


class Call(msgspec.Struct, frozen=True, array_like=True, tag="call", gc=False):
    """To a worker: make this call by a lane that was opened before."""

    number: int
    lane: int
    request: Request
    timeout_s: float | None
    looks: bool


class GiveUp(msgspec.Struct, frozen=True, array_like=True, tag="give_up", gc=False):
    """To a worker: nobody waits for this call any more. It says nothing more of it, or too late."""

    number: int


class Ready(msgspec.Struct, frozen=True, array_like=True, tag="ready", gc=False):
    """From a worker, once and first: it takes calls."""


class Answered(msgspec.Struct, frozen=True, array_like=True, tag="answered", gc=False):
    """From a worker: a call was answered. `output` is that of the response, which is JSON and stands apart."""

    number: int
    response: Response
    output: bytes | None
    announced: Announced | None

    @property
    def outcome(self) -> Response:
        """What the call came to."""
        if self.output is None:
            return self.response
        return msgspec.structs.replace(self.response, output=msgspec.Raw(self.output))


class Failed(msgspec.Struct, frozen=True, array_like=True, tag="failed", gc=False):
    """From a worker: a call has failed."""

    number: int
    failure: Failure
    announced: Announced | None

    @property
    def outcome(self) -> Failure:
        """What the call came to."""
        return self.failure


class Broken(msgspec.Struct, frozen=True, array_like=True, tag="broken", gc=False):
    """From a worker: an exception that should not have been ended a call."""

    number: int
    words: str


ToWorker = OpenLane | Call | GiveUp
FromWorker = Ready | Answered | Failed | Broken


def told(number: int, outcome: Outcome, announced: Announced | None) -> FromWorker:
    """What a call came to, as a message."""
    if isinstance(outcome, Failure):
        return Failed(number, outcome, announced)
    if outcome.output is None:
        return Answered(number, outcome, None, announced)
    return Answered(number, msgspec.structs.replace(outcome, output=None), bytes(outcome.output), announced)


def encode_frame(messages: list[Any], frame: bytearray) -> bytearray:
    """Write a frame with room for its prefix in place of what `frame` held: memory that is there costs nothing."""
    _ENCODER.encode_into(messages, frame, PREFIX_BYTES)
    return frame


def encode_settings(settings: TransportSettings) -> bytes:
    """Settings as bytes that are the same for the same settings, their key included."""
    return _ENCODER.encode(settings)


def _reveal(secret: Any) -> str:
    if isinstance(secret, Secret):
        return secret.reveal()
    raise NotImplementedError(f"a {type(secret).__name__} is no part of a message")


def _conceal(kind: type, value: Any) -> Secret:
    if kind is Secret:
        return Secret(value)
    raise NotImplementedError(f"a {kind.__name__} is no part of a message")


_ENCODER = msgspec.msgpack.Encoder(enc_hook=_reveal)
decode_to_worker = msgspec.msgpack.Decoder(list[ToWorker], dec_hook=_conceal).decode
decode_from_worker = msgspec.msgpack.Decoder(list[FromWorker]).decode
