"""One attempt: what is made of an answer."""

import asyncio
import json

import pytest

from penstock.engine.caller import call
from penstock.models import Failure, Fault, Request, Response
from penstock.redaction import Secret
from penstock.transport.fake import FunctionTransport, respond


@pytest.mark.parametrize(("inputs", "kind"), [(["a"], Response), (["a", "b", "c"], Failure)])
def test_an_answer_is_held_against_its_request(inputs: list[str], kind: type) -> None:
    """One vector is the answer to one text, and no answer to three."""
    answer = json.dumps({"data": [{"index": 0, "embedding": [0.5]}], "model": "secret-1"}).encode()
    request = Request("embeddings", "embeddings", json.dumps({"model": "m", "input": inputs}).encode(), "m")
    transport = FunctionTransport(lambda path, body: respond(200, answer))
    outcome = asyncio.run(call(transport, request, (Secret("secret-1"),)))
    assert isinstance(outcome, kind)
    if isinstance(outcome, Failure):
        assert (outcome.fault, outcome.code) == (Fault.AMBIGUOUS, "not_an_answer")
        assert "secret-1" not in (outcome.excerpt or "")
