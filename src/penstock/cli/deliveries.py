"""Comparing output files with the journal: every answer that was delivered stands in them exactly once.

Its keys are compared as a whole, by a fingerprint, so that any number of them takes no memory.
"""

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from penstock.journal.reader import JournalReader
from penstock.journal.verify import Fingerprint, Verified, fingerprint
from penstock.sinks.csv_file import cell


class Outputs(msgspec.Struct, frozen=True):
    """What came of the comparison: `problems` are answers that are not where they must be, `notes` all is well."""

    problems: list[str]
    notes: list[str]


class _Line(msgspec.Struct, frozen=True):
    key: str | None = None
    custom_id: str | None = None


def check_outputs(reader: JournalReader, verified: Verified) -> Outputs:
    """Compare every output file of a run that is not running. `verified` is what its journal holds."""
    outputs = Outputs([], [])
    ended = reader.recall("ending") is not None
    for name, cursor in reader.cursors().items():
        if name == "-":
            continue
        if Path(name).suffix.lower() not in READERS or "main" not in cursor:
            outputs.notes.append(f"{name}: not compared, only .jsonl, .csv and .tsv files are")
        elif not Path(name).is_file():
            outputs.notes.append(f"{name}: not compared, it is not there any more")
        elif problem := _compare(Path(name), cursor, _expected(reader, verified, name, cursor["seq"]), ended=ended):
            outputs.problems.append(problem)
        else:
            outputs.notes.append(f"{name}: every answer once")
    return outputs


def _compare(path: Path, cursor: dict[str, Any], expected: Fingerprint, *, ended: bool) -> str | None:
    # What a killed run wrote behind its cursor is cut off when it goes on; what has ended has nothing there.
    end = path.stat().st_size if ended else cursor["main"]["offset"]
    try:
        found = fingerprint(READERS[path.suffix.lower()](path, end, cursor))
    except (OSError, ValueError, IndexError, csv.Error) as error:
        return f"{path} cannot be read as it was written: {error}"
    if found.count != expected.count:
        return f"{path} holds {found.count:,} answers, the journal delivered {expected.count:,}"
    if found != expected:
        return f"{path} holds as many answers as the journal delivered, but not the same ones"
    return None


def _expected(reader: JournalReader, verified: Verified, name: str, seq: int) -> Fingerprint:
    """The keys delivered up to `seq`, as the file spells them."""
    in_cells = Path(name).suffix.lower() != ".jsonl"
    if not in_cells and seq >= reader.last_seq():
        return verified.delivered
    keys = reader.answered_keys(seq)
    return fingerprint(map(cell, keys) if in_cells else keys)


def _lines(path: Path, end: int) -> Iterator[bytes]:
    offset = 0
    with path.open("rb") as file:
        while offset < end and (line := file.readline()):
            yield line
            offset += len(line)


def _jsonl_keys(path: Path, end: int, cursor: dict[str, Any]) -> Iterator[str]:
    decode = msgspec.json.Decoder(_Line).decode
    for line in _lines(path, end):
        found = decode(line)
        yield found.custom_id or "" if found.key is None else found.key


def _csv_keys(path: Path, end: int, cursor: dict[str, Any]) -> Iterator[str]:
    """The key is the first column behind the row's own, of which the layout remembers how many there are."""
    column = cursor["layout"]["header"]
    lines = (line.decode() for line in _lines(path, end))
    rows = csv.reader(lines, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
    next(rows, None)
    return (row[column] for row in rows)


READERS: dict[str, Callable[[Path, int, dict[str, Any]], Iterator[str]]] = {
    ".jsonl": _jsonl_keys,
    ".csv": _csv_keys,
    ".tsv": _csv_keys,
}
"""What reads the keys of an output up to a byte, by its extension."""
