"""What more worker processes give, where `penstock run` knows `--processes`."""

import subprocess
from statistics import median

import msgspec
from benchmarks.bench import Bench, Ran, Shown
from benchmarks.contenders import PENSTOCK, Job
from benchmarks.environments import OWN
from benchmarks.provider import STREAM_PIECES
from benchmarks.results import Table, figure
from benchmarks.tasks import make_rows

PROCESSES = (1, 2, 4)
COUNT, STREAMED_COUNT = 100_000, 10_000
QUICK_SHARE = 0.2
TITLE = "More than one process"
HEAD = ["answers", "at once", "processes", "req/s", "÷ one process", "CPU per request", "peak memory", "nginx"]
NOTE = (
    "After the first second; memory is the sum over all processes. “nginx” is how many cores the upstream kept busy: "
    "where client and upstream together fill the machine, more processes cannot give more."
)


def processes(bench: Bench) -> list[Table]:
    """One, two and four in turns; nothing where the option does not exist."""
    if not _is_known():
        return []
    lines = [line for title, job, options in _cases(bench) for line in _case_lines(bench, title, job, options)]
    return [Table(TITLE, HEAD, lines, NOTE)]


def _is_known() -> bool:
    said = subprocess.run([OWN.parent / "penstock", "run", "--help"], capture_output=True, text=True, check=True)
    return "--processes" in said.stdout


def _cases(bench: Bench) -> list[tuple[str, Job, tuple[str, ...]]]:
    """What the answers are like, the job, and the options that it needs."""
    share = QUICK_SHARE if bench.quick else 1.0
    many, few = (round(share * count) for count in (COUNT, STREAMED_COUNT))
    rows, streamed = bench.file(f"{many}.jsonl", make_rows, many), bench.file(f"{few}.jsonl", make_rows, few)
    server = bench.server
    return [
        ("at once", Job(rows, many, server.at_once, 200), ()),
        ("after 1 s", Job(rows, many, server.in_a_second, 5_000, 1.0), ()),
        (f"streamed in {STREAM_PIECES} pieces", Job(streamed, few, server.streamed, 200), ("--stream",)),
    ]


def _case_lines(bench: Bench, title: str, job: Job, options: tuple[str, ...]) -> list[list[str]]:
    every = [
        msgspec.structs.replace(
            PENSTOCK, name=f"penstock --processes {number}", options=("--processes", str(number), *options)
        )
        for number in PROCESSES
    ]
    shown = bench.in_turns([(contender, job) for contender in every])
    return [
        _line([title, f"{job.concurrency:,}", str(number)], one, shown[0])
        for number, one in zip(PROCESSES, shown, strict=True)
    ]


def _line(what: list[str], many: Shown, single: Shown) -> list[str]:
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
