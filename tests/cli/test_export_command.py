"""`penstock export`: what a journal holds, in any form, at any time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Cli, ReadLines

pytestmark = pytest.mark.usefixtures("mixed_run")


def keys_of(printed: str, member: str = "key") -> list[str]:
    """The keys of printed lines, in order."""
    return [json.loads(line)[member] for line in printed.splitlines()]


def test_standard_output_gets_the_answers_in_input_order(cli: Cli) -> None:
    """Where nothing else is asked for."""
    ended = cli("export", "job")
    assert ended.code == 0
    assert keys_of(ended.out) == ["b", "a", "short"]
    assert "3 answers of job written to standard output; failed: 1." in ended.err


def test_other_forms_and_orders_may_be_asked_for(cli: Cli) -> None:
    """As with run."""
    ended = cli("export", "job", "--format", "openai-batch", "--order", "completion")
    assert sorted(keys_of(ended.out, "custom_id")) == ["a", "b", "short"]


def test_several_files_are_filled_at_once(folder: Path, cli: Cli, read_lines: ReadLines) -> None:
    """As the run itself would have written them, with the failed tasks beside."""
    ended = cli("export", "job", "-o", "all.csv", "-o", "all.jsonl")
    assert ended.code == 0
    assert (folder / "all.jsonl").read_bytes() == (folder / "out.jsonl").read_bytes()
    assert (folder / "all.csv").read_text().splitlines()[0].endswith("attempts,finished_at")
    assert [line["id"] for line in read_lines(folder / "all.failed.jsonl")] == ["bad"]


def test_a_file_that_exists_is_not_overwritten(folder: Path, cli: Cli) -> None:
    """Unless told to."""
    (folder / "mine.jsonl").write_text("mine\n")
    refused = cli("export", "job", "-o", "mine.jsonl")
    assert refused.code == 2
    assert "--overwrite" in refused.err
    assert (folder / "mine.jsonl").read_text() == "mine\n"
    assert cli("export", "job", "-o", "mine.jsonl", "--overwrite").code == 0
    assert len(keys_of((folder / "mine.jsonl").read_text())) == 3


def test_an_output_that_was_lost_is_written_anew(folder: Path, cli: Cli) -> None:
    """From the journal."""
    before = (folder / "out.jsonl").read_bytes()
    (folder / "out.jsonl").unlink()
    (folder / "out.failed.jsonl").unlink()
    assert cli("export", "job", "-o", "out.jsonl").code == 0
    assert (folder / "out.jsonl").read_bytes() == before
