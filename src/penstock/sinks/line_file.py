"""One file of lines that survives a crash: it is appended to, cut back to a mark, or replaced whole.

A write stands completely or not at all, and a new version takes the place of the old in one step.
"""

import hashlib
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

import msgspec

from penstock.errors import SinkError, UsageError

TAIL_BYTES = 4096
"""How much before a mark is looked at, to tell whether a file is still as it was."""
BLOCK_BYTES = 1024 * 1024
"""How much of a new version is gathered for one write."""

_log = logging.getLogger(__name__)


class Mark(msgspec.Struct, frozen=True):
    """A place in a file that is found again: its byte offset, and a digest of the bytes just before it."""

    offset: int
    digest: str


class LineFile:
    """A file that this run alone writes. What the system refuses is a `SinkError`.

    `lazy`: made by its first line, and removed rather than left empty. `target` is where the bytes really go.
    """

    def __init__(self, path: Path, *, lazy: bool = False, fsync: bool = False, target: Path | None = None) -> None:
        self.path = path
        self.offset = 0
        self._lazy = lazy
        self._fsync = fsync
        self._target = target or Path(os.path.realpath(path))
        self._descriptor: int | None = None
        self._tail = b""

    @property
    def mark(self) -> Mark:
        """Where the file ends now."""
        return Mark(self.offset, _digest(self._tail))

    def refuse_foreign(self) -> None:
        """Raise `UsageError` where the file holds something that is not this run's."""
        if self._size():
            raise UsageError(
                f"{self.path} exists and is not this run's.",
                "Give another output, move the file away, or use --fresh to overwrite it.",
            )

    def holds(self, mark: Mark) -> bool:
        """Whether the file still has what it had at `mark`, whatever comes after it."""
        return self._size() >= mark.offset and self._mark_at(mark.offset) == mark

    def found(self) -> Mark:
        """The end of the file as it stands on disk, whoever wrote it."""
        return self._mark_at(self._size())

    def set_aside(self) -> None:
        """Keep what the file holds under another name: it may be another run's, or edited by hand."""
        if not self._size():
            return
        names = (self._target.with_name(f"{self._target.name}.{number}.bak") for number in count(1))
        spare = next(name for name in names if not name.exists())
        with translated(self.path):
            self._target.rename(spare)
        _log.warning("%s is not as this run left it. It was kept as %s.", self.path, spare.name)

    def open_at(self, offset: int) -> None:
        """Open the file, made where there is none, and cut it back to `offset`."""
        self.close()
        self.offset, self._tail = 0, b""
        with translated(self.path):
            temporary_path(self._target).unlink(missing_ok=True)
            if self._lazy and offset == 0:
                self._target.unlink(missing_ok=True)
            else:
                self._create()
                self.cut_back(offset)

    def append(self, data: bytes | bytearray) -> None:
        """Write `data` at the end. After an error the file ends where it ended before."""
        if not data:
            return
        with translated(self.path):
            descriptor = self._create()
            try:
                _write_at(descriptor, data, self.offset)
                if self._fsync:
                    os.fsync(descriptor)
            except OSError:
                # Should this fail as well, the next open cuts back by its cursor.
                with suppress(OSError):
                    os.ftruncate(descriptor, self.offset)
                raise
        self.offset += len(data)
        self._tail = (self._tail + data[-TAIL_BYTES:])[-TAIL_BYTES:]

    def cut_back(self, offset: int) -> None:
        """Drop everything from `offset` on."""
        if self._descriptor is None:
            return
        start = max(0, offset - TAIL_BYTES)
        with translated(self.path):
            # Truncating touches the file's time of change even where nothing is cut off.
            if os.fstat(self._descriptor).st_size != offset:
                os.ftruncate(self._descriptor, offset)
            self._tail = os.pread(self._descriptor, offset - start, start)
        self.offset = offset

    def lines(self) -> Iterator[bytes]:
        """Every line, with its newline, as the file stands."""
        with translated(self.path), self._target.open("rb") as file:
            yield from file

    @contextmanager
    def rewritten(self) -> Iterator["NewVersion"]:
        """Gather a new version of the file that takes its place at the end; an error leaves the old."""
        new = LineFile(self.path, target=temporary_path(self._target))
        try:
            new.open_at(0)
            version = NewVersion(new)
            yield version
            version.complete()
            self._become(new)
        except BaseException:
            new.close()
            new._target.unlink(missing_ok=True)
            raise

    def close(self) -> None:
        """Let go of the file. Safe to call twice."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _become(self, new: "LineFile") -> None:
        if self._lazy and new.offset == 0:
            new.close()
            self.open_at(0)
            return
        with translated(self.path):
            replace_durably(new._target, self._target)
        self.close()
        self._descriptor, new._descriptor = new._descriptor, None
        self.offset, self._tail = new.offset, new._tail

    def _create(self) -> int:
        if self._descriptor is None:
            self._descriptor = os.open(self._target, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        return self._descriptor

    def _mark_at(self, offset: int) -> Mark:
        if offset == 0:
            return Mark(0, _digest(b""))
        start = max(0, offset - TAIL_BYTES)
        with translated(self.path), self._target.open("rb") as file:
            file.seek(start)
            return Mark(offset, _digest(file.read(offset - start)))

    def _size(self) -> int:
        with translated(self.path), suppress(FileNotFoundError):
            return self._target.stat().st_size
        return 0


class NewVersion:
    """What a file is about to hold, gathered in large blocks."""

    def __init__(self, file: LineFile) -> None:
        self._file = file
        self._block = bytearray()

    def add(self, line: bytes) -> None:
        """One line more."""
        self._block.extend(line)
        if len(self._block) >= BLOCK_BYTES:
            self.complete()

    def complete(self) -> None:
        """Everything added so far is written."""
        self._file.append(self._block)
        self._block.clear()


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn what the system says about `path` into a `SinkError` that says what to do."""
    try:
        yield
    except OSError as error:
        raise SinkError(
            f"{path} cannot be written: {error.strerror or error}.",
            "Mend that (a full disk: free some space) and run the same command again. No answer is lost.",
        ) from error


def temporary_path(target: Path) -> Path:
    """Where the next version of `target` is gathered."""
    return target.with_name(f".{target.name}.tmp")


def replace_durably(new: Path, target: Path) -> None:
    """Put `new` in the place of `target` so that a power loss leaves one of the two whole, with the old permissions."""
    if target.exists():
        new.chmod(stat.S_IMODE(target.stat().st_mode))
    _fsync_path(new)
    new.replace(target)
    # Not every file system can sync a folder, and the new file is whole either way.
    with suppress(OSError):
        _fsync_path(target.parent)


def _fsync_path(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_at(descriptor: int, data: bytes | bytearray, offset: int) -> None:
    with memoryview(data) as view:
        written = 0
        while written < len(view):
            written += os.pwrite(descriptor, view[written:], offset + written)


def _digest(tail: bytes) -> str:
    return hashlib.blake2b(tail, digest_size=8).hexdigest()
