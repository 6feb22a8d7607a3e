"""What a call costs on the client's side: every contender on the same tasks, answers without delay."""

from statistics import median

from benchmarks.bench import Bench, Failed, Ran, Shown
from benchmarks.contenders import ALL, BARE_PYREQWEST, PENSTOCK, Contender, Job
from benchmarks.results import Table, figure
from benchmarks.tasks import make_rows

CONCURRENCY = 200
LASTS_S = 8.0
QUICKLY_S = 3.0
HEAD = [
    "contender",
    "rows",
    "req/s",
    "req/s, whole process",
    "CPU per request",
    "CPU per request, whole process",
    "CPU ÷ bare loop's",
    "peak memory",
]
NOTE = (
    "Medians. Without “whole process”: after the first second, with the start-up left out. The ratio is that of the "
    "whole processes, each beside the bare pyreqwest loop of its own round: median (least to most)."
)


def compare(bench: Bench, answer_kb: int = 1) -> list[Shown]:
    """Every contender in turns, with as many rows as fill the time."""
    lasts_s = QUICKLY_S if bench.quick else LASTS_S
    jobs = [(contender, _job(bench, contender, lasts_s, answer_kb)) for contender in ALL]
    return bench.in_turns(jobs)


def table(shown: list[Shown], title: str) -> Table:
    """A line for each contender."""
    bare = next(one for one in shown if one.contender.name == BARE_PYREQWEST.name)
    return Table(title, HEAD, [_line(one, bare) for one in shown], NOTE)


def contenders() -> Table:
    """Who takes part, and what each does besides sending."""
    lines = [[one.name, one.version, one.keeps, one.lacks or "–"] for one in ALL]
    return Table("Contenders", ["contender", "version", "does", "does not"], lines)


def ratios(one: Shown, bare: Shown) -> list[float]:
    """CPU per request beside the bare loop's, round by round."""
    pairs = zip(one.rounds, bare.rounds, strict=False)
    return [ours.cpu_us / floor.cpu_us for ours, floor in pairs if isinstance(ours, Ran) and isinstance(floor, Ran)]


def _job(bench: Bench, contender: Contender, lasts_s: float, answer_kb: int) -> Job:
    count = round(contender.roughly_per_s * lasts_s / (1 if answer_kb == 1 else 2))
    if contender in (BARE_PYREQWEST, PENSTOCK):
        count = round(PENSTOCK.roughly_per_s * lasts_s * (1 if answer_kb == 1 else 0.5))
    rows = bench.file(f"{count}.jsonl", make_rows, count)
    return Job(rows, count, bench.server.base_url(0.0, answer_kb), CONCURRENCY)


def _line(one: Shown, bare: Shown) -> list[str]:
    if isinstance(one.failure, Failed):
        return [one.contender.name, f"failed: {one.failure.reason}", *["–"] * (len(HEAD) - 2)]
    beside = ratios(one, bare)
    return [
        one.contender.name,
        f"{one.runs[0].count:,}",
        figure(one.median(lambda ran: ran.steady_per_s)),
        figure(one.median(lambda ran: ran.per_s)),
        figure(one.median(lambda ran: ran.steady_cpu_us), " µs"),
        figure(one.median(lambda ran: ran.cpu_us), " µs"),
        f"{median(beside):.2f} ({min(beside):.2f} to {max(beside):.2f})" if beside else "–",
        figure(max(ran.peak_mb for ran in one.runs), " MB"),
    ]
