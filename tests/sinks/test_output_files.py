"""Files under trouble: full disks, interruptions, links and permissions."""

import asyncio
import errno
import json
import os
import resource
import shutil
import signal
import stat
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import msgspec
import pytest

from penstock.errors import SinkError
from penstock.models import Failure, Fault, Result, Settled, Status
from penstock.sinks.files import FileSink
from penstock.sinks.jsonl import JsonLines
from penstock.sinks.protocol import Sink, SinkOptions
from penstock.sinks.registry import make_sink
from penstock.sinks.results import GivenResults

ROOM_BYTES = 64 * 1024
FAILURE = Failure(Fault.REJECTED, "no")

FullDisk = Callable[[Path], AbstractContextManager[Path]]


@contextmanager
def file_size_limit(folder: Path) -> Iterator[Path]:
    """A folder whose files cannot grow beyond `ROOM_BYTES`."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM_BYTES, before[1]))
    try:
        yield folder
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@contextmanager
def small_file_system(folder: Path) -> Iterator[Path]:
    """A file system of `ROOM_BYTES`, where this user may mount one."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={ROOM_BYTES}", "none", str(folder)]
    if (
        os.geteuid()
        or not shutil.which("mount")
        or subprocess.run(command, check=False, capture_output=True).returncode
    ):
        # What nobody sees is not tested: only a user's machine may lack the right.
        missing = pytest.fail if os.environ.get("CI") else pytest.skip
        missing("a small file system needs the right to mount one")
    try:
        yield folder
    finally:
        # Lazily: whoever else looks into the folder at that moment keeps it busy.
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture(params=[file_size_limit, small_file_system])
def full_disk(request: pytest.FixtureRequest) -> FullDisk:
    """Each way to run out of room."""
    make: FullDisk = request.param
    return make


def settled(seq: int, size: int = 10, *, failed: bool = False, index: int | None = None) -> Settled:
    """A result with a text or a row of this size."""
    index = seq if index is None else index
    if failed:
        row = json.dumps({"q": "x" * size}).encode()
        return Settled(seq, Result(f"k{index}", index, Status.FAILED, row, failure=FAILURE))
    return Settled(seq, Result(f"k{index}", index, Status.OK, b"{}", text="x" * size))


def keys(path: Path) -> list[str]:
    """The keys of a file whose every line is whole."""
    return [json.loads(line)["key"] for line in path.read_text().splitlines()]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("failed", [False, True])
def test_full_disk_leaves_no_torn_line(tmp_path: Path, full_disk: FullDisk, failed: bool) -> None:
    """A batch that does not fit leaves both files as they were, and the same batch is taken once there is room."""

    async def run(folder: Path) -> None:
        sink = make_sink(folder / "out.jsonl", SinkOptions())
        await sink.open(None)
        await sink.deliver([settled(1), settled(2, failed=True)])
        with pytest.raises(SinkError, match=r"out(\.failed)?\.jsonl cannot be written"):
            await sink.deliver([settled(3), settled(4, 2 * ROOM_BYTES, failed=failed)])
        assert keys(folder / "out.jsonl") == ["k1"]
        assert keys(folder / "out.failed.jsonl") == ["k2"]
        await sink.deliver([settled(3)])
        assert keys(folder / "out.jsonl") == ["k1", "k3"]
        await sink.aclose()

    with full_disk(tmp_path) as folder:
        asyncio.run(run(folder))


def test_full_disk_says_what_to_do(tmp_path: Path) -> None:
    """The message names the file and the reason, and the hint the way on."""

    async def run() -> None:
        sink = make_sink(tmp_path / "out.jsonl", SinkOptions())
        await sink.open(None)
        with pytest.raises(SinkError) as caught:
            await sink.deliver([settled(1, 2 * ROOM_BYTES)])
        await sink.aclose()
        assert caught.value.message == f"{tmp_path / 'out.jsonl'} cannot be written: {os.strerror(errno.EFBIG)}."
        assert "run the same command again" in (caught.value.hint or "")

    with file_size_limit(tmp_path):
        asyncio.run(run())


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv", "out.parquet"])
def test_full_disk_at_the_end(tmp_path: Path, full_disk: FullDisk, name: str) -> None:
    """When there is no room to write the file anew, the unordered one stays, and no part of a new one."""

    async def run(folder: Path) -> None:
        sink = make_sink(folder / name, SinkOptions())
        await sink.open(None)
        await sink.deliver([settled(2), settled(1)])
        before = contents(folder)
        noise = os.urandom(2 * ROOM_BYTES).hex()
        big = Result("big", 3, Status.FAILED, f'{{"t":"{noise}"}}'.encode(), failure=Failure(Fault.REJECTED, "no"))
        results = [settled(1).result, big]
        with pytest.raises(SinkError, match="cannot be written"):
            await sink.finish(GivenResults(results))
        assert contents(folder) == before
        await sink.aclose()

    with full_disk(tmp_path) as folder:
        asyncio.run(run(folder))


def finished(sink: Sink, batch: Sequence[Settled], results: Sequence[Result]) -> None:
    """Deliver one batch and finish with these results."""

    async def run() -> None:
        await sink.open(None)
        await sink.deliver(batch)
        try:
            await sink.finish(GivenResults(results))
        finally:
            await sink.aclose()

    asyncio.run(run())


def test_finish_that_breaks_leaves_the_file(tmp_path: Path) -> None:
    """When the results cannot be read to the end, the unordered file stays."""
    path = tmp_path / "out.jsonl"

    class Broken(GivenResults):
        def failures(self) -> Iterator[Result]:
            raise RuntimeError("journal")

    async def run() -> None:
        sink = make_sink(path, SinkOptions())
        await sink.open(None)
        await sink.deliver([settled(1, index=2), settled(2, index=1)])
        with pytest.raises(RuntimeError, match="journal"):
            await sink.finish(Broken([]))
        await sink.aclose()

    asyncio.run(run())
    assert keys(path) == ["k2", "k1"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.jsonl"]


def test_completion_order_rewrites_failed_tasks_alone(tmp_path: Path) -> None:
    """With order "completion" the answers stay as they came, and mended tasks leave the failed file."""
    batch = [
        settled(1, index=2),
        settled(2, index=1, failed=True),
        settled(3, index=0, failed=True),
        settled(4, index=1),
    ]
    results = [batch[2].result, batch[3].result, batch[0].result]
    finished(make_sink(tmp_path / "out.jsonl", SinkOptions(order="completion")), batch, results)
    assert keys(tmp_path / "out.jsonl") == ["k2", "k1"]
    assert keys(tmp_path / "out.failed.jsonl") == ["k0"]


def test_finish_keeps_permissions(tmp_path: Path) -> None:
    """The rewritten file has the permissions of the one that it replaces."""
    path = tmp_path / "out.jsonl"
    path.touch(0o640)
    path.chmod(0o640)
    before = path.stat().st_ino
    batch = [settled(2), settled(1)]
    finished(make_sink(path, SinkOptions()), batch, [each.result for each in batch])
    assert path.stat().st_ino != before
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_finish_follows_links(tmp_path: Path) -> None:
    """A link stays a link, and the file that it leads to is rewritten."""
    (tmp_path / "elsewhere").mkdir()
    real, link = tmp_path / "elsewhere" / "real.jsonl", tmp_path / "out.jsonl"
    link.symlink_to(real)
    batch = [settled(2), settled(1)]
    finished(make_sink(link, SinkOptions()), batch, [each.result for each in batch])
    assert link.is_symlink()
    assert keys(real) == ["k1", "k2"]


@pytest.mark.parametrize(
    ("second", "is_kept"),
    [
        ([settled(3), settled(5, failed=True), settled(9)], True),
        ([settled(3), settled(9), settled(4)], False),
        ([settled(1), settled(3)], False),
    ],
    ids=["in order", "not in order", "behind the first batch"],
)
@pytest.mark.parametrize("name", ["out.jsonl", "out.csv"])
def test_answers_that_came_in_order_are_not_written_twice(
    tmp_path: Path, name: str, second: list[Settled], is_kept: bool
) -> None:
    """Whether they did is remembered in the cursor; as soon as one did not, the file is written anew."""
    path = tmp_path / name
    first = [settled(2)]

    async def run() -> None:
        sink = make_sink(path, SinkOptions())
        await sink.open(None)
        cursor = await sink.deliver(first)
        await sink.aclose()
        sink = make_sink(path, SinkOptions())
        await sink.open(msgspec.json.decode(msgspec.json.encode(cursor)))
        await sink.deliver(second)
        before = path.stat().st_ino
        await sink.finish(GivenResults([each.result for each in first + second]))
        assert (path.stat().st_ino == before) is is_kept
        await sink.aclose()

    asyncio.run(run())
    reference = tmp_path / f"reference-{name}"
    every = sorted(first + second, key=lambda each: each.result.index)
    finished(make_sink(reference, SinkOptions()), every, [each.result for each in every])
    assert path.read_bytes() == reference.read_bytes()


def test_leftover_of_a_killed_finish_goes(tmp_path: Path) -> None:
    """What a process left that was killed while it rewrote the file is removed by the next."""
    leftover = tmp_path / ".out.jsonl.tmp"
    leftover.write_text("half")
    finished(make_sink(tmp_path / "out.jsonl", SinkOptions()), [settled(1)], [settled(1).result])
    assert not leftover.exists()


def test_lines_larger_than_a_block(tmp_path: Path) -> None:
    """Results of several megabytes are rewritten whole and in order."""
    batch = [settled(1, 3_000_000, index=1), settled(2, 10, index=0)]
    finished(make_sink(tmp_path / "out.jsonl", SinkOptions(fsync=True)), batch, [batch[1].result, batch[0].result])
    assert keys(tmp_path / "out.jsonl") == ["k0", "k1"]


class GatedLines(JsonLines):
    """JSON Lines whose first line is held up until it is let through."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = threading.Event()
        self.open = threading.Event()

    def line(self, result: Result) -> bytes:
        """The line, once the gate is open."""
        self.reached.set()
        self.open.wait()
        return super().line(result)


def test_closing_waits_for_a_write(tmp_path: Path) -> None:
    """A sink that is closed while a cancelled delivery still runs in its thread lets it end on a whole line."""
    lines = GatedLines()

    async def run(sink: FileSink) -> None:
        await sink.open(None)
        delivery = asyncio.create_task(sink.deliver([settled(1), settled(2)]))
        await asyncio.to_thread(lines.reached.wait)
        delivery.cancel()
        closing = asyncio.create_task(sink.aclose())
        lines.open.set()
        await closing

    asyncio.run(run(FileSink(tmp_path / "out.jsonl", lines, SinkOptions())))
    assert keys(tmp_path / "out.jsonl") == ["k1", "k2"]
