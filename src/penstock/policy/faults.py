"""What a failed exchange means: one table from the provider's status, codes and words to a `Fault`.

Codes and words decide before the status, because providers reuse statuses: a 429 may be a limit (wait), an empty
account (stop) or a prompt that is larger than the limit (never). Sources: the error pages of OpenAI, Anthropic, Gemini,
DeepSeek, Groq, Bedrock, OpenRouter, DashScope, Ark, Moonshot, Zhipu, Fireworks and New API, and Cloudflare's for 52x.
"""

import re
from collections.abc import Callable
from urllib.parse import urlsplit

import msgspec

from penstock.models import Failure, Fault
from penstock.policy.error_words import (
    MESSAGE_CHARS,
    ErrorWords,
    excerpt_of,
    one_line,
    read_error,
    read_error_body,
)
from penstock.policy.retry_after import asked_wait_s, reset_wait_s

THROTTLED, OVERLOADED, UNSENT, AMBIGUOUS, REJECTED, ACCOUNT = (
    Fault.THROTTLED,
    Fault.OVERLOADED,
    Fault.UNSENT,
    Fault.AMBIGUOUS,
    Fault.REJECTED,
    Fault.ACCOUNT,
)

STATUSES: dict[int, Fault] = {
    401: ACCOUNT,
    402: ACCOUNT,
    403: ACCOUNT,
    404: ACCOUNT,
    405: ACCOUNT,
    407: ACCOUNT,
    408: AMBIGUOUS,
    409: OVERLOADED,
    424: AMBIGUOUS,
    425: OVERLOADED,
    429: THROTTLED,
    498: THROTTLED,
    499: AMBIGUOUS,
    500: OVERLOADED,
    503: OVERLOADED,
    # Cloudflare never reached the provider: refused, unreachable, TLS, certificate, its own DNS.
    521: OVERLOADED,
    523: OVERLOADED,
    525: OVERLOADED,
    526: OVERLOADED,
    529: OVERLOADED,
    530: OVERLOADED,
}
"""What a status means without words. Others: 3xx is the account's, 4xx rejected, the rest ambiguous."""

CODES: dict[str, Fault] = {
    **dict.fromkeys(
        (
            "insufficient_quota",
            "credit_balance_exhausted",
            "organization_usage_limit_exceeded",
            "enforced_spend_limit_reached",
            "billing_hard_limit_reached",
            "billing_not_active",
            "billing_error",
            "insufficient_balance",
            "insufficient_credits",
            "insufficient_user_quota",
            "pre_consume_token_quota_failed",
            "not_enough_balance",
            "arrearage",
            "postpaidbilloverdue",
            "prepaidbilloverdue",
            "commoditynotpurchased",
            "accountoverdueerror",
            "setlimitexceeded",
            "quotaexceeded",
            "exceeded_current_quota_error",
            "allocationquota.freetieronly",
            "invalid_api_key",
            "api_key_invalid",
            "authentication_error",
            "invalid_authentication_error",
            "account_deactivated",
            "permission_error",
            "unsupported_country_region_territory",
            "model_not_found",
            "modelnotfound",
            "invalid_model",
            "model_not_supported",
            "model_decommissioned",
            "modelnotopen",
            "deploymentnotfound",
        ),
        ACCOUNT,
    ),
    **dict.fromkeys(
        (
            "rate_limit_exceeded",
            "rate_limit_error",
            "rate_limit_reached_error",
            "too_many_requests",
            "throttlingexception",
            "toomanyrequestsexception",
            "servicequotaexceeded",
            "servicequotaexceededexception",
            "modelnotready",
            "modelnotreadyexception",
        ),
        THROTTLED,
    ),
    **dict.fromkeys(
        (
            "server_is_overloaded",
            "overloaded_error",
            "engine_overloaded",
            "engine_overloaded_error",
            "serveroverloaded",
            "insufficient_system_resource",
        ),
        OVERLOADED,
    ),
    **dict.fromkeys(("timeout_error", "request_timeout"), AMBIGUOUS),
    **dict.fromkeys(
        (
            "context_length_exceeded",
            "exceed_context_size_error",
            "content_filter",
            "content_policy_violation",
            "data_inspection_failed",
            "datainspectionfailed",
            "invalid_prompt",
            "previous_response_not_found",
        ),
        REJECTED,
    ),
}
"""What a provider's own code means, whatever the status; in lower case."""

SLOW_DOWN = "slow_down"
"""The code of every failure that says the traffic grows too fast, which is no matter of how much a limit allows."""

SLOW_DOWN_CODES = frozenset({SLOW_DOWN, "slowdown", "limit_burst_rate", "throttling.burstrate", "requestbursttoofast"})
"""How providers spell that; in lower case."""

TYPE_STATUSES: dict[str, int] = {
    "invalid_request_error": 400,
    "not_found_error": 404,
    "request_too_large": 413,
    "RESOURCE_EXHAUSTED": 429,
    "api_error": 500,
    "server_error": 500,
    "internal_server_error": 500,
}
"""The status that an error inside a 200 would have had, by its code or type."""


class WordRule(msgspec.Struct, frozen=True):
    """Words that decide for some statuses; `code` is given to an error that has none of its own."""

    statuses: tuple[int, ...]
    words: re.Pattern[str]
    fault: Fault
    code: str | None = None


def _rule(statuses: tuple[int, ...], words: str, fault: Fault, code: str | None = None) -> WordRule:
    return WordRule(statuses, re.compile(words, re.IGNORECASE), fault, code)


WORDS_BEFORE_CODES: tuple[WordRule, ...] = (
    # Groq answers 413 with the code of a limit to a request that never fits into it.
    _rule((413, 429), r"request too large", REJECTED, "request_too_large"),
    # Anthropic has no code of its own for it; OpenAI names its 503 so.
    _rule(
        (429, 503),
        r"\bslow down\b|acceleration limit|usage increase rate|increased too (quickly|fast)",
        THROTTLED,
        SLOW_DOWN,
    ),
    # DashScope calls its limit per minute "insufficient_quota" and explains it on this page.
    _rule((429,), r"allocated quota exceeded|model-studio/error-code", THROTTLED),
)
"""What a message means where the code beside it says the wrong thing; the first rule that fits."""

WORDS: tuple[WordRule, ...] = (
    _rule((400,), r"unexpected end of data", UNSENT, "truncated_request"),
    _rule(
        (400, 413, 422, 500),
        r"context.{0,3}(length|window|size)|prompt is too long|input is too long|maximum context",
        REJECTED,
        "context_length_exceeded",
    ),
    _rule((400, 403), r"\bflagged\b|content (management )?policy|requires moderation", REJECTED, "content_filter"),
    _rule((400,), r"api key not valid|(incorrect|invalid) api key", ACCOUNT, "invalid_api_key"),
    _rule((400,), r"location is not supported", ACCOUNT, "unsupported_country_region_territory"),
    _rule(
        (400, 412, 429),
        r"credit balance is too low|(spend|spending|usage|billing) (limit|cap)|insufficient (balance|credits?|funds)"
        r"|exceeded your current quota|plan and billing|account is suspended"
        r"|余额不足|额度不足|额度已用尽|欠费|使用上限",
        ACCOUNT,
        "insufficient_quota",
    ),
    _rule((404,), r"previous.response|no such|with id", REJECTED),
    _rule((404,), r"\bmodels?\b|deployment", ACCOUNT, "model_not_found"),
    _rule(
        (400,),
        r"model\b.{0,80}\b(does not exist|not found|decommissioned)|model not exist|not a valid model"
        r"|(unknown|invalid) model\b|model identifier is invalid",
        ACCOUNT,
        "model_not_found",
    ),
)
"""What a message means where no code decides; the first rule that fits."""

WRONG_URL = "Is the base URL right? It usually ends in /v1."


def classify(status: int, body: bytes, header: Callable[[str], str | None], now_unix_s: float) -> Failure:
    """What a response with a status other than 2xx means."""
    if 300 <= status < 400:
        return _redirected(status, header("location"))
    words = read_error_body(body)
    if named := header("x-amzn-errortype"):
        words = msgspec.structs.replace(words, codes=(named.partition(":")[0], *words.codes))
    wait_s = asked_wait_s(header, now_unix_s, words.delay)
    fault, code = _judge(status, words, wait_s is not None)
    if wait_s is None and fault is THROTTLED:
        wait_s = reset_wait_s(header, now_unix_s)
    return Failure(fault, _message(status, words, fault, code), status, code, wait_s, words.excerpt)


def classify_error(error: object, status: int, body: bytes = b"") -> Failure:
    """What a decoded `error` inside a response with a good status means.

    It is judged by the status that it names itself, or that its type would have had; ambiguous without either, since
    the call was served and may have been billed.
    """
    words = read_error(error)
    named = words.status or next((TYPE_STATUSES[code] for code in words.codes if code in TYPE_STATUSES), status)
    wait_s = asked_wait_s(lambda _name: None, 0.0, words.delay)
    fault, code = _judge(named, words, wait_s is not None)
    message = words.message or "The answer holds an error without a message."
    return Failure(fault, message, status, code, wait_s, excerpt_of(body) or None)


def _judge(status: int, words: ErrorWords, may_wait: bool) -> tuple[Fault, str | None]:
    """The fault and the code; `may_wait` says that the provider named a time to come back."""
    code = next(iter(words.codes), None)
    if rule := _fitting(WORDS_BEFORE_CODES, status, words.message):
        return rule.fault, rule.code or code
    for name in words.codes:
        if name.lower() in SLOW_DOWN_CODES:
            return THROTTLED, SLOW_DOWN
        if (fault := _fault_of_code(name)) is not None:
            return fault, name
    if rule := _fitting(WORDS, status, words.message):
        fault, code = rule.fault, rule.code or code
    else:
        fault = _fault_of_status(status)
    # Some providers say "quota" or 402 for a limit per minute; those say when to come back.
    if may_wait and fault is ACCOUNT and status in (402, 429):
        return THROTTLED, code
    return fault, code


def _fitting(rules: tuple[WordRule, ...], status: int, message: str) -> WordRule | None:
    return next((rule for rule in rules if status in rule.statuses and rule.words.search(message)), None)


def _fault_of_code(code: str) -> Fault | None:
    code = code.lower()
    if code.endswith("spend_limit_exceeded"):
        return ACCOUNT
    return THROTTLED if code.startswith("throttling.") else CODES.get(code)


def _fault_of_status(status: int) -> Fault:
    if 300 <= status < 400:
        return ACCOUNT
    return STATUSES.get(status, REJECTED if 400 <= status < 500 else AMBIGUOUS)


def _message(status: int, words: ErrorWords, fault: Fault, code: str | None) -> str:
    said = words.message or f"HTTP {status} without a message"
    if status in (404, 405) and fault is ACCOUNT and code != "model_not_found":
        return f"{said[: MESSAGE_CHARS - len(WRONG_URL) - 2].rstrip('.')}. {WRONG_URL}"
    return said


def _redirected(status: int, location: str | None) -> Failure:
    try:
        parts = urlsplit(location or "")
        target = f"{parts.scheme}://{parts.hostname}{parts.path}" if parts.hostname else parts.path
    except ValueError:
        target = ""
    message = one_line(f"The base URL redirects to {target or 'another place'}: use that.")
    return Failure(ACCOUNT, message, status, "redirect")
