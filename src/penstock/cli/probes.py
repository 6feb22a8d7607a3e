"""The steps of `penstock check`, each a finding: the key, the way to the server, the base URL, the models, a call."""

import difflib
import re
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import msgspec

from penstock.apis.registry import APIS
from penstock.cli.display import took
from penstock.cli.key_form import examine_key
from penstock.endpoints import NO_KEY, Endpoint, Key, missing_key
from penstock.engine.requests import Renderer
from penstock.launch import make_transport
from penstock.models import Failure, HttpResponse, Request, Response, Task
from penstock.observe.words import count
from penstock.options import RunOptions
from penstock.policy.advice import advise
from penstock.policy.faults import classify
from penstock.redaction import Secret
from penstock.transport.protocol import Transport

MODELS_SHOWN = 5
SHORTEST: dict[str, dict[str, Any]] = {
    "chat": {"max_tokens": 1},
    "completions": {"max_tokens": 1},
    "responses": {"max_output_tokens": 16},
}
"""Parameters for the shortest answer that an API gives."""
SHORTEST_REASONING = {"max_completion_tokens": 16}
"""Models that think before they answer refuse `max_tokens`."""

MEND = {
    "dns": "Check the host's name in the base URL, and that this machine has a network and, if need be, a proxy.",
    "refused": "Check the port in the base URL, and that the server is up.",
    "connect_timeout": "Check the base URL, the network, and whether it takes a proxy (HTTPS_PROXY) to get there.",
    "unreachable": "Check the base URL and this machine's network.",
    "tls": "Does the server speak https? If not, begin the base URL with http://",
    "model_not_found": "Check the model's name, and whether the key may use it.",
}
"""What to do, by the code of a failure, for someone who is checking already."""

NOT_AN_API = (200, 404, 405)
"""Statuses that, without a list of models, say nothing for a base URL."""

NO_CALL = "no call was made: --model names the one to try"

LIMITS = ("requests", "tokens")
"""Each named by the headers `x-ratelimit-limit-…` and `x-ratelimit-remaining-…`."""

_VERSIONED = re.compile(r"/v\d+[a-z]*(/|$)")


class Finding(msgspec.Struct, frozen=True):
    """One line: good, bad, or neither; with what to do about it."""

    good: bool | None
    text: str
    hint: str | None = None


class Asked(msgspec.Struct, frozen=True):
    """What came of asking a base URL for its models; `names` is None where it gave no list."""

    base_url: str
    outcome: HttpResponse | Failure
    latency_ms: float
    names: list[str] | None = None


class _Model(msgspec.Struct, frozen=True):
    id: str


class _Models(msgspec.Struct, frozen=True):
    data: list[_Model]


async def probe(endpoint: Endpoint, options: RunOptions) -> AsyncIterator[Finding]:
    """Try everything in turn, as far as it leads; of several keys each, told in one line."""
    yield Finding(None, f"the endpoint is {endpoint.name}, at {endpoint.base_url}")
    for note in endpoint.notes:
        yield Finding(None, note)
    findings = _probe_key(endpoint, options) if len(endpoint.keys) == 1 else _probe_keys(endpoint, options)
    async for finding in findings:
        yield finding


async def _probe_keys(endpoint: Endpoint, options: RunOptions) -> AsyncIterator[Finding]:
    asked = await _ask(msgspec.structs.replace(endpoint, keys=(NO_KEY,)), options, endpoint.base_url)
    if isinstance(asked.outcome, Failure):
        yield _about_url(endpoint, asked, options)
        return
    for key in endpoint.keys:
        alone = msgspec.structs.replace(endpoint, keys=(key,))
        yield _in_one_line(key, [finding async for finding in _probe_key(alone, options)])
    if options.model is None:
        yield Finding(None, NO_CALL)


def _in_one_line(key: Key, findings: list[Finding]) -> Finding:
    """What is wrong first, or else everything that is right behind the form of the key."""
    wrong = next((finding for finding in findings if finding.good is False), None)
    if wrong is not None:
        text = wrong.text.removeprefix(f"the key from {key.label} ")
        return Finding(False, f"{key.label}: {text}", wrong.hint)
    return Finding(True, f"{key.label}: {'; '.join(finding.text for finding in findings[1:] if finding.good)}")


async def _probe_key(endpoint: Endpoint, options: RunOptions) -> AsyncIterator[Finding]:
    key, finding = _check_key(endpoint)
    yield finding
    endpoint = msgspec.structs.replace(endpoint, keys=(Key(key, endpoint.keys[0].label),))
    asked = await _ask_around(endpoint, options)
    yield _about_url(endpoint, asked, options)
    if isinstance(asked.outcome, Failure) or (asked.names is None and _is_final(asked.outcome, options)):
        return
    if options.model is None:
        yield Finding(None, NO_CALL, _some(asked.names))
        return
    near = _not_listed(options.model, asked.names)
    if near is not None:
        yield Finding(None, f"the model {options.model!r} is not in the list", near)
    async for finding in _call(msgspec.structs.replace(endpoint, base_url=asked.base_url), options):
        yield finding


# The key


def _check_key(endpoint: Endpoint) -> tuple[Secret | None, Finding]:
    if endpoint.key_missing:
        return None, Finding(False, f"no key is sent: {endpoint.key_from} is not set", missing_key(endpoint).hint)
    if endpoint.api_key is None:
        where = f" ({endpoint.key_from} is not set)" if endpoint.key_from else ""
        return None, Finding(None, f"no key is sent{where}")
    form = examine_key(endpoint.api_key)
    length = len(form.key.reveal())
    if not form.faults:
        return form.key, Finding(True, f"the key from {endpoint.keys[0].label} has {length} characters, all in order")
    words = f"the key from {endpoint.keys[0].label} has {form.length} characters, of which {length} are the key"
    hint = f"{'; '.join(form.faults)}.\nSet it without them. What follows is tried with the {length} that remain."
    return (form.key if length else None), Finding(False, words, hint)


# The base URL


async def _ask_around(endpoint: Endpoint, options: RunOptions) -> Asked:
    """The answer of the base URL, or of one close to it where only that has an API."""
    first = await _ask(endpoint, options, endpoint.base_url)
    if not _is_nothing(first):
        return first
    for base_url in _nearby(endpoint.base_url):
        asked = await _ask(endpoint, options, base_url)
        if not (isinstance(asked.outcome, Failure) or _is_nothing(asked)):
            return asked
    return first


async def _ask(endpoint: Endpoint, options: RunOptions, base_url: str) -> Asked:
    started_s = time.monotonic()
    transport = make_transport(msgspec.structs.replace(endpoint, base_url=base_url), options)
    async with aclosing(transport):
        outcome = await transport.get("models")
    return Asked(base_url, outcome, 1000 * (time.monotonic() - started_s), _names_in(outcome))


def _names_in(outcome: HttpResponse | Failure) -> list[str] | None:
    if isinstance(outcome, Failure) or outcome.status != 200:
        return None
    try:
        return [model.id for model in msgspec.json.decode(outcome.body, type=_Models).data]
    except msgspec.DecodeError:
        return None


def _is_nothing(asked: Asked) -> bool:
    """Whether a server answered, but nothing that looks like an API."""
    outcome = asked.outcome
    if isinstance(outcome, Failure) or asked.names is not None:
        return False
    return outcome.status in NOT_AN_API or 300 <= outcome.status < 400


def _nearby(base_url: str) -> list[str]:
    """Base URLs that people mean when they write this one."""
    near = [base_url.removesuffix(f"/{api.path}") for api in APIS.values() if base_url.endswith(f"/{api.path}")]
    return near if _VERSIONED.search(base_url) else [*near, f"{base_url}/v1"]


def _about_url(endpoint: Endpoint, asked: Asked, options: RunOptions) -> Finding:
    base_url, outcome = endpoint.base_url, asked.outcome
    if isinstance(outcome, Failure):
        return Finding(False, outcome.message, _mend(outcome))
    if asked.base_url != base_url:
        words = f"there is no API at {base_url}, but at {asked.base_url} there is"
        return Finding(False, words, f"Use --base-url {asked.base_url}")
    if asked.names is not None:
        return Finding(True, f"the base URL answers in {took(asked.latency_ms)}; models it lists: {len(asked.names):,}")
    good = False if _is_final(outcome, options) else None
    if outcome.status in NOT_AN_API:
        words = f"there is no list of models at {base_url}/models (HTTP {outcome.status})"
        return Finding(good, words, "Is the base URL right? It usually ends in /v1. --model tries a call all the same.")
    failure = classify(outcome.status, outcome.body, outcome.header, time.time())
    no_key = outcome.status == 401 and endpoint.api_key is None
    hint = f"Set a key with: export {endpoint.key_from or 'OPENAI_API_KEY'}=…" if no_key else _mend(failure)
    return Finding(good, f"asked for its models it says: {failure.message}", hint)


def _mend(failure: Failure) -> str:
    return MEND.get(failure.code or "") or advise(failure)


def _is_final(response: HttpResponse, options: RunOptions) -> bool:
    """Whether a call would tell nothing new. A key may be allowed to call, and not to list models."""
    return options.model is None or response.status == 401 or 300 <= response.status < 400


# The model


def _not_listed(model: str, names: list[str] | None) -> str | None:
    """The names that come near, where the list lacks the model."""
    if not names or model in names:
        return None
    near = difflib.get_close_matches(model, names, n=MODELS_SHOWN, cutoff=0.5)
    return f"Did you mean {' or '.join(near)}?" if near else _some(names)


def _some(names: list[str] | None) -> str | None:
    if not names:
        return None
    rest = f" and {count(len(names) - MODELS_SHOWN)} more" if len(names) > MODELS_SHOWN else ""
    return f"It has {', '.join(names[:MODELS_SHOWN])}{rest}."


async def _call(endpoint: Endpoint, options: RunOptions) -> AsyncIterator[Finding]:
    async with aclosing(make_transport(endpoint, options)) as transport:
        request = _request(options, SHORTEST.get(options.api, {}))
        answer, latency_ms = await _send(transport, request)
        if isinstance(answer, HttpResponse) and answer.status == 400 and b"max_completion_tokens" in answer.body:
            request = _request(options, SHORTEST_REASONING)
            answer, latency_ms = await _send(transport, request)
    yield _about_answer(request, answer, latency_ms)
    if isinstance(answer, HttpResponse):
        yield _about_limits(answer)


async def _send(transport: Transport, request: Request) -> tuple[HttpResponse | Failure, float]:
    started_s = time.monotonic()
    answer = await transport.send(request.path, request.body)
    return answer, 1000 * (time.monotonic() - started_s)


def _request(options: RunOptions, params: dict[str, Any]) -> Request:
    asking = RunOptions(model=options.model, api=options.api, prompt="Hi", param=params)
    return Renderer(asking).render(Task("check", 0, b"{}", {}, "check"))


def _about_answer(request: Request, answer: HttpResponse | Failure, latency_ms: float) -> Finding:
    outcome: Response | Failure
    if isinstance(answer, Failure):
        outcome = answer
    elif 200 <= answer.status < 300:
        outcome = APIS[request.api].decode(answer.body)
    else:
        outcome = classify(answer.status, answer.body, answer.header, time.time())
    if isinstance(outcome, Failure):
        return Finding(False, f"the model {request.model!r} gives no answer: {outcome.message}", _mend(outcome))
    usage = outcome.usage
    tokens = f"{count(usage.input_tokens)} input and {count(usage.output_tokens)} output tokens"
    return Finding(True, f"the model {request.model!r} answers in {took(latency_ms)}, for {tokens}")


def _about_limits(answer: HttpResponse) -> Finding:
    found = []
    for kind in LIMITS:
        limit, left = (answer.header(f"x-ratelimit-{which}-{kind}") for which in ("limit", "remaining"))
        if limit is not None:
            found.append(f"{limit} {kind}" + (f" ({left} left)" if left is not None else ""))
    if not found:
        return Finding(None, "the answer names no rate limits")
    return Finding(True, f"the answer names its rate limits: {', '.join(found)}")
