"""One attempt: send a request, and make of what comes back a response or a failure."""

import time

from penstock.apis.registry import APIS
from penstock.models import Failure, Outcome, Request
from penstock.policy.faults import classify
from penstock.redaction import Secret
from penstock.transport.protocol import Transport


async def call(transport: Transport, request: Request, secrets: tuple[Secret, ...] = ()) -> Outcome:
    """The outcome of one attempt; whatever happens is a value, and none of `secrets` stands in a failure."""
    answer = await transport.send(request.path, request.body)
    if isinstance(answer, Failure):
        return answer
    if not 200 <= answer.status < 300:
        return classify(answer.status, _without(secrets, answer.body), answer.header, time.time())
    outcome = APIS[request.api].decode(answer.body, request.body)
    if isinstance(outcome, Failure):
        return APIS[request.api].decode(_without(secrets, answer.body), request.body)
    return outcome


def _without(secrets: tuple[Secret, ...], body: bytes) -> bytes:
    """The body as it may be quoted: providers say back the key that they refuse."""
    for secret in secrets:
        body = body.replace(secret.reveal().encode(), b"[redacted]")
    return body
