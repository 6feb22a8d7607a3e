"""Recognising text that is not UTF-8 before it is paid for, and saying how to convert it."""

import codecs
import os
import shlex

from penstock.errors import SourceError

BOM = codecs.BOM_UTF8
_DECOMPRESS = {".gz": "gzip -dc", ".zst": "zstd -dc"}
_CHINESE_SHARE = 0.9
"""Share of the characters beyond ASCII that must be Chinese before the text is taken for GB18030: other encodings
often decode as GB18030 too, but to a mixture of scripts."""


def check_encoding(head: bytes, name: str) -> None:
    """Raise `SourceError` when the first bytes of a file show that all of it is in another encoding.

    Single lines that are not UTF-8 are no reason: they become bad rows.
    """
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise SourceError(f"{name} is UTF-16, not UTF-8.", _conversion(name, "UTF-16"))
    beyond_ascii = [line for line in head.splitlines() if not line.isascii()]
    broken = [line for line in beyond_ascii if _decode_prefix(line, "utf-8") is None]
    if 2 * len(broken) > len(beyond_ascii) and _is_gb18030(b"\n".join(broken)):
        raise SourceError(f"{name} looks like GB18030 (GBK), not UTF-8.", _conversion(name, "GB18030"))


def not_utf8(record: bytes, name: str) -> str:
    """Say that a record is not UTF-8 and how to convert the file."""
    if record.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return f"This is UTF-16, not UTF-8. {_conversion(name, 'UTF-16')}"
    if _is_gb18030(record):
        return f"This looks like GB18030 (GBK), not UTF-8. {_conversion(name, 'GB18030')}"
    return "This is not valid UTF-8. Convert it to UTF-8."


def _is_gb18030(data: bytes) -> bool:
    text = _decode_prefix(data, "gb18030") or ""
    beyond_ascii = [char for char in text if not char.isascii()]
    # The common characters are those of GB2312; a stray byte of Latin-1 makes a rare one of the letter behind it.
    chinese = "".join(char for char in beyond_ascii if _is_chinese(char)).encode("gb2312", "ignore").decode("gb2312")
    return bool(beyond_ascii) and len(chinese) >= _CHINESE_SHARE * len(beyond_ascii)


def _is_chinese(char: str) -> bool:
    return "\u4e00" <= char <= "\u9fff" or "\u3000" <= char <= "\u303f" or "\uff00" <= char <= "\uffef"


def _decode_prefix(data: bytes, encoding: str) -> str | None:
    # An incremental decoder forgives a character that is cut off at the end, as the last line of a sample may be.
    try:
        return codecs.getincrementaldecoder(encoding)().decode(data)
    except UnicodeDecodeError:
        return None


def _conversion(name: str, encoding: str) -> str:
    stem, extension = os.path.splitext(name)
    command = f"iconv -f {encoding} -t UTF-8"
    if extension.lower() in _DECOMPRESS:
        stem, inner = os.path.splitext(stem)
        command = f"{_DECOMPRESS[extension.lower()]} {shlex.quote(name)} | {command}"
        extension = inner
    else:
        command = f"{command} {shlex.quote(name)}"
    return f"Convert it: {command} > {shlex.quote(f'{stem}.utf8{extension}')}"
