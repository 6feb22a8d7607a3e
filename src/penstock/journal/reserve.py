"""A file that really takes space: what is in flight when the disk fills up is written into its place."""

import os
import shutil
from io import FileIO
from pathlib import Path

from penstock.errors import RunPaused
from penstock.journal.writes import FREE_SPACE

BYTES_PER_CALL = 32 * 1024
MIN_BYTES = 4 * 1024 * 1024
MAX_BYTES = 64 * 1024 * 1024


def allocate(path: Path, calls: int) -> Path:
    """Make the file, large enough for so many calls. Raises `RunPaused` where there is no place for it."""
    try:
        with path.open("wb", buffering=0) as file:
            _fill(file, calls)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise _too_little(path, error) from None
    return path


def grow(path: Path, calls: int) -> None:
    """Make it larger, for more calls; one that was given up already stays so. Raises `RunPaused`, and leaves it."""
    try:
        with path.open("r+b", buffering=0) as file:
            before = file.seek(0, os.SEEK_END)
            try:
                _fill(file, calls)
            except OSError:
                file.truncate(before)
                raise
    except FileNotFoundError:
        return
    except OSError as error:
        raise _too_little(path, error) from None


def _fill(file: FileIO, calls: int) -> None:
    wanted = min(MAX_BYTES, max(MIN_BYTES, calls * BYTES_PER_CALL))
    while file.tell() < wanted:
        file.write(bytes(BYTES_PER_CALL))


def _too_little(path: Path, error: OSError) -> RunPaused:
    free = shutil.disk_usage(path.parent).free
    return RunPaused(
        f"The disk that holds {path.parent} has too little space left ({free / 1e6:.0f} MB; {error.strerror}).",
        FREE_SPACE,
    )
