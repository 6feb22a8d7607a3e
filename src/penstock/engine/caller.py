"""One attempt: send a request, and make of what comes back a response or a failure."""

import time
from functools import partial

import msgspec

from penstock.apis.registry import APIS
from penstock.apis.streams import ASSEMBLERS
from penstock.engine.scope import Lane
from penstock.engine.streaming import Hearing, with_advice
from penstock.models import Failure, HttpResponse, Outcome, Request
from penstock.policy.announced import Announced, announced_by
from penstock.policy.faults import classify
from penstock.redaction import Secret

Told = tuple[Outcome, Announced | None]
"""The outcome of a call, and the limits that the answer announces, where somebody wants to know."""

_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode


async def call(lane: Lane, request: Request, timeout_s: float | None = None, *, looks: bool = False) -> Told:
    """What comes of one attempt; whatever happens is a value, and no credential stands in a failure.

    `timeout_s` is a deadline of its own, None for the transport's. With `looks` the answer's headers are read.
    """
    body = request.body if lane.model == request.model else _asking_for(lane.model, request.body)
    if request.stream:
        return await _call_stream(lane, request, body, timeout_s, looks)
    answer = await lane.transport.send(request.path, body, timeout_s)
    if isinstance(answer, Failure):
        return answer, None
    return _outcome(answer, request, body, lane.secrets), announced_by(answer.header) if looks else None


async def _call_stream(lane: Lane, request: Request, body: bytes, timeout_s: float | None, looks: bool) -> Told:
    hearing = Hearing(ASSEMBLERS[request.api](body), time.monotonic())
    answer = await lane.transport.stream(request.path, body, hearing, timeout_s)
    announced = announced_by(answer.header) if looks and isinstance(answer, HttpResponse) else None
    if hearing.heard:
        return hearing.outcome(APIS[request.api], body, answer, partial(_without, lane.secrets)), announced
    outcome = answer if isinstance(answer, Failure) else _outcome(answer, request, body, lane.secrets)
    return with_advice(outcome), announced


def _outcome(answer: HttpResponse, request: Request, body: bytes, secrets: tuple[Secret, ...]) -> Outcome:
    if not 200 <= answer.status < 300:
        return classify(answer.status, _without(secrets, answer.body), answer.header, time.time())
    outcome = APIS[request.api].decode(answer.body, body)
    if isinstance(outcome, Failure):
        return APIS[request.api].decode(_without(secrets, answer.body), body)
    return outcome


def _asking_for(model: str, body: bytes) -> bytes:
    """The body with the name that the model has at this endpoint."""
    return _encode(_decode_fields(body) | {"model": msgspec.Raw(_encode(model))})


def _without(secrets: tuple[Secret, ...], body: bytes) -> bytes:
    """The body as it may be quoted: providers say back the key that they refuse."""
    for secret in secrets:
        body = body.replace(secret.reveal().encode(), b"[redacted]")
    return body
