"""The bench itself: contenders run in turns against the provider, and what each run shows."""

import logging
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import msgspec
from benchmarks.arrivals import Arrivals
from benchmarks.contenders import Contender, Job
from benchmarks.environments import NoEnvironment
from benchmarks.measure import CommandFailed, Measured, measure
from benchmarks.provider import Provider

ROOT = Path(__file__).parents[1]
FEWEST_WAVES = 5
"""A client that sends all its calls at once, then works on all the answers, shows its rate over several of these."""

_log = logging.getLogger("bench")


class Ran(msgspec.Struct, frozen=True):
    """One run of one contender.

    Figures are of the whole process, from its start to its end. Those called `steady` leave out the start, the first
    second and, for the rate, the end; they are none where a run was too short for that.
    """

    count: int
    per_s: float
    steady_per_s: float | None
    cpu_us: float
    steady_cpu_us: float | None
    peak_mb: float
    first_s: float
    sent_mb_per_s: float
    received_mb_per_s: float
    upstream: float
    others: float


class Failed(msgspec.Struct, frozen=True):
    """A contender that did not get through; `reason` is its last line of error."""

    reason: str


class Shown(msgspec.Struct, frozen=True):
    """The rounds of one contender."""

    contender: Contender
    rounds: tuple[Ran | Failed, ...]

    @property
    def runs(self) -> list[Ran]:
        """The rounds that it got through."""
        return [ran for ran in self.rounds if isinstance(ran, Ran)]

    @property
    def failure(self) -> Failed | None:
        """How it failed, where it did."""
        return next((ran for ran in self.rounds if isinstance(ran, Failed)), None)

    def median(self, of: Callable[[Ran], float | None]) -> float | None:
        """The median of a figure over the rounds, or none where none has it."""
        values = [value for ran in self.runs if (value := of(ran)) is not None]
        return median(values) if values else None


class Bench:
    """Where everything is measured. `quick` asks for runs of a few seconds, to be looked at and not published."""

    def __init__(self, server: Provider, folder: Path, rounds: int, *, quick: bool) -> None:
        self.server = server
        self.folder = folder
        self.rounds = rounds
        self.quick = quick
        self.others: list[float] = []

    def file(self, name: str, make: Callable[..., Path], *arguments: int) -> Path:
        """A file of rows, made when it is first asked for."""
        path = self.folder / name
        return path if path.exists() else make(path, *arguments)

    def in_turns(self, jobs: Sequence[tuple[Contender, Job]], rounds: int | None = None) -> list[Shown]:
        """Each contender once, then each again, so that all meet the same machine; but not one that has failed."""
        seen: dict[str, list[Ran | Failed]] = {contender.name: [] for contender, _ in jobs}
        for number in range(rounds or self.rounds):
            for contender, job in jobs:
                before = seen[contender.name]
                if not (before and isinstance(before[-1], Failed)):
                    before.append(self.run(contender, job))
                    _log.info("round %d: %s: %s", number + 1, contender.name, _words(before[-1]))
        return [Shown(contender, tuple(seen[contender.name])) for contender, _ in jobs]

    def run(self, contender: Contender, job: Job) -> Ran | Failed:
        """One run from nothing."""
        folder = self.folder / "run"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        mark = self.server.mark()
        try:
            command = contender.command(job, folder / "out.jsonl")
            measured = measure(command, folder, environment=environment(), upstream=self.server.pid)
        except (CommandFailed, NoEnvironment) as error:
            return Failed(str(error))
        arrivals = self.server.arrivals(mark)
        self.others.append(measured.others)
        if len(arrivals) != job.count:
            return Failed(f"{len(arrivals):,} calls were answered for {job.count:,} rows")
        return _ran(job, measured, arrivals)


def environment() -> dict[str, str]:
    """The environment of every command: the peers' scripts are modules of this checkout."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
    return kept | {"PYTHONPATH": str(ROOT), "OPENAI_API_KEY": "none"}


def share_of_ideal(job: Job, per_s: float | None) -> float | None:
    """Of what so many at once could do at most, were nothing but the provider slow."""
    return per_s * job.latency_s / job.concurrency if per_s is not None else None


def _ran(job: Job, measured: Measured, arrivals: Arrivals) -> Ran:
    window = arrivals.window
    steady_per_s = steady_cpu_us = None
    if window is not None and _says_something(job, arrivals.answered_within(*window)):
        begin, end = window
        steady_per_s = arrivals.answered_within(begin, end) / (end - begin)
        later = arrivals.answered_within(begin, float("inf"))
        steady_cpu_us = (measured.cpu_s - measured.cpu_until(begin)) / later * 1e6
    return Ran(
        count=job.count,
        per_s=job.count / measured.seconds,
        steady_per_s=steady_per_s,
        cpu_us=measured.cpu_s / job.count * 1e6,
        steady_cpu_us=steady_cpu_us,
        peak_mb=measured.peak_mb,
        first_s=arrivals.first_s - measured.began_s,
        sent_mb_per_s=arrivals.received_bytes / measured.seconds / 1e6,
        received_mb_per_s=arrivals.sent_bytes / measured.seconds / 1e6,
        upstream=measured.upstream,
        others=measured.others,
    )


def _says_something(job: Job, answered: float) -> bool:
    """Whether enough was answered within the window; calls that last are spread over it, however few they are."""
    return job.latency_s > 0 or answered >= FEWEST_WAVES * job.concurrency


def _words(ran: Ran | Failed) -> str:
    if isinstance(ran, Failed):
        return f"failed: {ran.reason}"
    return f"{ran.per_s:,.0f} req/s, {ran.cpu_us:,.0f} µs CPU a request, {ran.peak_mb:.0f} MB, others {ran.others:.1f}"
