"""What a name stands for, and what is said when it stands for nothing."""

import os
from pathlib import Path

import pytest

from penstock.errors import SourceError
from penstock.sources.blocking import ThreadedSource
from penstock.sources.iterables import IterableSource
from penstock.sources.registry import FORMATS, make_source
from penstock.sources.standard_input import StandardInput


@pytest.mark.parametrize("extension", [*FORMATS, "JSONL", "csv.gz", "txt.zst", "JSONL.GZ"])
def test_a_file_is_known_by_its_extension(tmp_path: Path, extension: str) -> None:
    """Every format of the table is found, in capitals and compressed, too."""
    path = tmp_path / f"tasks.{extension}"
    path.write_bytes(b"")
    assert isinstance(make_source(str(path)), ThreadedSource)
    assert make_source(path).name == str(path)


def test_a_dash_is_standard_input() -> None:
    """As in every other program."""
    assert isinstance(make_source("-"), StandardInput)


def test_python_rows_are_a_source() -> None:
    """Lists and generators are taken as they are."""
    assert isinstance(make_source(["a"]), IterableSource)


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("tasks.log", "this kind of file cannot be read as rows", "as in jsonl:PATH"),
        ("tasks", "this kind of file cannot be read as rows", ".jsonl, .csv, .tsv, .txt, .parquet"),
        ("tasks.parquet.gz", "this kind of file cannot be read as rows", "all but the last"),
        ("tasks.json", "this kind of file cannot be read as rows", "jq -c '.[]'"),
        ("tasks.xlsx", "this kind of file cannot be read as rows", "CSV UTF-8"),
    ],
)
def test_an_unknown_extension_says_what_is_supported(tmp_path: Path, name: str, message: str, hint: str) -> None:
    """The refusal names the formats and how to name one."""
    path = tmp_path / name
    path.write_bytes(b"")
    with pytest.raises(SourceError, match=message) as refusal:
        make_source(str(path))
    assert hint in (refusal.value.hint or "")


def test_a_missing_file_is_named_with_its_nearest_neighbour(tmp_path: Path) -> None:
    """A slip of the pen is found out."""
    (tmp_path / "tasks.jsonl").write_bytes(b"")
    with pytest.raises(SourceError, match=r"task\.jsonl does not exist\.\nDid you mean .*tasks\.jsonl\?"):
        make_source(str(tmp_path / "task.jsonl"))


def test_a_missing_file_says_where_it_was_looked_for(tmp_path: Path) -> None:
    """A wrong folder is found out."""
    with pytest.raises(SourceError, match=rf"It was looked for in {tmp_path}\."):
        make_source(str(tmp_path / "tasks.jsonl"))


@pytest.mark.parametrize("prompt", ["Write a haiku about rivers", "Write\na haiku " + "x" * 5000, "a \0"])
def test_a_prompt_is_not_a_path(prompt: str) -> None:
    """A string that is no path is refused, whatever it holds."""
    with pytest.raises(SourceError):
        make_source(prompt)


def test_a_pipe_is_to_be_piped_in(tmp_path: Path) -> None:
    """A named pipe cannot be read twice, so standard input is the way."""
    os.mkfifo(tmp_path / "tasks.jsonl")
    with pytest.raises(SourceError, match="penstock run -"):
        make_source(str(tmp_path / "tasks.jsonl"))


def test_an_unknown_scheme_is_named_without_the_password() -> None:
    """The refusal shows the scheme and nothing else of the URL."""
    with pytest.raises(SourceError, match=r"No source is known for gopher:// URLs\.") as refusal:
        make_source("gopher://user:hunter2@example/table")
    assert "hunter2" not in str(refusal.value)


@pytest.mark.parametrize("rows", [{"prompt": "a"}, b"a", 7, None])
def test_what_is_no_rows_is_refused(rows: object) -> None:
    """A single dict or a number is a mistake of the caller."""
    with pytest.raises(SourceError, match="Rows cannot come from"):
        make_source(rows)  # type: ignore[arg-type]


@pytest.fixture
def plug_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the import path with an installed plug-in for two schemes, of which one is broken."""
    metadata = tmp_path / "plug_in_of_the_test-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: plug-in-of-the-test\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[penstock.sources]\nletters = plug_in_of_the_test:make\nbroken = plug_in_of_the_test:gone\n"
    )
    (tmp_path / "plug_in_of_the_test.py").write_text(
        "from penstock.sources.iterables import IterableSource\n"
        "def make(url):\n"
        "    return IterableSource(list('abc'), name=url)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("plug_in")
def test_a_plug_in_reads_the_urls_of_its_scheme() -> None:
    """An installed entry point is called with the URL."""
    assert make_source("Letters://somewhere").name == "Letters://somewhere"


@pytest.mark.usefixtures("plug_in")
def test_a_broken_plug_in_is_named() -> None:
    """A plug-in that cannot be loaded is an error of the installation, in words."""
    with pytest.raises(SourceError, match="The plug-in for broken:// URLs cannot be loaded"):
        make_source("broken://somewhere")
