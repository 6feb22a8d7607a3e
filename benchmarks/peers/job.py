"""What every contender is given: the same rows, the same place to send them, the same number at once.

Standard library only, for it is read in every contender's own environment.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MODEL = "gpt-4o"
TIMEOUT_S = 120


@dataclass(frozen=True)
class Job:
    """One run of one contender."""

    base_url: str
    rows: Path
    concurrency: int
    output: Path
    ca_file: str | None

    @property
    def authority(self) -> bytes | None:
        """The certificate to trust besides, where there is one."""
        return Path(self.ca_file).read_bytes() if self.ca_file else None

    @property
    def url(self) -> str:
        """Where chat completions are asked for."""
        return f"{self.base_url}/chat/completions"

    def conversations(self) -> Iterator[list[dict[str, Any]]]:
        """The messages of each row, read as they are asked for."""
        with self.rows.open("rb") as lines:
            for line in lines:
                row = json.loads(line)
                yield row.get("messages") or [{"role": "user", "content": "Classify: " + row["text"]}]

    def bodies(self) -> Iterator[bytes]:
        """The request of each row."""
        for messages in self.conversations():
            yield json.dumps({"model": MODEL, "messages": messages}, separators=(",", ":")).encode()


def read_job() -> Job:
    """What the command line says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("base_url")
    parser.add_argument("rows", type=Path)
    parser.add_argument("concurrency", type=int)
    parser.add_argument("output", type=Path)
    parser.add_argument("--ca-file")
    return Job(**vars(parser.parse_args()))
