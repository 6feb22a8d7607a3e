"""The table from status, codes and words to a fault."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.models import Failure, Fault
from penstock.policy.faults import CODES, classify, classify_error

NOW_S = 1_700_000_000.0


def classified(status: int, body: object = b"", **headers: str) -> Failure:
    """The failure of a response; a body that is not bytes is sent as JSON."""
    known = {name.replace("_", "-"): value for name, value in headers.items()}
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return classify(status, raw, known.get, NOW_S)


def error(message: str = "Sorry", code: object = None, kind: str | None = None, **more: Any) -> dict[str, Any]:
    """An error body as OpenAI sends it."""
    return {"error": {"message": message, "type": kind, "param": None, "code": code, **more}}


@pytest.mark.parametrize(
    ("statuses", "fault"),
    [
        ([429, 498], Fault.THROTTLED),
        ([409, 425, 500, 503, 521, 523, 525, 526, 529, 530], Fault.OVERLOADED),
        ([408, 499, 502, 504, 520, 522, 524, 527, 599, 100], Fault.AMBIGUOUS),
        ([400, 406, 410, 413, 414, 415, 422, 431, 451], Fault.REJECTED),
        ([401, 402, 403, 404, 405, 407], Fault.ACCOUNT),
        ([301, 302, 303, 307, 308], Fault.ACCOUNT),
    ],
)
def test_a_status_without_words(statuses: list[int], fault: Fault) -> None:
    """The status alone decides where there is nothing else."""
    assert {status: classified(status).fault for status in statuses} == dict.fromkeys(statuses, fault)


@pytest.mark.parametrize(
    "code",
    [
        "insufficient_quota",
        "credit_balance_exhausted",
        "organization_spend_limit_exceeded",
        "project_spend_limit_exceeded",
        "organization_usage_limit_exceeded",
        "billing_hard_limit_reached",
    ],
)
def test_a_429_for_money_is_the_accounts(code: str) -> None:
    """Waiting does not fill an account, even where a wait is named."""
    failure = classified(429, error(code=code, kind="insufficient_quota"), retry_after="3")
    assert (failure.fault, failure.code) == (Fault.ACCOUNT, code)


CASES: list[tuple[str, int, object, Fault, str | None]] = [
    ("OpenAI: limit", 429, error("Rate limit reached", "rate_limit_exceeded", "tokens"), Fault.THROTTLED, "…"),
    ("OpenAI: too fast", 429, error("Slow", "slow_down"), Fault.THROTTLED, "slow_down"),
    ("OpenAI: slow down", 503, error("Slow Down", kind="server_error"), Fault.THROTTLED, "slow_down"),
    (
        "OpenAI: larger than the limit",
        429,
        error("Request too large for gpt-4o on tokens per min", "rate_limit_exceeded", "tokens"),
        Fault.REJECTED,
        "request_too_large",
    ),
    ("OpenAI: overloaded", 503, error(code="server_is_overloaded"), Fault.OVERLOADED, "server_is_overloaded"),
    ("OpenAI: wrong key", 401, error("Incorrect API key", "invalid_api_key"), Fault.ACCOUNT, "invalid_api_key"),
    ("OpenAI: wrong model", 404, error("The model `x` does not exist", "model_not_found"), Fault.ACCOUNT, "…"),
    ("OpenAI: too long", 400, error("too long", "context_length_exceeded"), Fault.REJECTED, "context_length_exceeded"),
    ("OpenAI: parameter", 400, error("'temperature' is not supported with this model."), Fault.REJECTED, None),
    ("OpenAI: old response", 404, error(code="previous_response_not_found"), Fault.REJECTED, "…"),
    ("Azure: content", 400, error("The response was filtered", "content_filter"), Fault.REJECTED, "content_filter"),
    ("Azure: deployment", 404, error("Not here", "DeploymentNotFound"), Fault.ACCOUNT, "DeploymentNotFound"),
    ("Anthropic: limit", 429, error(kind="rate_limit_error"), Fault.THROTTLED, "rate_limit_error"),
    (
        "Anthropic: acceleration",
        429,
        error("This would exceed your organization's maximum usage increase rate", kind="rate_limit_error"),
        Fault.THROTTLED,
        "slow_down",
    ),
    (
        "Anthropic: spend limit",
        429,
        error(kind="rate_limit_error", details={"error_code": "enforced_spend_limit_reached"}),
        Fault.ACCOUNT,
        "enforced_spend_limit_reached",
    ),
    (
        "Anthropic: no credit",
        400,
        error("Your credit balance is too low to access the API", kind="invalid_request_error"),
        Fault.ACCOUNT,
        "insufficient_quota",
    ),
    ("Anthropic: own cap", 400, error("You have reached your API usage limits."), Fault.ACCOUNT, "insufficient_quota"),
    (
        "Anthropic: cut on the way",
        400,
        error("The request body is not valid JSON: unexpected end of data"),
        Fault.UNSENT,
        "truncated_request",
    ),
    ("Anthropic: overloaded", 529, error(kind="overloaded_error"), Fault.OVERLOADED, "overloaded_error"),
    (
        "Gemini: limit",
        429,
        [
            {
                "error": {
                    "code": 429,
                    "message": "You exceeded your current quota, please check your plan and billing details.",
                    "status": "RESOURCE_EXHAUSTED",
                    "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "17s"}],
                }
            }
        ],
        Fault.THROTTLED,
        "…",
    ),
    (
        "Gemini: wrong key",
        400,
        {"error": {"code": 400, "message": "API key not valid.", "details": [{"reason": "API_KEY_INVALID"}]}},
        Fault.ACCOUNT,
        "API_KEY_INVALID",
    ),
    ("DeepSeek: no money", 402, error("Insufficient Balance", "invalid_request_error"), Fault.ACCOUNT, "…"),
    ("DeepSeek: wrong model", 400, error("Model Not Exist"), Fault.ACCOUNT, "model_not_found"),
    (
        "Gemini: no service here",
        400,
        error("User location is not supported for the API use."),
        Fault.ACCOUNT,
        "unsupported_country_region_territory",
    ),
    (
        "Groq: larger than the limit",
        413,
        error("Request too large for model `x` on tokens per minute (TPM)", "rate_limit_exceeded", "tokens"),
        Fault.REJECTED,
        "request_too_large",
    ),
    ("Groq: old model", 400, error("Gone", "model_decommissioned"), Fault.ACCOUNT, "model_decommissioned"),
    ("Groq: flexible capacity", 498, error("Over capacity"), Fault.THROTTLED, None),
    ("Bedrock: throttled", 400, {"__type": "com.amazon#ThrottlingException", "message": "x"}, Fault.THROTTLED, "…"),
    ("Bedrock: quota", 400, {"__type": "ServiceQuotaExceededException", "message": "x"}, Fault.THROTTLED, "…"),
    ("Bedrock: warming up", 429, {"__type": "ModelNotReadyException", "message": "x"}, Fault.THROTTLED, "…"),
    ("Bedrock: wrong model", 400, {"message": "The provided model identifier is invalid."}, Fault.ACCOUNT, "…"),
    ("OpenRouter: flagged", 403, error("Your input was flagged", 403), Fault.REJECTED, "content_filter"),
    ("OpenRouter: wrong model", 400, error("foo/bar is not a valid model ID", 400), Fault.ACCOUNT, "model_not_found"),
    (
        "DashScope: limit that calls itself quota",
        429,
        error(
            "You exceeded your current quota. See https://help.example.com/model-studio/error-code",
            "insufficient_quota",
        ),
        Fault.THROTTLED,
        "insufficient_quota",
    ),
    ("DashScope: limit", 429, error("x", "Throttling.AllocationQuota"), Fault.THROTTLED, "Throttling.AllocationQuota"),
    ("DashScope: too fast", 429, error("x", "limit_burst_rate"), Fault.THROTTLED, "slow_down"),
    ("DashScope: too fast, natively", 429, {"code": "Throttling.BurstRate"}, Fault.THROTTLED, "slow_down"),
    ("DashScope: overdue", 400, {"code": "Arrearage", "message": "Access denied"}, Fault.ACCOUNT, "Arrearage"),
    ("DashScope: content", 400, error("x", "data_inspection_failed"), Fault.REJECTED, "data_inspection_failed"),
    ("Ark: too fast", 429, error("x", "RequestBurstTooFast"), Fault.THROTTLED, "slow_down"),
    ("Ark: own cap", 429, error("x", "SetLimitExceeded", "TooManyRequests"), Fault.ACCOUNT, "SetLimitExceeded"),
    ("Ark: overloaded", 429, error("x", "ServerOverloaded", "TooManyRequests"), Fault.OVERLOADED, "ServerOverloaded"),
    ("Ark: overdue", 403, error("x", "AccountOverdueError", "Forbidden"), Fault.ACCOUNT, "AccountOverdueError"),
    ("Moonshot: no money", 429, error("x", kind="exceeded_current_quota_error"), Fault.ACCOUNT, "…"),
    ("Moonshot: overloaded", 429, error("x", kind="engine_overloaded_error"), Fault.OVERLOADED, "…"),
    ("Moonshot: limit", 429, error("x", kind="rate_limit_reached_error"), Fault.THROTTLED, "rate_limit_reached_error"),
    ("Zhipu: no money", 429, error("余额不足或无可用资源包,请充值。", "1113"), Fault.ACCOUNT, "insufficient_quota"),
    ("Zhipu: limit", 429, error("您的账户已达到速率限制", "1302"), Fault.THROTTLED, None),
    ("Fireworks: no money", 412, error("Account is suspended: spending limit"), Fault.ACCOUNT, "insufficient_quota"),
    ("Hugging Face: wrong model", 400, error("x", "model_not_supported"), Fault.ACCOUNT, "model_not_supported"),
    ("New API: no money", 403, error("用户额度不足", "insufficient_user_quota"), Fault.ACCOUNT, "…"),
    ("New API: no channel", 503, error("no channel", "model_not_found"), Fault.ACCOUNT, "model_not_found"),
    (
        "vLLM: too long",
        400,
        {"object": "error", "message": "This model's maximum context length is 8192 tokens.", "code": 400},
        Fault.REJECTED,
        "context_length_exceeded",
    ),
    ("vLLM: wrong model", 404, {"message": "The model `x` does not exist.", "code": 404}, Fault.ACCOUNT, "…"),
    ("llama.cpp: too long", 400, error(kind="exceed_context_size_error"), Fault.REJECTED, "exceed_context_size_error"),
    ("Ollama: wrong model", 404, {"error": "model 'x' not found, try pulling it"}, Fault.ACCOUNT, "model_not_found"),
]


@pytest.mark.parametrize(
    ("status", "body", "fault", "code"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_what_providers_send(status: int, body: object, fault: Fault, code: str | None) -> None:
    """Each provider's own way to say it; "…" where the code does not matter."""
    failure = classified(status, body)
    assert failure.fault is fault
    assert code == "…" or failure.code == code


def test_a_402_with_a_wait_is_a_limit() -> None:
    """OpenRouter counts the spend in flight, and says when to come back."""
    failure = classified(402, error("In-flight budget"), retry_after="2")
    assert (failure.fault, failure.retry_after_s) == (Fault.THROTTLED, 2.0)


def test_an_amazon_header_names_the_error() -> None:
    """Its body may hold only a message."""
    failure = classified(400, {"message": "x"}, **{"x-amzn-errortype": "ThrottlingException:http://internal"})
    assert (failure.fault, failure.code) == (Fault.THROTTLED, "ThrottlingException")


def test_a_wait_from_the_body_is_kept() -> None:
    """In Gemini's field or in the words of the message."""
    details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "17s"}]
    assert classified(429, [error(details=details)]).retry_after_s == 17.0
    assert classified(429, error("Please try again in 1.5s.")).retry_after_s == 1.5


@pytest.mark.parametrize(
    "body",
    [
        error(metadata={"retry_after_seconds": 11}),
        error(metadata={"headers": {"X-RateLimit-Reset": str(int(NOW_S + 11) * 1_000)}}),
        error(metadata={"headers": {"Retry-After": "11"}}),
        error(retry_after=11.0),
        {"error": "Model is currently loading", "estimated_time": 11.0},
    ],
)
def test_a_wait_in_a_field_of_the_body_is_kept(body: object) -> None:
    """OpenRouter and other gateways put there what the provider behind them said."""
    assert classified(429, body).retry_after_s == 11.0
    assert classified(503, body).retry_after_s == 11.0


def test_a_wait_inside_an_answer_is_kept() -> None:
    """An error under status 200 has no headers of its own; a moment in time is not read there."""
    inside = {"code": 429, "message": "x", "metadata": {"retry_after_seconds": 11}}
    assert classify_error(inside, 200).retry_after_s == 11.0
    passed_on = {"code": 429, "message": "x", "metadata": {"headers": {"X-RateLimit-Reset": "1741305600000"}}}
    assert classify_error(passed_on, 200).retry_after_s is None


def test_a_reset_counts_only_for_a_limit() -> None:
    """Every OpenAI response tells when its buckets are full again."""
    assert classified(429, x_ratelimit_reset_tokens="6s").retry_after_s == 6.0
    assert classified(503, x_ratelimit_reset_tokens="6s").retry_after_s is None
    assert classified(503, retry_after="6").retry_after_s == 6.0


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error": {"message": "The words"}}, "The words"),
        ({"error": "The words"}, "The words"),
        ({"message": "The words"}, "The words"),
        ({"detail": "The words"}, "The words"),
        ({"detail": [{"loc": ["body"], "msg": "The words"}]}, "The words"),
        ({"errors": [{"message": "The words"}]}, "The words"),
        ({"title": "The words", "status": 400}, "The words"),
        ({"error": {"message": "Provider returned error", "metadata": {"raw": "why"}}}, "Provider returned error: why"),
        ([{"error": {"message": "The words"}}], "The words"),
        ("The words", "The words"),
        (b"The\n words\x1b[0m", "The words[0m"),
        (b"<html><head><title>502 Bad Gateway</title></head><p>Your IP: 192.0.2.7</p></html>", "502 Bad Gateway"),
        ({"unknown": {"shape": 1}}, '{"unknown":{"shape":1}}'),
        (b"", "HTTP 418 without a message"),
        ([], "HTTP 418 without a message"),
        ({}, "HTTP 418 without a message"),
        ({"error": {"message": "key sk-abcdefghijklmnop is wrong"}}, "key [redacted] is wrong"),
    ],
)
def test_the_message_is_the_providers_words(body: object, message: str) -> None:
    """One redacted line out of every shape, or the status where there is none."""
    assert classified(418, body).message == message


def test_a_web_page_is_not_kept() -> None:
    """Error pages of content networks hold the caller's own address."""
    page = b"<!DOCTYPE html><title>Error 522</title><p>Your IP: 192.0.2.7</p>"
    assert classified(522, page).excerpt == "Error 522"


def test_a_message_is_short() -> None:
    """At most 300 characters, with the advice too."""
    assert len(classified(404, error("long " * 1_000)).message) <= 300
    assert "usually ends in /v1" in classified(404, error("long " * 1_000)).message


def test_a_404_asks_about_the_base_url() -> None:
    """Unless the provider speaks of a model or of a thing that the request named."""
    assert "/v1" in classified(404, b"404 page not found").message
    assert "/v1" not in classified(404, error("The model `x` does not exist")).message
    assert "/v1" not in classified(404, error("Previous response with id 'r' not found")).message


def test_a_redirect_says_where_to() -> None:
    """Without the query, which may hold a token."""
    failure = classified(308, location="https://api.example.com/v1/chat?token=abc")
    assert failure.message == "The base URL redirects to https://api.example.com/v1/chat: use that."
    assert classified(301, location="http://[").message == "The base URL redirects to another place: use that."


def test_codes_are_in_lower_case() -> None:
    """They are looked up so."""
    assert [code for code in CODES if code != code.lower()] == []


@pytest.mark.parametrize(
    ("inside", "fault"),
    [
        ({"code": 429, "message": "x"}, Fault.THROTTLED),
        ({"code": "429", "message": "x"}, Fault.THROTTLED),
        ({"code": 503, "message": "x"}, Fault.OVERLOADED),
        ({"code": 502, "message": "x"}, Fault.AMBIGUOUS),
        ({"code": 402, "message": "x"}, Fault.ACCOUNT),
        ({"code": 200, "message": "x"}, Fault.AMBIGUOUS),
        ({"type": "not_found_error", "message": "model x"}, Fault.ACCOUNT),
        ({"type": "server_error", "message": "x"}, Fault.OVERLOADED),
        ({"message": "x"}, Fault.AMBIGUOUS),
        (True, Fault.AMBIGUOUS),
    ],
)
def test_an_error_inside_an_answer(inside: object, fault: Fault) -> None:
    """It is judged by the status it names, and is ambiguous without one."""
    assert classify_error(inside, 200).fault is fault


@given(status=st.integers(100, 999), body=st.binary(max_size=100), text=st.text(max_size=40))
def test_no_bytes_raise(status: int, body: bytes, text: str) -> None:
    """Whatever comes, a failure with a short line comes of it."""
    failure = classify(status, body, lambda _name: text, NOW_S)
    assert 0 < len(failure.message) <= 300
    assert "\n" not in failure.message


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "errors", "message", "code", "type", "details", "metadata", "raw", "detail"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@given(body=JSON)
def test_no_shape_raises(body: object) -> None:
    """Any JSON is read as an error, from the outside and from within."""
    assert classified(400, body).message
    assert classify_error(body, 200).message


@pytest.mark.parametrize("body", [b"[" * 100_000, b"9" * 1_000_000, b'{"error":' * 50_000 + b"1" + b"}" * 50_000])
def test_hostile_bodies_are_survived(body: bytes) -> None:
    """Depth and length do no harm."""
    assert classified(500, body).fault is Fault.OVERLOADED
