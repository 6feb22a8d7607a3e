"""Answers in the shapes of the real API: one function of a question and its answer per kind."""

import base64
import hashlib
import math
from array import array
from collections.abc import Callable
from typing import Any

import msgspec

from penstock.simulator.questions import CHARS_PER_TOKEN, Question

DEFAULT_DIMENSIONS = 256
REFUSAL = "I'm sorry, but I can't help with that."
MODERATION_CATEGORIES = ("harassment", "hate", "illicit", "self-harm", "sexual", "violence")
_FILLER = "This answer comes from a simulator and says nothing in particular. "
_INCOMPLETE_REASONS = {"length": "max_output_tokens"}
"""Where the Responses API has another word for a finish reason."""


class Answer(msgspec.Struct, frozen=True):
    """What the model came up with. `output_tokens` include `reasoning_tokens`; `finish` is the finish reason."""

    id: str
    created: int
    model: str
    texts: tuple[str, ...]
    input_tokens: int
    output_tokens: int
    reasoning_tokens: int = 0
    finish: str = "stop"

    @property
    def cached_tokens(self) -> int:
        """Long prompts are cached in steps of 128 tokens, as if their beginning had been seen before."""
        return self.input_tokens // 128 * 128 if self.input_tokens >= 1024 else 0

    @property
    def finish_reason(self) -> str | None:
        """The finish reason as chat and completions give it."""
        return {"refusal": "stop", "missing": None, "unsaid": None}.get(self.finish, self.finish)


def echo(text: str, tokens: int) -> str:
    """An answer that holds `text` word for word, filled up to about `tokens` tokens."""
    said = f"You said: {text}\n"
    missing = max(0, tokens * CHARS_PER_TOKEN - len(said))
    return said + (_FILLER * (missing // len(_FILLER) + 1))[:missing]


def encode_answer(question: Question, answer: Answer) -> bytes:
    """The complete body."""
    return msgspec.json.encode(_WHOLE[question.api](question, answer))


def encode_models(models: tuple[str, ...], created: int) -> bytes:
    """The list of models."""
    data = [{"id": name, "object": "model", "created": created, "owned_by": "penstock"} for name in models or ("sim",)]
    return msgspec.json.encode({"object": "list", "data": data})


def _chat(question: Question, answer: Answer) -> dict[str, Any]:
    refused = answer.finish == "refusal"
    choices: list[dict[str, Any]] = [
        {
            "index": index,
            "message": {
                "role": "assistant",
                "content": None if refused else text,
                "refusal": REFUSAL if refused else None,
                "annotations": [],
            },
            "logprobs": None,
            "finish_reason": answer.finish_reason,
        }
        for index, text in enumerate(answer.texts)
    ]
    return head("chatcmpl-", "chat.completion", answer) | {"choices": choices, "usage": usage(answer)}


def _completions(question: Question, answer: Answer) -> dict[str, Any]:
    choices = [
        {"text": text, "index": index, "logprobs": None, "finish_reason": answer.finish_reason}
        for index, text in enumerate(answer.texts)
    ]
    return head("cmpl-", "text_completion", answer) | {"choices": choices, "usage": usage(answer)}


def responses_object(question: Question, answer: Answer) -> dict[str, Any]:
    """The response object of the Responses API."""
    status = _responses_status(answer.finish)
    reason = _INCOMPLETE_REASONS.get(answer.finish, answer.finish)
    return {
        "id": f"resp_{answer.id}",
        "object": "response",
        "created_at": answer.created,
        "status": status,
        "error": None,
        "incomplete_details": {"reason": reason} if status == "incomplete" else None,
        "instructions": None,
        "max_output_tokens": question.max_tokens,
        "model": answer.model,
        "output": [_message(answer, text, status) for text in answer.texts],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "store": False,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "truncation": "disabled",
        "usage": {
            "input_tokens": answer.input_tokens,
            "input_tokens_details": {"cached_tokens": answer.cached_tokens},
            "output_tokens": answer.output_tokens,
            "output_tokens_details": {"reasoning_tokens": answer.reasoning_tokens},
            "total_tokens": answer.input_tokens + answer.output_tokens,
        },
        "metadata": {},
    }


def _responses_status(finish: str) -> str:
    return {"stop": "completed", "refusal": "completed", "missing": "in_progress", "unsaid": "in_progress"}.get(
        finish, "incomplete"
    )


def _message(answer: Answer, text: str, status: str) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": []}
    if answer.finish == "refusal":
        part = {"type": "refusal", "refusal": REFUSAL}
    return {"type": "message", "id": f"msg_{answer.id}", "status": status, "role": "assistant", "content": [part]}


def _embeddings(question: Question, answer: Answer) -> dict[str, Any]:
    dimensions = question.dimensions or DEFAULT_DIMENSIONS
    data = []
    for index, text in enumerate(question.inputs):
        vector = embed(text, dimensions)
        value = base64.b64encode(vector.tobytes()).decode() if question.base64 else vector.tolist()
        data.append({"object": "embedding", "index": index, "embedding": value})
    used = {"prompt_tokens": answer.input_tokens, "total_tokens": answer.input_tokens}
    return {"object": "list", "data": data, "model": answer.model, "usage": used}


def embed(text: str, dimensions: int) -> "array[float]":
    """A vector of length 1 that depends on nothing but the text."""
    drawn = array("h", hashlib.shake_128(text.encode("utf-8", "surrogatepass")).digest(2 * dimensions))
    length = math.sqrt(sum(value * value for value in drawn)) or 1.0
    return array("f", (value / length for value in drawn))


def _moderations(question: Question, answer: Answer) -> dict[str, Any]:
    results = [_moderation(text.lower()) for text in question.inputs]
    return {"id": f"modr-{answer.id}", "model": answer.model, "results": results}


def _moderation(text: str) -> dict[str, Any]:
    """A category is flagged where its own name stands in the text."""
    categories = {category: category in text for category in MODERATION_CATEGORIES}
    return {
        "flagged": any(categories.values()),
        "categories": categories,
        "category_scores": {category: 0.98 if found else 0.0001 for category, found in categories.items()},
        "category_applied_input_types": {category: ["text"] for category in categories},
    }


def head(prefix: str, kind: str, answer: Answer) -> dict[str, Any]:
    """The fields that chat and completions begin with."""
    return {
        "id": prefix + answer.id,
        "object": kind,
        "created": answer.created,
        "model": answer.model,
        "system_fingerprint": "fp_penstock",
    }


def usage(answer: Answer) -> dict[str, Any]:
    """The usage of chat and completions."""
    return {
        "prompt_tokens": answer.input_tokens,
        "completion_tokens": answer.output_tokens,
        "total_tokens": answer.input_tokens + answer.output_tokens,
        "prompt_tokens_details": {"cached_tokens": answer.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": answer.reasoning_tokens},
    }


_WHOLE: dict[str, Callable[[Question, Answer], dict[str, Any]]] = {
    "chat": _chat,
    "completions": _completions,
    "responses": responses_object,
    "embeddings": _embeddings,
    "moderations": _moderations,
}
