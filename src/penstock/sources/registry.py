"""Which source a name stands for: the one table of built-in formats, and plug-ins by URL scheme.

A plug-in is an entry point in the group `penstock.sources`, named after the URL scheme it reads; it is called with the
URL and returns a `Source`.
"""

import difflib
import os
import re
import stat
from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from importlib.metadata import entry_points

from penstock.errors import SourceError
from penstock.models import Position
from penstock.sources.blocking import BlockingReader, ThreadedSource
from penstock.sources.delimited import csv_file, tsv_file
from penstock.sources.files import cannot_read, without_compression
from penstock.sources.folder import Folder, check_folder
from penstock.sources.iterables import IterableSource
from penstock.sources.line_files import jsonl_file, text_file
from penstock.sources.parquet import ParquetFile
from penstock.sources.protocol import Source
from penstock.sources.standard_input import StandardInput

FORMATS: dict[str, Callable[[str], BlockingReader]] = {
    "jsonl": jsonl_file,
    "ndjson": jsonl_file,
    "csv": csv_file,
    "tsv": tsv_file,
    "txt": text_file,
    "parquet": ParquetFile,
}
"""Every built-in file format under its extension, which is also its name in `FORMAT:PATH`."""
ENTRY_POINTS = "penstock.sources"

_CONVERSIONS = {
    "json": "A .json file is one document; write one object a line: jq -c '.[]' {name} > {stem}.jsonl",
    "xlsx": "Save the sheet as 'CSV UTF-8'.",
    "xls": "Save the sheet as 'CSV UTF-8'.",
}
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*)://")
_SUPPORTED = (
    "A source is a file (.jsonl, .csv, .tsv, .txt, .parquet; all but the last also with .gz or .zst behind), "
    "a folder of text files, or - for JSONL on standard input, compressed or not. "
    "Name the format of any other file as in jsonl:PATH."
)


def make_source(spec: str | os.PathLike[str] | Iterable[object] | AsyncIterable[object]) -> Source:
    """The source that a path, `FORMAT:PATH`, URL or `-` stands for, or one over rows of Python.

    Raises `SourceError` when there is no such source, or it cannot be opened.
    """
    if isinstance(spec, str | os.PathLike):
        return _named_source(os.fspath(spec))
    if isinstance(spec, Mapping | bytes) or not isinstance(spec, Iterable | AsyncIterable):
        raise SourceError(f"Rows cannot come from {type(spec).__name__}.", "Give a list of dicts or of strings.")
    return IterableSource(spec)


def estimate_total(source: Source, taken: int = 0, position: Position | None = None) -> int | None:
    """How many rows an open source has in all.

    Where it does not know without reading: as many as the `taken` ones up to `position` let expect of its bytes. None
    where nothing can be said.
    """
    if source.total is not None:
        return source.total
    size_bytes, offset = source.size_bytes, (position or {}).get("offset")
    return round(taken * size_bytes / offset) if size_bytes and offset else None


def _named_source(name: str) -> Source:
    if name == "-":
        return StandardInput()
    if url := _URL.match(name):
        return _plugged_in(url[1].lower(), name)
    format_name, colon, path = name.partition(":")
    if not colon or format_name not in FORMATS:
        format_name, path = "", name
    if _opens_as_folder(path):
        return ThreadedSource(Folder(path))
    return ThreadedSource(_reader(format_name, path)(path))


def _plugged_in(scheme: str, url: str) -> Source:
    # Only the scheme is shown: the rest may hold a password.
    found = next(iter(entry_points(group=ENTRY_POINTS, name=scheme)), None)
    if found is None:
        raise SourceError(f"No source is known for {scheme}:// URLs.", _SUPPORTED)
    try:
        make = found.load()
    except (ImportError, AttributeError) as error:
        raise SourceError(f"The plug-in for {scheme}:// URLs cannot be loaded: {error}.") from error
    source: Source = make(url)
    return source


def _opens_as_folder(path: str) -> bool:
    try:
        path.encode()  # a name that is not UTF-8 could be neither shown nor journaled
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            check_folder(path)
            return True
        if stat.S_ISREG(mode):
            open(path, "rb").close()
            return False
    except FileNotFoundError:
        raise SourceError(f"{path} does not exist.", _nearest(path)) from None
    except (OSError, ValueError) as error:
        raise cannot_read(path, error) from None
    raise SourceError(f"{path} is not a file that can be read twice.", "Pipe it in: penstock run - < " + path)


def _nearest(path: str) -> str:
    folder, wanted = os.path.split(path)
    try:
        near = difflib.get_close_matches(wanted, os.listdir(folder or "."), n=1)
    except OSError:
        near = []
    if near:
        return f"Did you mean {os.path.join(folder, near[0])}?"
    if " " in path:
        return "If it is a prompt, give it in a list."
    return f"It was looked for in {os.path.abspath(folder or '.')}."


def _reader(format_name: str, path: str) -> Callable[[str], BlockingReader]:
    plain = without_compression(path)
    stem, extension = os.path.splitext(plain)
    format_name = format_name or extension[1:].lower()
    if format_name in FORMATS and not (format_name == "parquet" and plain != path):
        return FORMATS[format_name]
    hint = _CONVERSIONS.get(format_name, _SUPPORTED).format(name=path, stem=stem)
    raise SourceError(f"{path}: this kind of file cannot be read as rows.", hint)
