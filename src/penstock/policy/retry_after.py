"""How long a provider asks to be left alone, in whatever form it says so. Nothing raises, and nonsense is ignored.

A number from a billion on is no wait but a moment, in seconds or milliseconds since 1970; what lies in the past, and
what lies further off than `LONGEST_S`, is ignored.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST_S = 31 * 86_400.0
"""A longer wait is ignored: the longest limits are those of a month."""

_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?([eE]\+?[0-9]{1,3})?")
_DURATION = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h|d))+")
_DURATION_PART = re.compile(r"([0-9.]+)(ms|s|m|h|d)")
_UNIT = r"milliseconds?|seconds?|secs?|minutes?|mins?|hours?|days?|ms|s|m|h|d"
_AMOUNT = r"[0-9]{1,12}(?:\.[0-9]{1,12})?"
_IN_WORDS = re.compile(
    r"(?:try again|retry|wait)(?:\s+(?:in|after|for|about|at least))*\s+"
    rf"((?:{_AMOUNT}\s*(?:{_UNIT})(?![a-z])[\s,]*(?:and\s+)?)+|{_AMOUNT}(?![\d:/-]))",
    re.IGNORECASE,
)
_PART_IN_WORDS = re.compile(rf"([0-9.]+)\s*({_UNIT})(?![a-z])", re.IGNORECASE)
_SECONDS_LEFT = re.compile(r";\s*t=([0-9]+)")
_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_FIRST_EPOCH_S = 1e9
_FIRST_EPOCH_MS = 1e12

_LIMITS = ("requests", "tokens", "input-tokens", "output-tokens")
_NAMES = (
    ("x-ratelimit-remaining-{}", "x-ratelimit-reset-{}"),
    ("anthropic-ratelimit-{}-remaining", "anthropic-ratelimit-{}-reset"),
)
"""What is left of a limit, and when it is full again, in the spellings of OpenAI and Anthropic."""
_NAMELESS = ("x-ratelimit-reset", "ratelimit-reset")

Header = Callable[[str], str | None]


def asked_wait_s(header: Header, now_unix_s: float, delay: str | None = None) -> float | None:
    """The seconds that a provider asks to wait, the largest of all forms; None where it asks for nothing sensible.

    The forms are `retry-after-ms`, `Retry-After` in seconds or as a date, and `delay` from the body ("17s").
    """
    asked = (
        _seconds(header("retry-after-ms"), 0.001),
        _until(header("retry-after"), now_unix_s),
        _until(delay, now_unix_s),
    )
    return _largest(asked)


def reset_wait_s(header: Header, now_unix_s: float) -> float | None:
    """The seconds until an exhausted limit is full again, by the headers that announce limits.

    Second to what is asked for: a bucket that has begun to fill serves requests long before it is full. The headers
    are `x-ratelimit-reset-*`, `anthropic-ratelimit-*-reset`, and `ratelimit-reset` or `ratelimit` of the IETF's draft.
    """
    exhausted = list(_resets(header, of_exhausted=True))
    resets = exhausted or list(_resets(header, of_exhausted=False))
    resets += [header(name) for name in _NAMELESS]
    left = _SECONDS_LEFT.search(header("ratelimit") or "")
    return _largest(_until(text, now_unix_s) for text in (*resets, left[1] if left else None))


def delay_in_words(message: str) -> str | None:
    """The wait that a message names ("Please try again in 1 minute 30s"), as `asked_wait_s` takes it ("1m30s")."""
    if (found := _IN_WORDS.search(message)) is None:
        return None
    parts = _PART_IN_WORDS.findall(found[1])
    return "".join(number + _short(unit.lower()) for number, unit in parts) or found[1]


def _short(unit: str) -> str:
    return "ms" if unit.startswith(("ms", "milli")) else unit[0]


def _resets(header: Header, of_exhausted: bool) -> Iterator[str | None]:
    for remaining, reset in _NAMES:
        for limit in _LIMITS:
            if not of_exhausted or header(remaining.format(limit)) == "0":
                yield header(reset.format(limit))


def _until(text: str | None, now_unix_s: float) -> float | None:
    seconds = _seconds(text)
    if seconds is None:
        return _until_date(text, now_unix_s)
    if seconds >= _FIRST_EPOCH_MS:
        return seconds / 1_000 - now_unix_s
    return seconds - now_unix_s if seconds >= _FIRST_EPOCH_S else seconds


def _seconds(text: str | None, unit_s: float = 1.0) -> float | None:
    text = (text or "").strip()[:64]
    if _NUMBER.fullmatch(text):
        return float(text) * unit_s
    if _DURATION.fullmatch(text):
        return sum(float(number) * _UNITS_S[unit] for number, unit in _DURATION_PART.findall(text))
    return None


def _until_date(text: str | None, now_unix_s: float) -> float | None:
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment = read((text or "").strip()[:64])
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now_unix_s
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
    return None


def _largest(waits: Iterable[float | None]) -> float | None:
    """NaN compares with nothing, and so is ignored too."""
    return max((wait for wait in waits if wait is not None and 0 < wait <= LONGEST_S), default=None)
