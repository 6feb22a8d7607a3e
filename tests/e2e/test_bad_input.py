"""Input as people have it: broken rows cost nothing and stop nobody, and what cannot be read at all is said at once."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from penstock.simulator import running

if TYPE_CHECKING:
    from tests.e2e.conftest import Ended, Penstock

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600, func_only=True)]

BOUND_BY_PERMISSIONS = () if os.geteuid() else ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
"""Root may read and write every file; behind these words it may not."""

BROKEN_ROWS = {
    "bad JSON": b'{"id": "b", "text":}',
    "no object": b"[1, 2]",
    "a field missing": b'{"id": "b"}',
    "a key used before": b'{"id": "a", "text": "again"}',
    "NUL bytes": b'{"id": "b", "text": "\0"}',
    "not UTF-8": b'{"id": "b", "text": "\xff\xfe"}',
    "empty text for a key": b'{"id": "", "text": "x"}',
}

Run = Callable[..., tuple["Ended", int]]


@pytest.fixture
def run(penstock: Penstock) -> Run:
    """Runs the command over a source; how it ended, and how many requests it sent."""

    def run(source: str, *words: str, prefix: tuple[str, ...] = ()) -> tuple[Ended, int]:
        with running() as sim:
            options = ["--base-url", sim.base_url, "--model", "m", "--prompt", "Say {{ text }}", "-o", "out.jsonl"]
            ended = penstock.run("run", source, *options, *words, prefix=prefix)
            return ended, sim.bill().requests

    return run


@pytest.mark.parametrize("broken", BROKEN_ROWS)
def test_a_broken_row_fails_alone(penstock: Penstock, run: Run, broken: str) -> None:
    """It stands in the file of failures, and the rows around it are answered."""
    penstock.write("t.jsonl", b'{"id": "a", "text": "one"}\n' + BROKEN_ROWS[broken] + b'\n{"id": "c", "text": "two"}\n')
    ended, requests = run("t.jsonl")

    results = [json.loads(line) for line in (penstock.folder / "out.jsonl").read_text().splitlines()]
    assert (ended.code, requests) == (1, 2)
    assert [result["key"] for result in results] == ["a", "c"]
    assert len((penstock.folder / "out.failed.jsonl").read_text().splitlines()) == 1


@pytest.mark.parametrize("broken", BROKEN_ROWS)
def test_a_broken_row_is_found_by_its_file_and_line(penstock: Penstock, run: Run, broken: str) -> None:
    """Blank lines above it or not, the failure says where a person has to look."""
    penstock.write("t.jsonl", b'\n{"id": "a", "text": "one"}\n\n' + BROKEN_ROWS[broken] + b"\n")
    run("t.jsonl")

    assert "t.jsonl:4" in (penstock.folder / "out.failed.jsonl").read_text()


@pytest.mark.parametrize(
    "content",
    [
        b'\xef\xbb\xbf{"id": "a", "text": "one"}\n{"id": "b", "text": "two"}\n',
        b'{"id": "a", "text": "one"}\r\n{"id": "b", "text": "two"}\r\n',
        b'\n{"id": "a", "text": "one"}\n\n\n{"id": "b", "text": "two"}',
    ],
    ids=["a byte order mark", "CRLF", "blank lines and no last newline"],
)
def test_what_editors_do_to_files_does_not_matter(penstock: Penstock, run: Run, content: bytes) -> None:
    """The rows are read as they were meant."""
    penstock.write("tasks.jsonl", content)
    ended, requests = run("tasks.jsonl")

    assert (ended.code, requests) == (0, 2), ended.err
    assert not (penstock.folder / "out.failed.jsonl").exists()


def test_a_row_of_a_table_that_is_too_short_fails_alone(penstock: Penstock, run: Run) -> None:
    """As with JSON."""
    penstock.write("t.csv", "id,text\na,one\nb\nc,two\n")
    ended, requests = run("t.csv")

    assert (ended.code, requests) == (1, 2)
    assert len((penstock.folder / "out.failed.jsonl").read_text().splitlines()) == 1


def test_a_file_of_broken_rows_alone_is_not_burnt(penstock: Penstock, run: Run) -> None:
    """After the first twenty the run pauses, because the prompt is more likely wrong than the rows."""
    penstock.write("tasks.jsonl", '{"words": "not text"}\n' * 500)
    ended, requests = run("tasks.jsonl")

    assert (ended.code, requests) == (3, 0)
    assert "text" in ended.err
    assert penstock.verify().totals.failed == 20


def test_broken_rows_do_not_pause_a_run_whose_answers_are_on_their_way(penstock: Penstock, run: Run) -> None:
    """Thirty broken rows behind a good one fail as one alone would: the first answer shows that the prompt is right."""
    penstock.write("tasks.jsonl", '{"id": "a", "text": "one"}\n' + "{]\n" * 30 + '{"id": "b", "text": "two"}\n')
    ended, requests = run("tasks.jsonl")

    assert (ended.code, requests) == (1, 2), ended.err


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("nothing.jsonl", "does not exist"),
        ("folder", "no text files"),
        ("table.xlsx", "CSV"),
        ("utf16.csv", "UTF-16"),
        ("chinese.jsonl", "iconv -f GB18030 -t UTF-8"),
        ("mysql://user:secret@host/db", "No source"),
    ],
)
def test_a_source_that_cannot_be_read_is_refused(penstock: Penstock, run: Run, source: str, words: str) -> None:
    """With exit code 2 and words that help, before anything is sent, made or remembered."""
    (penstock.folder / "folder").mkdir()
    penstock.write("table.xlsx", b"PK\3\4")
    penstock.write("utf16.csv", "id,text\na,one\n".encode("utf-16"))
    penstock.write("chinese.jsonl", '{"text": "这是一个测试"}\n'.encode("gb18030"))
    ended, requests = run(source)

    assert (ended.code, requests) == (2, 0)
    assert words in ended.err
    assert "Traceback" not in ended.err
    assert not (penstock.folder / "out.jsonl").exists()


@pytest.mark.parametrize("place", ["the source", "the output's folder", "the home of runs"])
def test_what_permissions_forbid_is_said(penstock: Penstock, run: Run, rows: Callable[[int], str], place: str) -> None:
    """With exit code 2 and the name of the place, before anything is sent."""
    penstock.write("tasks.jsonl", rows(2))
    (penstock.folder / "closed").mkdir(mode=0o555)
    words: tuple[str, ...] = ()
    if place == "the source":
        (penstock.folder / "tasks.jsonl").chmod(0)
    else:
        words = ("-o", "closed/out.jsonl") if place == "the output's folder" else ("--home", "closed/runs")
    ended, requests = run("tasks.jsonl", *words, prefix=BOUND_BY_PERMISSIONS)

    assert (ended.code, requests) == (2, 0), ended.err
    assert "Traceback" not in ended.err
    assert ("tasks.jsonl" if place == "the source" else "closed") in ended.err


@pytest.mark.parametrize("name", ["empty.jsonl", "empty.csv", "header.csv"])
def test_an_empty_source_is_a_finished_run(penstock: Penstock, run: Run, name: str) -> None:
    """No row, no result, no failure; and a row that is added later is answered by the same command."""
    header = "" if name.startswith("empty") else "id,text\n"
    penstock.write(name, header)
    ended, requests = run(name)

    assert (ended.code, requests) == (0, 0), ended.err
    assert "0 done, 0 failed" in ended.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--concurrency", "0"], "--concurrency"),
        (["--concurency", "5"], "--concurrency"),
        (["--param", "temperature"], "NAME=VALUE"),
        (["--api", "chatty"], "--api"),
        (["-o", "no-such-folder/out.jsonl"], "mkdir"),
        (["-o", "out.jsonl"], "the same"),
        (["--system", "{{ broken"], "--system"),
        (["--prompt-file", "missing.txt"], "--prompt-file"),
        (["--endpoint", "nowhere"], "nowhere"),
        (["--ca-file", "missing.pem"], "missing.pem"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage_is_explained(
    penstock: Penstock, run: Run, rows: Callable[[int], str], words: list[str], said: str
) -> None:
    """With exit code 2, before anything is sent, naming what is wrong."""
    penstock.write("tasks.jsonl", rows(2))
    ended, requests = run("tasks.jsonl", *words)

    assert (ended.code, requests) == (2, 0), ended.err
    assert said in ended.err
    assert "Traceback" not in ended.err
