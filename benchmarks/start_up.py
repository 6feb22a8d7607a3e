"""How long it takes until something happens."""

import sys
from pathlib import Path
from statistics import median

import msgspec
from benchmarks.bench import Bench, environment
from benchmarks.contenders import PENSTOCK, Job
from benchmarks.environments import OWN
from benchmarks.measure import Measured, measure
from benchmarks.results import Table, figure
from benchmarks.tasks import make_rows

BIN = OWN.parent
ROWS = (1_000, 1_000_000)
QUICK_ROWS = (1_000, 100_000)
TAKEN = 200
ROUNDS = 5
QUICK_ROUNDS = 3
COMMANDS: dict[str, list[str | Path]] = {
    "`python -c pass`, for comparison": [sys.executable, "-c", "pass"],
    '`python -c "import penstock"`': [sys.executable, "-c", "import penstock"],
    "`penstock --help`": [BIN / "penstock", "--help"],
    "`penstock status`": [BIN / "penstock", "status"],
}


def start_up(bench: Bench) -> Table:
    """The commands that do next to nothing, and a run up to its first request."""
    rounds = QUICK_ROUNDS if bench.quick else ROUNDS
    lines = [_command_line(bench, name, rounds) for name in COMMANDS]
    lines += [_first_request_line(bench, count, rounds) for count in (QUICK_ROWS if bench.quick else ROWS)]
    return Table("Start-up", ["what", "median", "fastest", "CPU"], lines)


def _command_line(bench: Bench, name: str, rounds: int) -> list[str]:
    runs: list[Measured] = [measure(COMMANDS[name], bench.folder, environment=environment()) for _ in range(rounds)]
    return _line(name, [run.seconds for run in runs], median(run.cpu_s for run in runs))


def _first_request_line(bench: Bench, count: int, rounds: int) -> list[str]:
    name = f"`penstock run` over {count:,} rows, up to its first request"
    rows = bench.file(f"{count}.jsonl", make_rows, count)
    job = Job(rows, TAKEN, bench.server.at_once, TAKEN)
    limited = msgspec.structs.replace(PENSTOCK, name="penstock --limit", options=("--limit", str(TAKEN)))
    shown = bench.in_turns([(limited, job)], rounds)[0]
    if shown.failure is not None:
        return [name, f"failed: {shown.failure.reason}", "–", "–"]
    return _line(name, [run.first_s for run in shown.runs], None)


def _line(name: str, times_s: list[float], cpu_s: float | None) -> list[str]:
    return [name, figure(median(times_s), " s", 2), figure(min(times_s), " s", 2), figure(cpu_s, " s", 2)]
