"""What more worker processes give, where `penstock run` knows `--processes`."""

import subprocess
from statistics import median

import msgspec
from benchmarks.bench import Bench, Ran, Shown
from benchmarks.contenders import PENSTOCK, Job
from benchmarks.environments import OWN
from benchmarks.results import Table, figure
from benchmarks.tasks import make_rows

PROCESSES = (1, 2, 4)
CASES = ((200, 0.0), (5_000, 1.0))
COUNT = 100_000
QUICK_COUNT = 20_000
TITLE = "More than one process"
HEAD = ["at once", "latency", "processes", "req/s", "÷ one process", "CPU per request", "peak memory", "nginx"]
NOTE = (
    "After the first second; memory is the sum over all processes. “nginx” is how many cores the upstream kept busy: "
    "where client and upstream together fill the machine, more processes cannot give more."
)


def processes(bench: Bench) -> list[Table]:
    """One, two and four in turns; nothing where the option does not exist."""
    if not _is_known():
        return []
    return [Table(TITLE, HEAD, [line for case in CASES for line in _case_lines(bench, *case)], NOTE)]


def _is_known() -> bool:
    said = subprocess.run([OWN.parent / "penstock", "run", "--help"], capture_output=True, text=True, check=True)
    return "--processes" in said.stdout


def _case_lines(bench: Bench, concurrency: int, latency_s: float) -> list[list[str]]:
    count = QUICK_COUNT if bench.quick else COUNT
    rows = bench.file(f"{count}.jsonl", make_rows, count)
    job = Job(rows, count, bench.server.base_url(latency_s), concurrency, latency_s)
    every = [
        msgspec.structs.replace(PENSTOCK, name=f"penstock --processes {number}", options=("--processes", str(number)))
        for number in PROCESSES
    ]
    shown = bench.in_turns([(contender, job) for contender in every])
    return [_line(number, job, one, shown[0]) for number, one in zip(PROCESSES, shown, strict=True)]


def _line(number: int, job: Job, many: Shown, single: Shown) -> list[str]:
    what = [f"{job.concurrency:,}", f"{job.latency_s:g} s", str(number)]
    if many.failure is not None:
        return [*what, f"failed: {many.failure.reason}", *["–"] * 4]
    pairs = zip(many.rounds, single.rounds, strict=False)
    gains = [_per_s(ours) / _per_s(one) for ours, one in pairs if isinstance(ours, Ran) and isinstance(one, Ran)]
    return [
        *what,
        figure(many.median(_per_s)),
        figure(median(gains) if gains else None, digits=2),
        figure(many.median(lambda ran: ran.steady_cpu_us or ran.cpu_us), " µs"),
        figure(max(ran.peak_mb for ran in many.runs), " MB"),
        figure(many.median(lambda ran: ran.upstream), digits=1),
    ]


def _per_s(ran: Ran) -> float:
    return ran.steady_per_s or ran.per_s
