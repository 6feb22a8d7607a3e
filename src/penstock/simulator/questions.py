"""Reading requests: what each API is asked, in one shape."""

from typing import Any

import msgspec

from penstock.simulator.rejections import Rejected, Rejection

APIS = {
    "/v1/chat/completions": "chat",
    "/v1/completions": "completions",
    "/v1/responses": "responses",
    "/v1/embeddings": "embeddings",
    "/v1/moderations": "moderations",
}
"""The API behind each path."""

STREAMING = ("chat", "completions", "responses")
"""The APIs that can stream; the others answer at once."""
CHARS_PER_TOKEN = 4
DEFAULT_MODERATION_MODEL = "omni-moderation-latest"
_ASKED_IN = {"chat": "messages", "completions": "prompt"}
"""The field that holds the question; `input` for the others."""


class Question(msgspec.Struct, frozen=True):
    """What is asked. `inputs` are the texts that get an answer each; of a conversation it is the last user message."""

    api: str
    model: str
    inputs: tuple[str, ...]
    input_tokens: int
    max_tokens: int | None
    stream: bool
    include_usage: bool
    dimensions: int | None
    base64: bool


class _Body(msgspec.Struct, frozen=True):
    model: str = ""
    messages: Any = None
    prompt: Any = None
    input: Any = None
    instructions: str | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    max_output_tokens: int | None = None
    stream: bool | None = None
    stream_options: dict[str, Any] | None = None
    dimensions: int | None = None
    encoding_format: str | None = None


_decoder = msgspec.json.Decoder(_Body)


def read_question(api: str, body: bytes) -> Question:
    """What this body asks of `api`. Raises `Rejected` with status 400 as the provider would."""
    try:
        asked = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Rejected(Rejection(400, f"We could not parse the JSON body of your request: {error}")) from None
    if not asked.model and api != "moderations":
        raise Rejected(Rejection(400, "you must provide a model parameter", param="model"))
    field = _ASKED_IN.get(api, "input")
    if (content := getattr(asked, field)) in (None, "", []):
        message = f"Missing required parameter: '{field}'."
        raise Rejected(Rejection(400, message, code="missing_required_parameter", param=field))
    inputs, spoken = _read_content(content, is_conversation=api in ("chat", "responses"))
    chars = len(spoken) + len(asked.instructions or "")
    return Question(
        api=api,
        model=asked.model or DEFAULT_MODERATION_MODEL,
        inputs=inputs,
        input_tokens=3 + chars // CHARS_PER_TOKEN,
        max_tokens=asked.max_completion_tokens or asked.max_output_tokens or asked.max_tokens,
        stream=bool(asked.stream) and api in STREAMING,
        include_usage=bool((asked.stream_options or {}).get("include_usage")),
        dimensions=asked.dimensions,
        base64=asked.encoding_format == "base64",
    )


def _read_content(content: Any, is_conversation: bool) -> tuple[tuple[str, ...], str]:
    """The texts to answer, and everything that counts as input."""
    if isinstance(content, str):
        return (content,), content
    if not isinstance(content, list):
        raise Rejected(Rejection(400, "The input has the wrong type.", code="invalid_type"))
    if is_conversation:
        said = [(_role(message), _text(message)) for message in content]
        last = next((text for role, text in reversed(said) if role == "user"), said[-1][1])
        return (last,), "".join(text for _, text in said)
    if all(isinstance(item, (int, dict)) for item in content):
        whole = _text(content)
        return (whole,), whole
    texts = tuple(_text(item) for item in content)
    return texts, "".join(texts)


def _role(message: Any) -> str:
    return str(message.get("role", "")) if isinstance(message, dict) else ""


def _text(content: Any) -> str:
    """The text in a message, a list of parts, or token numbers."""
    if isinstance(content, dict):
        return _text(content.get("content", content.get("text")))
    if isinstance(content, list):
        return " ".join(_text(part) for part in content)
    return "" if content is None else str(content)
