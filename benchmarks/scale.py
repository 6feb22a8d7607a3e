"""Whether a very long run is as quick, and as small in memory, at its end as at its beginning.

    python -m benchmarks.scale [--rows 1000000] [--ten-million]

nginx answers at once, 200 calls are in flight. The journal of ten million rows is made by the journal itself, without
calls. The figures go to standard output; everything is on loopback and in a folder that is deleted at the end.
"""

import argparse
import logging
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks import provider, ten_million
from benchmarks.results import Table
from benchmarks.watched import Stretch, Watched, started, stretches, watch

from penstock.simulator import running

BIN = Path(sys.executable).parent
CONCURRENCY = 200
STRETCHES = 10
KILLED_AT = 0.9
NAME = "scale"
OUTPUT = "out.jsonl"

_log = logging.getLogger("scale")


def main() -> int:
    """Measure and print the tables; 2 where nginx is missing."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description="Measure a very long run.")
    parser.add_argument("--rows", type=int, default=1_000_000, help="length of the long run")
    parser.add_argument("--keys", choices=list(KEYS), default="counted", help="what the rows' ids look like")
    parser.add_argument("--ten-million", action="store_true", help="make a journal of ten million rows, and open it")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if not provider.is_installed():
        _log.error("The benchmark needs nginx with the echo module: %s", provider.NEEDED)
        return 2
    with tempfile.TemporaryDirectory(dir=Path(__file__).parent, prefix="work-") as folder:
        for table in long_run(Path(folder), arguments.rows, arguments.keys):
            _write(table)
        if arguments.ten_million:
            _write(ten_million.table(Path(folder)))
    return 0


def long_run(folder: Path, rows: int, keys: str = "counted") -> Iterator[Table]:
    """Run `rows` rows, and a tenth of them, against nginx; what was seen, as it is seen. `folder` is to be empty."""
    tenth = rows // STRETCHES
    with provider.serving(folder / "nginx") as server:
        bench = LongRun(folder, server.at_once, keys)
        small = bench.whole(tenth)
        large = bench.whole(rows)
        yield _speed(stretches(large.samples, tenth))
        yield _size(folder, rows, small, large)
        yield bench.commands(rows)
        yield bench.reopening(rows)


def _write(table: Table) -> None:
    sys.stdout.write(table.markdown() + "\n")
    sys.stdout.flush()


class LongRun:
    """Runs over files of rows in one folder, each begun anew."""

    def __init__(self, folder: Path, base_url: str, keys: str) -> None:
        self._folder = folder
        self._base_url = base_url
        self._key = KEYS[keys]
        self._run = folder / ".penstock" / NAME

    def whole(self, rows: int) -> Watched:
        """A run from its beginning to its end."""
        source = self._begin(rows)
        watched = watch(self._command(source, self._base_url), self._folder, self._run)
        _log.info("%d rows: %.1f s, peak %.0f MB", rows, watched.seconds, watched.peak_mb)
        return watched

    def commands(self, rows: int) -> Table:
        """The commands that look into the run which ended last."""
        commands = {
            "status": ["status", NAME],
            "show KEY": ["show", NAME, self._key(rows // 2)],
            "verify": ["verify", NAME],
            "export -o FILE": ["export", NAME, "-o", "exported.jsonl"],
        }
        lines = []
        for words, arguments in commands.items():
            took = watch([BIN / "penstock", *arguments], self._folder, self._run)
            _log.info("%s: %.2f s, peak %.0f MB", words, took.seconds, took.peak_mb)
            lines.append([f"`penstock {words}`", f"{took.seconds:.2f} s", f"{took.peak_mb:.0f} MB"])
        (self._folder / "exported.jsonl").unlink()
        return Table(f"Commands on the journal of {rows:,} rows", ["command", "time", "peak"], lines)

    def reopening(self, rows: int) -> Table:
        """A run that is killed when nine tenths are settled, started again, and brought to its end."""
        source = self._begin(rows)
        command = self._command(source, self._base_url)
        killed = watch(command, self._folder, self._run, kill_at=int(rows * KILLED_AT))
        settled = killed.samples[-1].settled
        first_s = self._first_request_s(source)
        ended = watch(command, self._folder, self._run)
        lines = [
            ["settled when it was killed", f"{settled:,}"],
            ["from the start to the first request, going on", f"{first_s:.2f} s"],
            ["peak memory until it was killed", f"{killed.peak_mb:.0f} MB"],
            ["peak memory of the process that ended it", f"{ended.peak_mb:.0f} MB"],
        ]
        return Table(f"Killed at {KILLED_AT:.0%} of {rows:,} rows", ["what", "measured"], lines)

    def _first_request_s(self, source: Path) -> float:
        with running() as sim:
            began_s = time.perf_counter()
            with started(self._command(source, sim.base_url), self._folder):
                sim.wait_requests(1)
                return time.perf_counter() - began_s

    def _begin(self, rows: int) -> Path:
        shutil.rmtree(self._run, ignore_errors=True)
        (self._folder / OUTPUT).unlink(missing_ok=True)
        source = self._folder / f"{rows}.jsonl"
        if not source.exists():
            _write_rows(source, rows, self._key)
        return source

    def _command(self, source: Path, base_url: str) -> list[str | Path]:
        words = ["--base-url", base_url, "--model", "gpt-4o", "--prompt", "Classify: {{ text }}", "-o", OUTPUT]
        return [BIN / "penstock", "run", source, *words, "--concurrency", str(CONCURRENCY), "--name", NAME, "--quiet"]


def _speed(seen: Sequence[Stretch]) -> Table:
    """CPU time tells more than the clock where the machine has other work, and most beside that of a fixed work."""
    head = ["rows", "rows/s", "of the first", "CPU a row", "of the first", "fixed work", "resident"]
    return Table("Speed and memory on the way", head, [_stretch_line(part, seen[0]) for part in seen])


def _stretch_line(part: Stretch, first: Stretch) -> list[str]:
    per_s, first_per_s = part.rows / part.seconds, first.rows / first.seconds
    cpu_us, first_cpu_us = part.cpu_s / part.rows * 1e6, first.cpu_s / first.rows * 1e6
    return [
        f"{part.first:,} to {part.last:,}",
        f"{per_s:,.0f}",
        f"{per_s / first_per_s:.0%}",
        f"{cpu_us:.0f} µs",
        f"{cpu_us / first_cpu_us:.0%}",
        f"{part.fixed_s / first.fixed_s:.0%}",
        f"{part.resident_mb:.0f} MB",
    ]


def _size(folder: Path, rows: int, small: Watched, large: Watched) -> Table:
    source, output = ((folder / name).stat().st_size for name in (f"{rows}.jsonl", OUTPUT))
    journal = sum(path.stat().st_size for path in (folder / ".penstock" / NAME).glob("journal.db*"))
    # The output is written twice: as answers come, and in order at the end.
    to_journal = large.written - 2 * output
    last_settled_s = next(sample.at_s for sample in large.samples if sample.settled == large.samples[-1].settled)
    lines = [
        ["the whole run", f"{large.seconds:,.0f} s, {large.cpu_s / rows * 1e6:.0f} µs of CPU a row"],
        ["of it after the last row was settled", f"{large.seconds - last_settled_s:.1f} s"],
        [f"peak memory, {rows // STRETCHES:,} rows", f"{small.peak_mb:.0f} MB"],
        [f"peak memory, {rows:,} rows", f"{large.peak_mb:.0f} MB ({large.peak_mb - small.peak_mb:+.0f} MB)"],
        ["source", f"{source / rows:,.0f} bytes a row"],
        ["journal", f"{journal / rows:,.0f} bytes a row"],
        ["output", f"{output / rows:,.0f} bytes a row"],
        ["written to disk", f"{large.written / rows:,.0f} bytes a row"],
        ["of it for the journal", f"{to_journal / rows:,.0f} bytes a row, {to_journal / journal:.1f} × its size"],
    ]
    return Table(f"{rows:,} rows as a whole", ["what", "measured"], lines)


def _counted_key(number: int) -> str:
    return f"row-{number}"


def _scattered_key(number: int) -> str:
    """Like a UUID: 32 hexadecimal digits, in no order."""
    return f"{number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128:032x}"


KEYS: dict[str, Callable[[int], str]] = {"counted": _counted_key, "scattered": _scattered_key}
"""Kinds of ids: those that come in order, and those that do not."""


def _write_rows(path: Path, count: int, key: Callable[[int], str]) -> None:
    with path.open("w") as file:
        for number in range(count):
            text = f"The quick brown fox number {number} jumps over the lazy dog and goes home."
            file.write(f'{{"id": "{key(number)}", "text": "{text}"}}\n')


if __name__ == "__main__":
    sys.exit(main())
