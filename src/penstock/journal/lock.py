"""One process per run: a lock on a file in its folder, let go by the kernel however the process ends."""

import fcntl
import os
import time
from pathlib import Path
from types import TracebackType

from penstock.errors import RunLocked

LOCK_FILE = "lock"

LOOKS = 10
LOOK_S = 0.01
"""`is_locked` holds the lock for an instant, so one that is held is asked for again, `LOOKS` times."""


class RunLock:
    """Held from construction to `close`. Raises `RunLocked` while another process holds it."""

    def __init__(self, folder: Path) -> None:
        path = folder / LOCK_FILE
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not _acquire(self._file) or not _is_at(self._file, path):
            holder = os.read(self._file, 32).decode(errors="replace").strip() or "unknown"
            os.close(self._file)
            raise RunLocked(
                f"Another process ({holder}) is working on the run in {folder}.",
                "Wait for it, stop it, or give this one a name of its own with --name.",
            )
        os.ftruncate(self._file, 0)
        os.write(self._file, str(os.getpid()).encode())

    def close(self) -> None:
        """Let the next process in. Safe to call twice."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> "RunLock":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def is_locked(folder: Path) -> bool:
    """Whether a process is working on the run in this folder. Changes nothing, and keeps none from starting."""
    try:
        file = os.open(folder / LOCK_FILE, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not _try(file, fcntl.LOCK_SH)
    finally:
        os.close(file)


def _acquire(file: int) -> bool:
    for _ in range(LOOKS):
        if _try(file, fcntl.LOCK_EX):
            return True
        time.sleep(LOOK_S)
    return False


def _is_at(file: int, path: Path) -> bool:
    """Whether the file that is open still stands there: whoever held the lock before may have deleted the run."""
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False


def _try(file: int, kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
