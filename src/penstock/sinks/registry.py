"""Every kind of sink in one table, by extension.

Another package adds a kind of URL by an entry point of the group `penstock.sinks`.
"""

import os
import shlex
from collections.abc import Callable, Iterable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from penstock.errors import UsageError
from penstock.models import Result
from penstock.sinks.callables import CallableSink
from penstock.sinks.csv_file import CsvRows
from penstock.sinks.files import FileSink
from penstock.sinks.jsonl import JsonLines
from penstock.sinks.parquet import ParquetSink
from penstock.sinks.protocol import Sink, SinkOptions
from penstock.sinks.stdout import StdoutSink

Spec = str | os.PathLike[str] | Callable[[Result], Any]
"""An output as it is given: a path, "-", a URL, or a function."""

EXTENSIONS: dict[str, Callable[[Path, SinkOptions], Sink]] = {
    ".jsonl": lambda path, options: FileSink(path, JsonLines(options.format), options),
    ".csv": lambda path, options: FileSink(path, CsvRows(","), options),
    ".tsv": lambda path, options: FileSink(path, CsvRows("\t"), options),
    ".parquet": ParquetSink,
}
"""What makes the sink of a file."""

ENTRY_POINTS = "penstock.sinks"
"""Group of entry points: the name is a URL scheme, the object a callable `(url, SinkOptions) -> Sink`."""


def make_sink(spec: Spec, options: SinkOptions) -> Sink:
    """The sink of one output. Raises `UsageError` for one that cannot be written, before anything is sent."""
    if not isinstance(spec, str | os.PathLike):
        return CallableSink(spec)
    text = os.fspath(spec)
    if text == "-":
        return StdoutSink(options)
    if "://" in text:
        return _sink_of_url(text, options)
    path = Path(text)
    make = EXTENSIONS.get(path.suffix.lower())
    if path.is_dir():
        raise UsageError(f"{text} is a folder.", f"Name a file in it, such as {path / 'results.jsonl'}.")
    if make is None:
        raise UsageError(f"{text} is no kind of output that is known.", _supported())
    _check_writable(path)
    return make(path, options)


def make_sinks(specs: Iterable[Spec], options: SinkOptions) -> list[Sink]:
    """The sinks of a run. Raises `UsageError` where two of them would write to the same file.

    Outputs that differ in their extension alone, as `out.jsonl` and `out.csv`, share a failed file: the first keeps it.
    """
    sinks: list[Sink] = []
    for spec in specs:
        sink = make_sink(spec, options)
        if _failed_file(sink) in {_failed_file(other) for other in sinks} - {None}:
            sink = make_sink(spec, msgspec.structs.replace(options, keep_failed=False))
        if isinstance(sink, CallableSink) and sink.name in {other.name for other in sinks}:
            sink.name = f"{sink.name} ({len(sinks) + 1})"
        for other in sinks:
            if _places(sink) & _places(other):
                raise UsageError(f"The outputs {other.name} and {sink.name} are the same.", "Give each its own file.")
        sinks.append(sink)
    return sinks


def _sink_of_url(url: str, options: SinkOptions) -> Sink:
    scheme = urlsplit(url).scheme
    for entry in entry_points(group=ENTRY_POINTS):
        if entry.name == scheme:
            sink: Sink = entry.load()(url, options)
            return sink
    raise UsageError(f"There is no sink for {scheme}:// URLs.", _supported())


def _supported() -> str:
    schemes = sorted(f"{entry.name}://" for entry in entry_points(group=ENTRY_POINTS))
    kinds = ", ".join([*EXTENSIONS, *schemes])
    return f"Supported are {kinds}, and - for standard output."


def _check_writable(path: Path) -> None:
    folder = path.parent
    if not folder.is_dir():
        raise UsageError(f"The folder of {path} does not exist.", f"Make it with: mkdir -p {shlex.quote(str(folder))}")
    places = [folder, path] if path.exists() else [folder]
    for place in places:
        if not os.access(place, os.W_OK):
            raise UsageError(f"{path} cannot be written: no permission for {place}.", "Give an output elsewhere.")


def _failed_file(sink: Sink) -> str | None:
    return os.path.realpath(sink.failed_path) if sink.failed_path else None


def _places(sink: Sink) -> set[str]:
    return {os.path.realpath(sink.path) if sink.path else sink.name, _failed_file(sink) or sink.name}
