"""The rows of `penstock demo`: the kinds of work people bring, small enough for a model of 135 million parameters.

A model that small follows examples better than instructions, so some rows show it a few turns first.
"""

from collections.abc import Callable
from typing import Any

DEMO_PARAMS: dict[str, Any] = {"max_tokens": 60, "temperature": 0.2}
"""Request parameters for all of them: short answers, nearly the same every time."""

Asked = str | list[dict[str, str]]
"""A prompt, or the messages of a chat."""


def _row(id: str, kind: str, text: str, ask: Callable[[str], Asked]) -> dict[str, Any]:
    asked = ask(text)
    return {"id": id, "kind": kind, "text": text, "prompt" if isinstance(asked, str) else "messages": asked}


def _turns(*contents: str) -> Asked:
    return [{"role": ("user", "assistant")[i % 2], "content": content} for i, content in enumerate(contents)]


def _sell(text: str) -> Asked:
    return f"Write one short sentence that advertises {text}."


def _explain(text: str) -> Asked:
    return f"{text} Answer in one sentence."


def _sentiment(text: str) -> Asked:
    return f"What is the sentiment of this sentence? {text}"


def _chinese_sentiment(text: str) -> Asked:
    question = "这条评价是 positive 还是 negative?"
    bad, good = f"{question} 用了一天就坏了。", f"{question} 质量很好,我很喜欢。"
    return _turns(bad, "negative", good, "positive", f"{question} {text}")


def _keywords(text: str) -> Asked:
    train = "Keywords: The train to Paris was late because of snow."
    clinic = "Keywords: A young doctor opened a clinic in our village."
    return _turns(train, "train, Paris, snow", clinic, "doctor, clinic, village", f"Keywords: {text}")


def _chinese_to_english(text: str) -> Asked:
    task = "Translate to English:"
    return _turns(f"{task} 谢谢。", "Thank you.", f"{task} 我喜欢猫。", "I like cats.", f"{task} {text}")


DEMO_TASKS: list[dict[str, Any]] = [
    _row("copy-bottle", "copywriting", "a steel water bottle which keeps drinks cold for 24 hours", _sell),
    _row("copy-bicycle", "copywriting", "a quiet electric bicycle", _sell),
    _row("sentiment-phone", "sentiment", "The battery lasts two days and the screen is beautiful.", _sentiment),
    _row("sentiment-film", "sentiment", "This is the worst film I have ever seen.", _sentiment),
    _row("sentiment-zh", "sentiment", "物流很快,客服态度也很好。", _chinese_sentiment),
    _row("explain-sky", "explanation", "Why is the sky blue?", _explain),
    _row("explain-index", "explanation", "What does a database index do?", _explain),
    _row("explain-plants", "explanation", "What is photosynthesis?", _explain),
    _row("keywords-museum", "keywords", "The museum shows old maps of the harbour.", _keywords),
    _row("keywords-solar", "keywords", "Solar panels on the school roof now power the whole kitchen.", _keywords),
    _row("translate-weather", "translation", "今天天气很好。", _chinese_to_english),
    _row("translate-dogs", "translation", "我喜欢狗。", _chinese_to_english),
]
"""Rows as a source gives them: `id`, `kind`, the `text` at hand, and the `prompt` or `messages` made from it."""
