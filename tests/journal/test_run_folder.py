"""A run's folder: only what is the run's is ever deleted."""

import asyncio
import socket
from pathlib import Path

import pytest

from penstock.control.address import short_path
from penstock.errors import RunLocked, UsageError
from penstock.journal.folder import JOURNAL_FILE, delete_run
from penstock.journal.journal import Journal


def begun(folder: Path) -> Journal:
    """A journal in this folder."""
    return Journal(folder, lambda api, body: (None, None))


def test_a_run_is_deleted_with_its_folder(tmp_path: Path) -> None:
    """Nothing of it is left."""
    folder = tmp_path / "run"
    asyncio.run(begun(folder).aclose())
    assert delete_run(folder)
    assert not folder.exists()


def test_the_socket_of_a_killed_process_goes_with_the_run(tmp_path: Path) -> None:
    """It is the run's, and no file."""
    folder = tmp_path / "run"
    asyncio.run(begun(folder).aclose())
    with socket.socket(socket.AF_UNIX) as left, short_path(folder) as path:
        left.bind(path)
    assert delete_run(folder)
    assert not folder.exists()


def test_other_files_in_a_run_stay(tmp_path: Path) -> None:
    """A file that somebody put there is not the run's."""
    asyncio.run(begun(tmp_path).aclose())
    (tmp_path / "notes.txt").write_text("mine")
    assert not delete_run(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    """A name that leads to somebody's folder deletes nothing in it."""
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(UsageError, match="not a run"):
        delete_run(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "precious"


def test_a_run_that_is_worked_on_is_refused(tmp_path: Path) -> None:
    """While a journal is open its files stay."""
    journal = begun(tmp_path)
    with pytest.raises(RunLocked):
        delete_run(tmp_path)
    asyncio.run(journal.aclose())
    assert (tmp_path / JOURNAL_FILE).exists()


def test_a_half_made_journal_is_made_anew(tmp_path: Path) -> None:
    """What a kill during creation leaves is not taken for a journal."""
    (tmp_path / f"{JOURNAL_FILE}.new").write_bytes(b"half")
    (tmp_path / JOURNAL_FILE).touch()
    journal = begun(tmp_path)
    assert journal.totals.accepted == 0
    asyncio.run(journal.aclose())
