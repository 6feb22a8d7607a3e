"""One record becomes one row. A record that cannot be used becomes a row that says why."""

from collections.abc import Mapping
from typing import Any

import msgspec

from penstock.models import FAILURE_FIELD, Row
from penstock.sources.encoding import not_utf8
from penstock.sources.protocol import MAX_ROW_BYTES

EXCERPT_CHARS = 1000
TOO_LONG = f"It is longer than {MAX_ROW_BYTES // 2**20} MiB."
NUL_BYTES = "It has NUL bytes: it is not text."

_encode = msgspec.json.encode
_decode = msgspec.json.Decoder().decode
_NAMES = {list: "an array", str: "a string", bool: "true or false", type(None): "null"}


def decode_json_line(line: bytes, where: str) -> Row | None:
    """The row in a line of JSONL, its bytes kept as they are; None for a blank line."""
    line = line.strip()
    if not line:
        return None
    try:
        data = _decode(line)
    except UnicodeDecodeError:
        return bad_row(line, where, not_utf8(line, where.rpartition(":")[0]))
    except (ValueError, RecursionError) as error:
        return bad_row(line, where, f"It is not valid JSON: {error}.")
    if type(data) is not dict:
        return bad_row(line, where, f"It must be a JSON object, and it is {_NAMES.get(type(data), 'a number')}.")
    if FAILURE_FIELD in data:
        del data[FAILURE_FIELD]
        line = _encode(data)
    return Row(line, data, where)


def decode_text_line(line: bytes, where: str) -> Row | None:
    """The row whose prompt is a line of text; None for a blank line."""
    line = line.rstrip(b"\r\n")
    if not line.strip():
        return None
    return decode_text(line, where, where.rpartition(":")[0], {})


def decode_text(text: bytes, where: str, name: str, fields: dict[str, Any]) -> Row:
    """The row whose prompt is `text`, with more `fields` behind it. `name` is the file to convert, if need be."""
    if b"\0" in text:
        return bad_row(text, where, NUL_BYTES)
    try:
        data = {"prompt": text.decode(), **fields}
    except UnicodeDecodeError:
        return bad_row(text, where, not_utf8(text, name))
    return Row(_encode(data), data, where)


def encode_row(value: object, where: str) -> Row:
    """The row that a Python value stands for: a string is a prompt, anything else must encode to a JSON object."""
    try:
        raw = _encode({"prompt": value} if isinstance(value, str) else value, enc_hook=_plain)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        return bad_row(_shown(value), where, f"It cannot be written as JSON: {error}.")
    if not raw.startswith(b"{"):
        return bad_row(raw, where, f"It must be a dict or a string, and it is {type(value).__name__}.")
    if len(raw) > MAX_ROW_BYTES:
        return bad_row(raw, where, TOO_LONG)
    return Row(raw, _decode(raw), where)


def bad_row(record: bytes, where: str, error: str) -> Row:
    """A row that cannot be used, with the beginning of its text."""
    # A character of UTF-8 takes at most four bytes.
    data = {"raw": record[: 4 * EXCERPT_CHARS].decode("utf-8", "replace")[:EXCERPT_CHARS]}
    return Row(_encode(data), data, where, error)


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not a JSON value")


def _shown(value: object) -> bytes:
    try:
        return repr(value)[:EXCERPT_CHARS].encode("utf-8", "replace")
    except Exception as error:  # a user's own __repr__ may do anything
        return f"<{type(value).__name__}: {error}>".encode("utf-8", "replace")
