"""A run watched from outside while it works: what it has settled and the memory it holds, twice a second."""

import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from statistics import fmean

import msgspec

from penstock.engine.delivery import reader_of
from penstock.journal.folder import JOURNAL_FILE

EVERY_S = 0.5
FIXED_WORK = msgspec.json.encode([{"number": number, "text": "The quick brown fox"} for number in range(30)])
BLOCK_BYTES = 512
"""The unit in which the kernel counts what a process had written to disk."""


class Sample(msgspec.Struct, frozen=True):
    """How a run stood so many seconds after its start, and the CPU time that a fixed piece of work took just then."""

    at_s: float
    settled: int
    cpu_s: float
    resident_mb: float
    fixed_s: float


class Watched(msgspec.Struct, frozen=True):
    """A whole process: `written` are the bytes that it had written to disk, its outputs included."""

    samples: list[Sample]
    seconds: float
    cpu_s: float
    peak_mb: float
    written: int


class Stretch(msgspec.Struct, frozen=True):
    """Consecutive rows of a run: what they took from the first settled to the last, and the most memory held then.

    `fixed_s` is what a fixed piece of work took meanwhile: on a machine with other work to do everything takes longer.
    """

    first: int
    last: int
    seconds: float
    cpu_s: float
    resident_mb: float
    fixed_s: float

    @property
    def rows(self) -> int:
        """How many they are."""
        return self.last - self.first


def watch(command: Sequence[str | Path], folder: Path, run: Path, kill_at: int | None = None) -> Watched:
    """Run a command in `folder` and look at its run in the folder `run`.

    It is killed as soon as `kill_at` rows are settled. Raises `RuntimeError` where it fails by itself.
    """
    began_s = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    samples: list[Sample] = []
    killed = False
    try:
        while (sample := _sample(process.pid, run, began_s)) is not None:
            samples.append(sample)
            killed = kill_at is not None and sample.settled >= kill_at
            if killed:
                break
            _wait_for(process.pid, EVERY_S)
    finally:
        # Not `process.kill`, which would take away the status of one that has ended, and its usage with it.
        os.kill(process.pid, signal.SIGKILL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0 and not killed:
        raise RuntimeError(f"{command} ended with {process.returncode}")
    seconds = time.perf_counter() - began_s
    cpu_s = usage.ru_utime + usage.ru_stime
    return Watched(samples, seconds, cpu_s, usage.ru_maxrss / 1024, usage.ru_oublock * BLOCK_BYTES)


def stretches(samples: Sequence[Sample], length: int) -> list[Stretch]:
    """The run in stretches of so many rows, each timed by interpolation between two looks."""
    working = [sample for sample in samples if sample.settled]
    last = working[-1].settled
    marks = [working[0].settled, *range(length, last + 1, length)]
    found = []
    for first, end in pairwise(marks):
        (began_s, cpu_before_s), (ended_s, cpu_s) = _reached(working, first), _reached(working, end)
        inside = [sample for sample in working if first <= sample.settled <= end] or working
        most_mb = max(sample.resident_mb for sample in inside)
        fixed_s = fmean(sample.fixed_s for sample in inside)
        found.append(Stretch(first, end, ended_s - began_s, cpu_s - cpu_before_s, most_mb, fixed_s))
    return found


def _reached(samples: Sequence[Sample], settled: int) -> tuple[float, float]:
    """When so many rows were settled, and the CPU time used until then."""
    for before, after in pairwise(samples):
        if before.settled <= settled <= after.settled and before.settled < after.settled:
            share = (settled - before.settled) / (after.settled - before.settled)
            at_s = before.at_s + share * (after.at_s - before.at_s)
            return at_s, before.cpu_s + share * (after.cpu_s - before.cpu_s)
    raise ValueError(f"the run was never seen to settle {settled} rows")


def _sample(pid: int, run: Path, began_s: float) -> Sample | None:
    if _has_ended(pid):
        return None
    settled, cpu_s, resident_mb = _settled(run), _cpu_s(pid), _resident_mb(pid)
    if resident_mb is None:
        return None
    return Sample(time.perf_counter() - began_s, settled, cpu_s, resident_mb, _fixed_work_s())


def _fixed_work_s() -> float:
    """CPU time of some milliseconds of work like that of a run: JSON read and written, objects made."""
    began_s = time.thread_time()
    for _ in range(1000):
        msgspec.json.encode(msgspec.json.decode(FIXED_WORK))
    return time.thread_time() - began_s


def _wait_for(pid: int, seconds: float) -> None:
    """Wait until a process ends, or so long."""
    descriptor = os.pidfd_open(pid)
    try:
        select.select([descriptor], [], [], seconds)
    finally:
        os.close(descriptor)


def _has_ended(pid: int) -> bool:
    """Whether there is a status to be waited for, which is left where it is."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _settled(run: Path) -> int:
    if not (run / JOURNAL_FILE).exists():
        return 0
    reader = reader_of(run)
    try:
        return reader.totals().settled
    finally:
        reader.close()


def _cpu_s(pid: int) -> float:
    """User and system time of all threads; the fields behind the command's name, which may hold anything."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident_mb(pid: int) -> float | None:
    """Nothing for a process that has just ended."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return None


@contextmanager
def started(command: Sequence[str | Path], folder: Path) -> Iterator[None]:
    """A command that is under way for as long as the block lasts, and then killed."""
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()
