"""The lock of a run: who holds it, and that looking takes nothing from anybody."""

import threading
from pathlib import Path

import pytest

from penstock.errors import RunLocked
from penstock.journal.lock import RunLock, is_locked


def test_a_run_is_locked_while_a_lock_is_held(tmp_path: Path) -> None:
    """And not before or after."""
    assert not is_locked(tmp_path)
    with RunLock(tmp_path):
        assert is_locked(tmp_path)
    assert not is_locked(tmp_path)


def test_a_second_lock_is_refused(tmp_path: Path) -> None:
    """While the first is held."""
    with RunLock(tmp_path), pytest.raises(RunLocked):
        RunLock(tmp_path)


def test_looking_changes_nothing(tmp_path: Path) -> None:
    """Not even a file that is missing is made."""
    is_locked(tmp_path)
    assert list(tmp_path.iterdir()) == []
    RunLock(tmp_path).close()
    before = (tmp_path / "lock").read_bytes()
    is_locked(tmp_path)
    assert (tmp_path / "lock").read_bytes() == before


def test_looking_keeps_no_run_from_starting(tmp_path: Path) -> None:
    """However often somebody looks."""
    RunLock(tmp_path).close()
    enough = threading.Event()

    def look() -> None:
        while not enough.is_set():
            is_locked(tmp_path)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        for _ in range(200):
            RunLock(tmp_path).close()
    finally:
        enough.set()
        looking.join()
