"""The HTTP clients that could stand behind Penstock's transport: what a call costs, and what a connection holds."""

from pathlib import Path

from benchmarks.bench import Bench, Shown
from benchmarks.conduct import CLIENTS, conduct
from benchmarks.contenders import Contender, Job
from benchmarks.environments import python_of
from benchmarks.results import Table, figure

CONCURRENCY = 200
COUNT = 30_000
QUICK_COUNT = 8_000
HELD = 2_000
HELD_BEFORE = 100
HELD_S = 2.0
HEAD = ["client", "version", "CPU, plain", "req/s, plain", "CPU, TLS", "req/s, TLS", "memory per connection"]
NOTE = (
    f"Whole processes that only send: {CONCURRENCY} at once, the same body each time. Memory is what each of "
    f"{HELD:,} calls in flight adds, beyond {HELD_BEFORE}, while the answers take {HELD_S:g} s."
)


class Client(Contender, frozen=True):
    """One HTTP client as a contender."""

    def command(self, job: Job, output: Path) -> list[str | Path]:
        """It makes its own bodies; of the rows only their number counts."""
        words = [self.name, f"{job.base_url}/chat/completions", str(job.count), str(job.concurrency)]
        trusts: list[str | Path] = ["--ca-file", job.ca_file] if job.ca_file else []
        return [python_of("clients"), "-m", "benchmarks.clients.load", *words, *trusts]


def clients(bench: Bench) -> list[Table]:
    """What they cost, and how they behave."""
    return [_costs(bench), conduct(bench.server)]


def _costs(bench: Bench) -> Table:
    count = QUICK_COUNT if bench.quick else COUNT
    plain = _in_turns(bench, Job(Path(), count, bench.server.at_once, CONCURRENCY))
    url = bench.server.base_url(0.0, tls=True)
    tls = _in_turns(bench, Job(Path(), count, url, CONCURRENCY, ca_file=bench.server.ca_file))
    slow = bench.server.base_url(HELD_S)
    few = _in_turns(bench, Job(Path(), HELD_BEFORE, slow, HELD_BEFORE, HELD_S), rounds=1)
    many = _in_turns(bench, Job(Path(), HELD, slow, HELD, HELD_S), rounds=1)
    lines = [_line(*four) for four in zip(plain, tls, few, many, strict=True)]
    return Table("HTTP clients behind the transport's seam", HEAD, lines, NOTE)


def _in_turns(bench: Bench, job: Job, rounds: int | None = None) -> list[Shown]:
    every = [Client(name, "", "clients", name, 0, "", "") for name in CLIENTS]
    return bench.in_turns([(client, job) for client in every], rounds)


def _line(plain: Shown, tls: Shown, few: Shown, many: Shown) -> list[str]:
    failure = next((shown.failure for shown in (plain, tls, few, many) if shown.failure), None)
    name, version = plain.contender.name, plain.contender.version
    if failure is not None:
        return [name, version, f"failed: {failure.reason}", *["–"] * (len(HEAD) - 3)]
    held_kb = (many.runs[0].peak_mb - few.runs[0].peak_mb) * 1024 / (HELD - HELD_BEFORE)
    return [
        name,
        version,
        figure(plain.median(lambda ran: ran.cpu_us), " µs"),
        figure(plain.median(lambda ran: ran.per_s)),
        figure(tls.median(lambda ran: ran.cpu_us), " µs"),
        figure(tls.median(lambda ran: ran.per_s)),
        figure(held_kb, " kB"),
    ]
