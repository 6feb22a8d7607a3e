"""Files of rows, as users have them."""

import base64
import json
import random
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
    image = base64.b64encode(random.Random(0).randbytes(size)).decode()
    with path.open("w") as file:
        for number in range(count):
            parts = [
                {"type": "text", "text": f"What is in picture {number}?"},
                {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{image}"}},
            ]
            row = {"id": f"row-{number}", "messages": [{"role": "user", "content": parts}]}
            file.write(json.dumps(row) + "\n")
    return path
