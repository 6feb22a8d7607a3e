"""What a call costs on the client's side: every contender on the same tasks, answers without delay."""

from statistics import median

from benchmarks.bench import Bench, Ran, Shown
from benchmarks.contenders import ALL, BARE_PYREQWEST, PENSTOCK, Contender, Job
from benchmarks.plot import PICTURE, draw
from benchmarks.results import Table, figure
from benchmarks.tasks import make_rows

CONCURRENCY = 200
LASTS_S = 8.0
QUICKLY_S = 4.0
FEWEST = 10 * CONCURRENCY
QUICKLY_FEWEST = 3 * CONCURRENCY
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


def cost(bench: Bench) -> list[Table]:
    """Every contender in turns, with as many rows as fill the time; the picture of it is left in the bench's folder."""
    shown = bench.in_turns([(contender, _job(bench, contender)) for contender in ALL])
    bare = next(one for one in shown if one.contender is BARE_PYREQWEST)
    (bench.folder / PICTURE).write_text(draw(shown))
    title = f"Cost of a call: {CONCURRENCY} at once, answers of 1 kB without delay"
    return [Table(title, HEAD, [_line(one, bare) for one in shown], NOTE), _contenders()]


def _contenders() -> Table:
    lines = [[one.name, one.version, one.keeps, one.lacks or "–"] for one in ALL]
    return Table("Contenders", ["contender", "version", "does", "does not"], lines)


def ratios(one: Shown, bare: Shown) -> list[float]:
    """CPU per request beside the bare loop's, round by round."""
    pairs = zip(one.rounds, bare.rounds, strict=False)
    return [ours.cpu_us / floor.cpu_us for ours, floor in pairs if isinstance(ours, Ran) and isinstance(floor, Ran)]


def _job(bench: Bench, contender: Contender) -> Job:
    """The bare loop has as many rows as Penstock, beside which it stands."""
    paced = PENSTOCK if contender is BARE_PYREQWEST else contender
    lasts_s, fewest = (QUICKLY_S, QUICKLY_FEWEST) if bench.quick else (LASTS_S, FEWEST)
    count = max(round(paced.reaches_per_s(CONCURRENCY, 0.0) * lasts_s), fewest)
    rows = bench.file(f"{count}.jsonl", make_rows, count)
    return Job(rows, count, bench.server.at_once, CONCURRENCY)


def _line(one: Shown, bare: Shown) -> list[str]:
    if one.failure is not None:
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
