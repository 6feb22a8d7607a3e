"""One attempt: what is made of an answer."""

import asyncio
import json

import pytest

from penstock.endpoints import NO_KEY, Endpoint, Key
from penstock.engine.caller import call
from penstock.engine.scope import Lane
from penstock.models import Failure, Fault, Request, Response
from penstock.policy.announced import Announced
from penstock.redaction import Secret
from penstock.transport.fake import FunctionTransport, respond


@pytest.mark.parametrize(("inputs", "kind"), [(["a"], Response), (["a", "b", "c"], Failure)])
def test_an_answer_is_held_against_its_request(inputs: list[str], kind: type) -> None:
    """One vector is the answer to one text, and no answer to three."""
    answer = json.dumps({"data": [{"index": 0, "embedding": [0.5]}], "model": "secret-1"}).encode()
    request = Request("embeddings", "embeddings", json.dumps({"model": "m", "input": inputs}).encode(), "m")
    transport = FunctionTransport(lambda path, body: respond(200, answer))
    endpoint = Endpoint("e", "http://127.0.0.1/v1")
    lane = Lane(endpoint, Key(Secret("secret-1"), "OPENAI_API_KEY"), "m", transport)
    outcome, _ = asyncio.run(call(lane, request))
    assert isinstance(outcome, kind)
    if isinstance(outcome, Failure):
        assert (outcome.fault, outcome.code) == (Fault.AMBIGUOUS, "not_an_answer")
        assert "secret-1" not in (outcome.excerpt or "")


def test_a_model_is_asked_by_the_name_that_it_has_at_the_endpoint() -> None:
    """Everything else in the body means what it meant."""
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "流"}], "seed": 7}).encode()
    sent: list[dict[str, object]] = []

    def answer(path: str, body: bytes) -> Failure:
        sent.append(json.loads(body))
        return Failure(Fault.UNSENT, "no")

    lane = Lane(Endpoint("e", "http://127.0.0.1/v1"), NO_KEY, "vendor/m", FunctionTransport(answer))
    asyncio.run(call(lane, Request("chat", "chat/completions", body, "m")))
    assert sent == [json.loads(body) | {"model": "vendor/m"}]


def test_announced_limits_are_told_to_whoever_wants_them() -> None:
    """They stand in the headers, of a refusal too."""
    transport = FunctionTransport(lambda path, body: respond(429, b"{}", {"X-RateLimit-Limit-Requests": "60"}))
    lane = Lane(Endpoint("e", "http://127.0.0.1/v1"), NO_KEY, "m", transport)
    request = Request("chat", "chat/completions", b"{}", "m")
    told = [asyncio.run(call(lane, request, looks=looks))[1] for looks in (True, False)]
    assert told == [Announced(rpm=60.0), None]
