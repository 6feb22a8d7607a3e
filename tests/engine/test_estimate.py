"""What a request may use, before it is sent."""

import json
from typing import Any

import pytest

from penstock.engine.estimate import USUAL_OUTPUT_TOKENS, Estimate, estimate
from penstock.models import Request


def request(api: str = "chat", **body: Any) -> Request:
    """A request with this body."""
    return Request(api, "chat/completions", json.dumps(body).encode(), "m")


@pytest.mark.parametrize(
    ("body", "output_tokens"),
    [
        ({}, None),
        ({"max_tokens": 100}, 100),
        ({"max_completion_tokens": 200}, 200),
        ({"max_output_tokens": 300}, 300),
        ({"max_tokens": 100, "max_completion_tokens": 200}, 200),
        ({"max_tokens": 100, "n": 3}, 300),
        ({"max_tokens": 100, "n": 0}, 100),
        ({"max_tokens": None}, None),
        ({"max_tokens": "many"}, None),
    ],
)
def test_the_limit_of_an_answer_is_its_most(body: dict[str, Any], output_tokens: int | None) -> None:
    """Whatever the API calls it, times the answers asked for; the provider judges what is no number."""
    assert estimate(request(**body)).max_output_tokens == output_tokens


@pytest.mark.parametrize("api", ["embeddings", "moderations"])
def test_what_writes_nothing_costs_its_input_only(api: str) -> None:
    """Vectors and verdicts are not counted in tokens."""
    found = estimate(request(api, input="a text", max_tokens=5))
    assert found.max_output_tokens == 0
    assert found.tokens() == found.input_tokens > 0


def test_longer_prompts_are_more_tokens() -> None:
    """In proportion, in any script."""
    short, long = (estimate(request(messages=[{"content": "流量控制 " * times}])) for times in (1, 100))
    assert 50 * (short.input_tokens - 10) < long.input_tokens < 200 * short.input_tokens


def test_an_open_end_is_expected_to_be_usual() -> None:
    """A limit of tokens would otherwise hold back a run for answers that nobody gives."""
    assert Estimate(10, None).tokens() == 10 + USUAL_OUTPUT_TOKENS
    assert Estimate(10, None).tokens(2_000) == 2_010
    assert Estimate(10, 5).tokens(2_000) == 15
