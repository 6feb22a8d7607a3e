"""The limits that a provider announces in the headers of its answers.

OpenAI's `x-ratelimit-limit-*` and Anthropic's `anthropic-ratelimit-*-limit` are per minute. Others use the first names
for limits per day (Groq, for requests): those are told by a reset that lies further off than a minute.
"""

from collections.abc import Callable

import msgspec

from penstock.policy.retry_after import reset_wait_s

LARGEST = 1e10
"""No limit per minute is larger; such a number stands for none."""
MINUTE_S = 60.0

Header = Callable[[str], str | None]


class Announced(msgspec.Struct, frozen=True):
    """Requests and tokens per minute, None where nothing sensible was announced."""

    rpm: float | None = None
    tpm: float | None = None


def announced_by(header: Header) -> Announced:
    """The limits in the headers of an answer."""
    return Announced(_limit(header, "requests"), _limit(header, "tokens") or _by_direction(header))


def _limit(header: Header, unit: str) -> float | None:
    limit = _number(header(f"x-ratelimit-limit-{unit}"))
    if limit is not None and _within_a_minute(header, f"x-ratelimit-reset-{unit}"):
        return limit
    return _number(header(f"anthropic-ratelimit-{unit}-limit"))


def _by_direction(header: Header) -> float | None:
    """Input and output have limits of their own; both together are a limit as well."""
    limits = [_number(header(f"anthropic-ratelimit-{way}-tokens-limit")) for way in ("input", "output")]
    known = [limit for limit in limits if limit is not None]
    return sum(known) if len(known) == len(limits) else None


def _within_a_minute(header: Header, reset: str) -> bool:
    wait_s = reset_wait_s(lambda name: header(name) if name == reset else None, 0.0)
    return wait_s is None or wait_s <= MINUTE_S


def _number(text: str | None) -> float | None:
    text = (text or "").strip()
    if not text.isascii() or not text.isdecimal() or len(text) > 15:
        return None
    return number if 1 <= (number := float(text)) <= LARGEST else None
