"""Which output makes which sink, and what is refused before anything is sent."""

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.errors import UsageError
from penstock.models import Result, Settled, Status
from penstock.sinks.callables import CallableSink
from penstock.sinks.files import FileSink
from penstock.sinks.parquet import ParquetSink
from penstock.sinks.protocol import Cursor, Sink, SinkOptions
from penstock.sinks.registry import make_sink, make_sinks
from penstock.sinks.stdout import StdoutSink

OPTIONS = SinkOptions()


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.jsonl", FileSink), ("a.csv", FileSink), ("a.TSV", FileSink), ("a.parquet", ParquetSink)],
)
def test_extension_tells_the_kind(tmp_path: Path, name: str, kind: type) -> None:
    """A file's extension, in any case, decides what is written."""
    assert isinstance(make_sink(tmp_path / name, OPTIONS), kind)


def test_dash_is_standard_output() -> None:
    """A dash is standard output."""
    assert isinstance(make_sink("-", OPTIONS), StdoutSink)


def test_function_is_a_sink() -> None:
    """A callable is called with each result, and is known by its name."""
    sink = make_sink(print, OPTIONS)
    assert isinstance(sink, CallableSink)
    assert sink.name == "builtins.print"


@pytest.mark.parametrize(
    ("name", "failed"),
    [("out.jsonl", "out.failed.jsonl"), ("out.csv", "out.failed.jsonl"), ("a.b.parquet", "a.b.failed.jsonl")],
)
def test_failed_file_stands_beside(tmp_path: Path, name: str, failed: str) -> None:
    """The failed file is named after the output."""
    (sink,) = make_sinks([tmp_path / name], OPTIONS)
    assert isinstance(sink, FileSink | ParquetSink)
    assert sink.failed_path == tmp_path / failed


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("out.xlsx", r"out\.xlsx is no kind of output"),
        ("out", "out is no kind of output"),
        ("", "is a folder"),
        ("missing/out.jsonl", "folder of .* does not exist"),
    ],
)
def test_impossible_output_is_refused(tmp_path: Path, name: str, message: str) -> None:
    """What cannot be written is refused at once, with a hint."""
    with pytest.raises(UsageError, match=message) as caught:
        make_sink(tmp_path / name, OPTIONS)
    assert caught.value.hint


def test_unknown_kind_names_what_is_supported(tmp_path: Path) -> None:
    """The hint lists every built-in kind."""
    with pytest.raises(UsageError, match=r"\.jsonl, \.csv, \.tsv, \.parquet"):
        make_sink(tmp_path / "out.xlsx", OPTIONS)


def test_unknown_scheme_is_refused() -> None:
    """A URL that no installed package serves is refused."""
    with pytest.raises(UsageError, match="no sink for ftp://"):
        make_sink("ftp://host/x.jsonl", OPTIONS)


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[None]:
    """A package that brings a sink for `demo://`."""
    (tmp_path / "demo_sink.py").write_text("def make(url, options):\n    return (url, options)\n")
    metadata = tmp_path / "demo_sink-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: demo-sink\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[penstock.sinks]\ndemo = demo_sink:make\n")
    sys.path.insert(0, str(tmp_path))
    yield
    sys.path.remove(str(tmp_path))
    sys.modules.pop("demo_sink", None)


@pytest.mark.usefixtures("installed")
def test_plug_in_serves_its_scheme() -> None:
    """An entry point gets the URL and the options."""
    made: object = make_sink("demo://x", OPTIONS)
    assert made == ("demo://x", OPTIONS)


def test_outputs_that_share_a_failed_file(tmp_path: Path) -> None:
    """Two forms of the same output write the failed tasks once."""
    first, second = make_sinks([tmp_path / "out.jsonl", tmp_path / "out.csv"], OPTIONS)
    assert first.failed_path == tmp_path / "out.failed.jsonl"
    assert second.failed_path is None


def test_output_that_gets_a_failed_file_later(tmp_path: Path) -> None:
    """An output that shared a failed file and stands alone now is filled again from the beginning."""

    async def cursor_of(sink: Sink, cursor: Cursor | None) -> Cursor:
        opened = await sink.open(cursor)
        delivered = await sink.deliver([Settled(1, Result("a", 0, Status.OK, b"{}", text="x"))])
        await sink.aclose()
        return delivered if cursor is None else opened

    _, sharing = make_sinks([tmp_path / "out.jsonl", tmp_path / "out.csv"], OPTIONS)
    cursor = asyncio.run(cursor_of(sharing, None))
    alone = make_sink(tmp_path / "out.csv", OPTIONS)
    assert asyncio.run(cursor_of(alone, cursor))["seq"] == 0


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("out.jsonl", "out.jsonl"),
        ("out.jsonl", "folder/../out.jsonl"),
        ("out.jsonl", "out.failed.jsonl"),
        ("out.failed.jsonl", "out.jsonl"),
    ],
)
def test_outputs_that_would_overwrite_each_other(tmp_path: Path, one: str, other: str) -> None:
    """Two outputs never write to the same file."""
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match="are the same"):
        make_sinks([tmp_path / one, tmp_path / other], OPTIONS)


def test_functions_of_one_name_have_their_own_cursors() -> None:
    """Two callables of the same name are told apart."""
    some: list[Result] = []
    others: list[Result] = []
    assert len({sink.name for sink in make_sinks([some.append, others.append], OPTIONS)}) == 2
