"""How long a provider asks to be left alone, in whatever form it says so. Nothing raises, and nonsense is ignored."""

import math
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST_S = 86_400.0
"""A longer wait is cut to a day: nobody meant it."""

_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?([eE]\+?[0-9]{1,3})?")
_DURATION = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h|d))+")
_DURATION_PART = re.compile(r"([0-9.]+)(ms|s|m|h|d)")
_IN_WORDS = re.compile(
    r"(?:try again|retry)\s+(?:in|after)\s+((?:[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h|d))+|[0-9]+(?:\.[0-9]+)?)", re.IGNORECASE
)
_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_FIRST_EPOCH_S = 1e9
_FIRST_EPOCH_MS = 1e12

Header = Callable[[str], str | None]


def asked_wait_s(header: Header, now_unix_s: float, delay: str | None = None) -> float | None:
    """The seconds that a provider asks to wait, the largest of all forms; None where it asks for nothing sensible.

    The forms are `retry-after-ms`, `Retry-After` in seconds or as a date, and `delay` from the body ("17s").
    """
    after = header("retry-after")
    asked = (
        _seconds(header("retry-after-ms"), 0.001),
        _seconds(after) or _until_date(after, now_unix_s),
        _seconds(delay),
    )
    return _largest(asked)


def reset_wait_s(header: Header, now_unix_s: float) -> float | None:
    """The seconds until an exhausted limit is full again, by `x-ratelimit-reset-*`.

    Second to what is asked for: a bucket that has begun to fill serves requests long before it is full.
    """
    exhausted = [limit for limit in ("requests", "tokens") if header(f"x-ratelimit-remaining-{limit}") == "0"]
    resets = [header(f"x-ratelimit-reset-{limit}") for limit in exhausted or ("requests", "tokens")]
    return _largest(_reset(text, now_unix_s) for text in (*resets, header("x-ratelimit-reset")))


def delay_in_words(message: str) -> str | None:
    """The wait that a message names ("Please try again in 1m30s"), as `asked_wait_s` takes it."""
    found = _IN_WORDS.search(message)
    return found[1] if found else None


def _reset(text: str | None, now_unix_s: float) -> float | None:
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
    sensible = [wait for wait in waits if wait is not None and 0 < wait < math.inf]
    return min(max(sensible), LONGEST_S) if sensible else None
