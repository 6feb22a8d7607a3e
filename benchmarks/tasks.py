"""Files of rows, as users have them."""

import base64
import json
import math
import random
import struct
import zlib
from pathlib import Path

TEXT = "The quick brown fox number {} jumps over the lazy dog and goes home."


def make_rows(path: Path, count: int) -> Path:
    """A file of so many rows, each a short text to be classified."""
    with path.open("w") as file:
        for number in range(count):
            file.write(json.dumps({"id": f"row-{number}", "text": TEXT.format(number)}) + "\n")
    return path


def make_long_rows(path: Path, count: int, size: int) -> Path:
    """So many rows whose texts are `size` bytes long."""
    with path.open("w") as file:
        for number in range(count):
            sentence = TEXT.format(number) + " "
            text = (sentence * (size // len(sentence) + 1))[:size]
            file.write(json.dumps({"id": f"row-{number}", "text": text}) + "\n")
    return path


def make_image_rows(path: Path, count: int, size: int) -> Path:
    """So many rows that ask about an image of `size` bytes, which stands in the message as base64."""
    image = base64.b64encode(_picture(size)).decode()
    with path.open("w") as file:
        for number in range(count):
            parts = [
                {"type": "text", "text": f"What is in picture {number}?"},
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{image}"}},
            ]
            row = {"id": f"row-{number}", "messages": [{"role": "user", "content": parts}]}
            file.write(json.dumps(row) + "\n")
    return path


def _picture(size: int) -> bytes:
    """A square PNG of noise, which does not compress: about `size` bytes."""
    side = math.isqrt(size // 3)
    noise = random.Random(0)
    lines = b"".join(b"\0" + noise.randbytes(3 * side) for _ in range(side))
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(lines, 1)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
