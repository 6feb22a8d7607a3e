"""How near each comes to what could be had at most, were nothing but the provider slow: concurrency ÷ latency."""

from benchmarks.bench import Bench, Shown, share_of_ideal
from benchmarks.contenders import ALL, BARE_PYREQWEST, PENSTOCK, Contender, Job
from benchmarks.results import Table, figure, percent
from benchmarks.tasks import make_rows

CASES = ((2_000, 1.0, False), (5_000, 1.0, False), (5_000, 1.0, True), (5_000, 2.0, False))
"""Calls at once, seconds that an answer takes, and whether over TLS."""
WAVES = 10
FEWER_WAVES = 5
FEWEST_WAVES = 2
MODERATE = (200, 0.1)
MANY = (2_000, 1.0)
PATIENCE_S = 8.0
NOTE = (
    "The ideal is concurrency ÷ latency. “Share” is after the first second and before the last call, as the server saw "
    "it; “whole process” is from the start of the command to its end, with the last calls that fly alone."
)
HEAD = [
    "contender",
    "at once",
    "latency",
    "TLS",
    "rows",
    "req/s",
    "share",
    "share, whole process",
    "CPU",
    "peak memory",
]


def flow(bench: Bench) -> Table:
    """Thousands at once: Penstock beside the bare loop, which shows what the machine can do at all."""
    lines = []
    for concurrency, latency_s, tls in CASES[:3] if bench.quick else CASES:
        count = concurrency * (FEWER_WAVES if bench.quick else WAVES)
        rows = bench.file(f"{count}.jsonl", make_rows, count)
        url = bench.server.base_url(latency_s, tls=tls)
        job = Job(rows, count, url, concurrency, latency_s, bench.server.ca_file if tls else None)
        shown = bench.in_turns([(BARE_PYREQWEST, job), (PENSTOCK, job)])
        lines += [_line(one, job) for one in shown]
    return Table("Flow: thousands at once", HEAD, lines, NOTE)


def shares(bench: Bench) -> list[Table]:
    """Every contender where the provider takes its time."""
    return [
        _shares(bench, *MODERATE, f"Flow of every contender: {MODERATE[0]:,} at once, {MODERATE[1]:g} s"),
        _shares(bench, *MANY, f"Flow of every contender: {MANY[0]:,} at once, {MANY[1]:g} s"),
    ]


def _shares(bench: Bench, concurrency: int, latency_s: float, title: str) -> Table:
    jobs = [(contender, _job(bench, contender, concurrency, latency_s)) for contender in ALL]
    shown = bench.in_turns(jobs, rounds=1)
    return Table(title, HEAD, [_line(one, job) for one, (_, job) in zip(shown, jobs, strict=True)], NOTE)


def _job(bench: Bench, contender: Contender, concurrency: int, latency_s: float) -> Job:
    """As many rows as it gets through in the time, but enough that all its calls are in flight for a while."""
    count = max(round(contender.reaches_per_s(concurrency, latency_s) * PATIENCE_S), FEWEST_WAVES * concurrency)
    rows = bench.file(f"{count}.jsonl", make_rows, count)
    return Job(rows, count, bench.server.base_url(latency_s), concurrency, latency_s)


def _line(one: Shown, job: Job) -> list[str]:
    what = [f"{job.concurrency:,}", f"{job.latency_s:g} s", "yes" if job.ca_file else "no", f"{job.count:,}"]
    if one.failure is not None:
        return [one.contender.name, *what, f"failed: {one.failure.reason}", "–", "–", "–", "–"]
    steady = one.median(lambda ran: share_of_ideal(job, ran.steady_per_s))
    whole = one.median(lambda ran: share_of_ideal(job, ran.per_s))
    return [
        one.contender.name,
        *what,
        figure(one.median(lambda ran: ran.steady_per_s)),
        percent(steady),
        percent(whole),
        figure(one.median(lambda ran: ran.cpu_us), " µs"),
        figure(max(ran.peak_mb for ran in one.runs), " MB"),
    ]
