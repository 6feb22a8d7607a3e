"""`penstock verify`: what is on disk against what the journal says."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from penstock.simulator import BackgroundSimulator

if TYPE_CHECKING:
    from tests.cli.conftest import Cli, LiveRun

STRANGE_KEYS = (
    '{"id": "=1+1", "prompt": "a"}\n{"id": "-2", "prompt": "b"}\n{"id": "x\\ty\\nz", "key": "k", "prompt": "c"}\n'
)


@pytest.mark.usefixtures("mixed_run")
def test_a_sound_run_is_verified(cli: Cli) -> None:
    """With its outputs."""
    ended = cli("verify", "job")
    assert ended.code == 0
    assert "verified: 4 tasks taken, 3 answered, 1 failed, 0 pending; none lost, none twice" in ended.out
    assert "out.jsonl: every answer once" in ended.out


@pytest.mark.usefixtures("mixed_run")
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda lines: lines[:-1], "out.jsonl holds 2 answers, the journal delivered 3"),
        (lambda lines: [*lines, lines[0]], "out.jsonl holds 4 answers, the journal delivered 3"),
        (lambda lines: [lines[0], lines[0], lines[2]], "but not the same ones"),
        (lambda lines: ["nonsense\n"], "out.jsonl cannot be read as it was written"),
    ],
    ids=["one lost", "one twice", "one in the place of another", "damaged"],
)
def test_an_output_that_lacks_or_repeats_an_answer_is_found(folder: Path, cli: Cli, spoil, words: str) -> None:  # type: ignore[no-untyped-def]
    """Exit code 1."""
    output = folder / "out.jsonl"
    output.write_text("".join(spoil(output.read_text().splitlines(keepends=True))))
    ended = cli("verify", "job")
    assert ended.code == 1
    assert words in ended.out


@pytest.mark.usefixtures("mixed_run")
def test_an_output_that_was_moved_away_is_no_problem(folder: Path, cli: Cli) -> None:
    """It is only not compared."""
    (folder / "out.jsonl").rename(folder / "elsewhere.jsonl")
    ended = cli("verify", "job")
    assert ended.code == 0
    assert "out.jsonl: not compared" in ended.out


@pytest.mark.usefixtures("mixed_run")
def test_a_journal_that_lost_a_result_is_found(folder: Path, cli: Cli) -> None:
    """Exit code 1."""
    journal = sqlite3.connect(folder / ".penstock" / "job" / "journal.db")
    with journal:
        journal.execute("DELETE FROM results WHERE seq = 2")
    journal.close()
    ended = cli("verify", "job")
    assert ended.code == 1
    assert "results 2 to 2 are missing" in ended.out


def test_a_journal_that_is_none_is_found(folder: Path, cli: Cli) -> None:
    """Exit code 1 as well."""
    (folder / ".penstock" / "job").mkdir(parents=True)
    (folder / ".penstock" / "job" / "journal.db").write_bytes(b"no database at all")
    ended = cli("verify", "job")
    assert ended.code == 1
    assert "cannot be read" in ended.out


@pytest.mark.parametrize("output", ["out.csv", "out.tsv", "out.jsonl"])
@pytest.mark.parametrize("form", ["penstock", "openai-batch"])
def test_keys_are_compared_as_each_file_spells_them(
    folder: Path, cli: Cli, sim: BackgroundSimulator, output: str, form: str
) -> None:
    """A table changes what a spreadsheet would run as a formula, and may have a column called key already."""
    (folder / "rows.jsonl").write_text(STRANGE_KEYS)
    words = ("--base-url", sim.base_url, "-m", "m", "--name", "job", "--key", "id", "--format", form)
    assert cli("run", "rows.jsonl", *words, "-o", output).code == 0
    ended = cli("verify", "job")
    assert ended.code == 0
    assert f"{output}: every answer once" in ended.out


def test_a_killed_run_is_sound_as_far_as_it_got(cli: Cli, live_run: LiveRun, folder: Path) -> None:
    """Its output as far as its cursor goes: what stands behind is cut off when it goes on."""
    live_run.kill()
    with live_run.output.open("a") as file:
        file.write('{"key": "half a li')
    ended = cli("verify", "live", "--home", live_run.home)
    assert ended.code == 0
    assert "2 tasks taken, 1 answered, 0 failed, 1 pending" in ended.out
    assert "live-out.jsonl: every answer once" in ended.out
