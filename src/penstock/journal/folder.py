"""A run's folder: what stands in it, and how it is deleted without touching anything else."""

from pathlib import Path

from penstock.control.address import SOCKET_FILE
from penstock.errors import UsageError
from penstock.journal.lock import RunLock

JOURNAL_FILE = "journal.db"
OWN_FILES = (JOURNAL_FILE, "journal.db-wal", "journal.db-shm", "journal.db.new", "reserve", "lock", SOCKET_FILE)
"""What a run keeps in its folder; anything else there is not ours to delete."""


def own_files(folder: Path) -> list[Path]:
    """The files in the folder that are the run's."""
    return [path for name in OWN_FILES if (path := folder / name).is_file() or path.is_socket()]


def delete_run(folder: Path) -> bool:
    """Delete a run and, where nothing else stands in it, its folder; whether the folder is gone.

    Raises `RunLocked` while a process works on it, and `UsageError` for a folder of other things that was no run.
    """
    if not folder.exists():
        return True
    if not (folder / JOURNAL_FILE).exists() and any(path.name not in OWN_FILES for path in folder.iterdir()):
        raise UsageError(f"{folder} is a folder with other things in it, not a run.", "Give the run another --name.")
    with RunLock(folder):
        for path in own_files(folder):
            path.unlink()
    if any(folder.iterdir()):
        return False
    folder.rmdir()
    return True
