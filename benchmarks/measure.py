"""Commands run to their end, and what they took of the machine."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

BIN = Path(sys.executable).parent
BARE_LOOP = Path(__file__).parent / "bare_loop.py"


class Measured(msgspec.Struct, frozen=True):
    """What one process took, from its start to its end and with all its threads."""

    seconds: float
    cpu_s: float
    peak_mb: float


def measure(command: Sequence[str | Path], folder: Path) -> Measured:
    """Run a command in `folder`, silently. Raises `RuntimeError` where it fails."""
    began_s = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began_s
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"{command} ended with {process.returncode}")
    return Measured(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def bare_loop(base_url: str, rows: Path, concurrency: int, folder: Path) -> Measured:
    """The bare loop over a file of rows."""
    return measure([sys.executable, BARE_LOOP, base_url, rows, str(concurrency)], folder)


def penstock(base_url: str, rows: Path, concurrency: int, folder: Path, *more: str) -> Measured:
    """A new run over a file of rows."""
    _forget(folder)
    return measure([*run_command(base_url, rows, concurrency), *more], folder)


@contextmanager
def penstock_started(base_url: str, rows: Path, folder: Path) -> Iterator[None]:
    """A new run that is under way for as long as the block lasts, and then killed."""
    _forget(folder)
    process = subprocess.Popen(run_command(base_url, rows, 1), cwd=folder, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def run_command(base_url: str, rows: Path, concurrency: int) -> list[str | Path]:
    """The command that is measured: as a user would type it, but silent."""
    words = ["--base-url", base_url, "--model", "gpt-4o", "--prompt", "Classify: {{ text }}", "-o", "out.jsonl"]
    return [BIN / "penstock", "run", rows, *words, "--concurrency", str(concurrency), "--quiet"]


def make_rows(path: Path, count: int) -> Path:
    """A file of so many rows."""
    with path.open("w") as file:
        for number in range(count):
            text = f"The quick brown fox number {number} jumps over the lazy dog and goes home."
            file.write(f'{{"id": "row-{number}", "text": "{text}"}}\n')
    return path


def _forget(folder: Path) -> None:
    shutil.rmtree(folder / ".penstock", ignore_errors=True)
    (folder / "out.jsonl").unlink(missing_ok=True)
