"""Chat answers as a provider sends them: every field of OpenAI's, and prose of the length that is asked for."""

import json

PROSE = (
    "The parcel left the depot on Tuesday and was scanned twice on its way north. Its label says “fragile – this side "
    'up”, and the driver\'s note adds: "two flights of stairs, ring twice". Nothing in the record points to damage; '
    "what delayed it was a closed road near Malmö, which cost the round about forty minutes.\n\n"
)
"""Quotation marks, a line break and letters beyond ASCII: what a decoder meets in real text."""


def chat_answer(size: int) -> bytes:
    """The JSON of one chat completion, `size` bytes in all, give or take a few."""
    shell = len(_encode(""))
    once = len(_encode(PROSE)) - shell
    times, rest = divmod(max(size - shell, 0), once)
    return _encode(PROSE * times + PROSE[: rest * len(PROSE) // once])


def streamed_answer(pieces: int) -> list[bytes]:
    """The events of a chat completion that comes in so many pieces of some words, the last two without any."""
    words = PROSE.split()
    texts = [f"{words[number % len(words)]} {words[(number + 1) % len(words)]} " for number in range(pieces)]
    deltas = [{"content": text} for text in texts]
    choices: list[list[dict[str, object]]] = [[_choice(delta, None)] for delta in deltas]
    events = [_event(each, None) for each in [*choices, [_choice({}, "stop")]]]
    usage = {"prompt_tokens": 27, "completion_tokens": 2 * pieces, "total_tokens": 27 + 2 * pieces}
    return [*events, _event([], usage), b"data: [DONE]"]


def _choice(delta: dict[str, str], finish_reason: str | None) -> dict[str, object]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


def _event(choices: list[dict[str, object]], usage: dict[str, int] | None) -> bytes:
    head = {"id": "chatcmpl-CfPq7ZbVn2yT0aKx3LrWm5HsUeD1g", "object": "chat.completion.chunk", "created": 1764095582}
    chunk = {**head, "model": "gpt-4o-2024-08-06", "choices": choices, "usage": usage}
    return b"data: " + json.dumps(chunk, ensure_ascii=False).encode()


def _encode(content: str) -> bytes:
    message: dict[str, object] = {"role": "assistant", "content": content, "refusal": None, "annotations": []}
    words = len(content.split())
    answer = {
        "id": "chatcmpl-CfPq7ZbVn2yT0aKx3LrWm5HsUeD1g",
        "object": "chat.completion",
        "created": 1764095582,
        "model": "gpt-4o-2024-08-06",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": 27,
            "completion_tokens": words,
            "total_tokens": 27 + words,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        },
        "service_tier": "default",
        "system_fingerprint": "fp_4a331a0222",
    }
    return json.dumps(answer, ensure_ascii=False).encode()
