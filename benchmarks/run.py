"""What Penstock costs beside the least that could do its work, and how near it comes to what could be had.

    python -m benchmarks.run [--rounds 3] [--rows 20000 100000]

Everything is on loopback. The results go to `benchmarks/results.md`.
"""

import argparse
import logging
import os
import shutil
import statistics
import sys
import time
from pathlib import Path

from benchmarks import measure, provider, results

from penstock.simulator import running

HERE = Path(__file__).parent
WORK = HERE / "work"
CONCURRENCY = 200
MANY_AT_ONCE = (2000, 5000)
MANY_ROWS = 20_000
VERY_MANY_ROWS = 1_000_000
LIMITS = (5_000, 50_000)

_log = logging.getLogger("bench")


def main() -> int:
    """Measure everything and write the results; 2 where nginx is missing."""
    parser = argparse.ArgumentParser(prog="make bench", description="Measure Penstock on this machine.")
    parser.add_argument("--rounds", type=int, default=3, help="how often each thing is measured")
    parser.add_argument("--rows", type=int, nargs="+", default=[20_000, 100_000], help="sizes of the cost comparison")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if not provider.is_installed():
        _log.error("The benchmark needs nginx with the echo module: %s", provider.NEEDED)
        return 2
    load = os.getloadavg()[0]
    shutil.rmtree(WORK, ignore_errors=True)
    with provider.serving(WORK / "nginx") as server:
        bench = Bench(server, arguments.rounds)
        tables = [bench.cost(arguments.rows), bench.flow(), bench.size(), bench.start_up()]
    (HERE / "results.md").write_text(results.page(tables, arguments.rounds, load))
    shutil.rmtree(WORK)
    return 0


class Bench:
    """The measurements, each told to the log as it is made."""

    def __init__(self, server: provider.Provider, rounds: int) -> None:
        self._server = server
        self._rounds = rounds

    def cost(self, sizes: list[int]) -> results.Table:
        """CPU and memory per request beside the bare loop, in turns, so that both meet the same machine."""
        lines = []
        for size in sizes:
            rows = measure.make_rows(WORK / f"{size}.jsonl", size)
            pairs = []
            for _ in range(self._rounds):
                bare = measure.bare_loop(self._server.at_once, rows, CONCURRENCY, WORK)
                ours = measure.penstock(self._server.at_once, rows, CONCURRENCY, WORK)
                _log.info("%d rows: bare loop %s, penstock %s", size, bare, ours)
                pairs.append((bare, ours))
            lines += results.cost_lines(size, pairs)
        return results.Table(
            f"Cost of a request: {CONCURRENCY} at once, answers without delay", results.COST_HEAD, lines
        )

    def flow(self) -> results.Table:
        """How much of the ideal is had when thousands wait at once."""
        rows = measure.make_rows(WORK / "flow.jsonl", MANY_ROWS)
        lines = []
        for concurrency in MANY_AT_ONCE:
            runs = [
                measure.penstock(self._server.in_a_second, rows, concurrency, WORK, "--order", "completion")
                for _ in range(self._rounds)
            ]
            _log.info("%d at once: %s", concurrency, runs)
            lines.append(results.flow_line(concurrency, MANY_ROWS / concurrency, runs))
        return results.Table(f"Flow: {MANY_ROWS:,} rows, every answer after 1 s", results.FLOW_HEAD, lines)

    def size(self) -> results.Table:
        """Whether a very long source costs time before the first request, or memory."""
        rows = measure.make_rows(WORK / "many.jsonl", VERY_MANY_ROWS)
        first_s = statistics.median(self._first_request_s(rows) for _ in range(self._rounds))
        lines = [["first request", f"{first_s:.2f} s after the start"]]
        for limit in LIMITS:
            ran = measure.penstock(self._server.at_once, rows, CONCURRENCY, WORK, "--limit", str(limit))
            _log.info("--limit %d: %s", limit, ran)
            lines.append([f"peak memory over the first {limit:,} rows", f"{ran.peak_mb:.0f} MB"])
        return results.Table(f"A source of {VERY_MANY_ROWS:,} rows", ["what", "measured"], lines)

    def _first_request_s(self, rows: Path) -> float:
        with running() as sim:
            began_s = time.perf_counter()
            with measure.penstock_started(sim.base_url, rows, WORK):
                sim.wait_requests(1)
                return time.perf_counter() - began_s

    def start_up(self) -> results.Table:
        """How long the commands take that do next to nothing."""
        commands: dict[str, list[str | Path]] = {
            "`penstock --help`": [measure.BIN / "penstock", "--help"],
            "`penstock status`": [measure.BIN / "penstock", "status"],
            '`python -c "import penstock"`': [sys.executable, "-c", "import penstock"],
        }
        lines = [[words, f"{self._median_s(command):.2f} s"] for words, command in commands.items()]
        return results.Table("Start-up", ["command", "time"], lines)

    def _median_s(self, command: list[str | Path]) -> float:
        return statistics.median(measure.measure(command, WORK).seconds for _ in range(self._rounds))


if __name__ == "__main__":
    sys.exit(main())
