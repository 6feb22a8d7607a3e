"""JSON Lines: one answer per line, in Penstock's form or as an OpenAI Batch output file."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from penstock.models import Result
from penstock.options import Format
from penstock.sinks.lines import encode_batch, encode_result
from penstock.sinks.reorder import IndexOf, index_pattern

ENCODERS: dict[Format, Callable[[Result], bytes]] = {"penstock": encode_result, "openai-batch": encode_batch}
"""What makes the line of an answer, by `--format`."""

INDEXES: dict[Format, IndexOf] = {
    "penstock": index_pattern(rb'\{"key":"(?:[^"\\]|\\.)*","index":(\d+),'),
    "openai-batch": index_pattern(rb'\{"id":"batch_req_(\d+)",'),
}
"""What reads the index of a line, by `--format`."""


class JsonLines:
    """The layout of `.jsonl` files. It has nothing to remember."""

    complete = True

    def __init__(self, format: Format = "penstock") -> None:
        self._encode = ENCODERS[format]
        self.index_of = INDEXES[format]

    def start(self, results: Sequence[Result]) -> bytes:
        """Nothing stands above the lines."""
        return b""

    def line(self, result: Result) -> bytes:
        """One JSON object."""
        return self._encode(result) + b"\n"

    def dump(self) -> dict[str, Any]:
        """Empty."""
        return {}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take nothing."""
