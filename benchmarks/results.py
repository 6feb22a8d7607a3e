"""The page of results, from what was measured."""

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from statistics import median

import msgspec
from benchmarks.measure import Measured

COST_HEAD = ["rows", "round", "bare loop, CPU", "penstock, CPU", "ratio", "bare loop", "penstock", "penstock, peak"]
FLOW_HEAD = ["at once", "ideal", "taken", "fastest and slowest", "share of the ideal", "peak"]

Pair = tuple[Measured, Measured]
"""One round: the bare loop, then Penstock."""


class Table(msgspec.Struct, frozen=True):
    """One thing that was measured."""

    title: str
    head: Sequence[str]
    lines: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """As it stands on the page."""
        rows = [self.head, ["---"] * len(self.head), *self.lines]
        return f"## {self.title}\n\n" + "".join(f"| {' | '.join(row)} |\n" for row in rows)


def cost_lines(size: int, pairs: Sequence[Pair]) -> list[list[str]]:
    """A line for each round, and one of medians. CPU is all of the process, its start-up included."""
    lines = [_cost_line(size, str(number), [pair]) for number, pair in enumerate(pairs, 1)]
    return [*lines, _cost_line(size, "**median**", pairs)]


def flow_line(concurrency: int, ideal_s: float, runs: Sequence[Measured]) -> list[str]:
    """The median of the runs beside the time that the waiting alone takes."""
    times_s = sorted(run.seconds for run in runs)
    taken_s = median(times_s)
    peak_mb = max(run.peak_mb for run in runs)
    return [
        f"{concurrency:,}",
        f"{ideal_s:.1f} s",
        f"{taken_s:.1f} s",
        f"{times_s[0]:.1f} to {times_s[-1]:.1f} s",
        f"{ideal_s / taken_s:.0%}",
        f"{peak_mb:.0f} MB",
    ]


def page(tables: Sequence[Table], rounds: int, load: float) -> str:
    """The whole page."""
    machine = [
        ["date", f"{datetime.now(UTC):%Y-%m-%d}"],
        ["machine", f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}"],
        ["Python", platform.python_version()],
        ["load average at the start", f"{load:.1f}"],
        ["rounds", str(rounds)],
    ]
    if load > 1:
        machine.append(["beware", "other work was running on the machine; times are longer than they need be"])
    first = Table("Machine", ["what", "value"], machine)
    return "# Results\n\nWritten by `make bench`.\n\n" + "\n".join(table.markdown() for table in [first, *tables])


def _cost_line(size: int, name: str, pairs: Sequence[Pair]) -> list[str]:
    bare_us, ours_us = (median(pair[who].cpu_s for pair in pairs) / size * 1e6 for who in (0, 1))
    bare_per_s, ours_per_s = (median(size / pair[who].seconds for pair in pairs) for who in (0, 1))
    ratio = median(ours.cpu_s / bare.cpu_s for bare, ours in pairs)
    peak_mb = max(ours.peak_mb for _, ours in pairs)
    return [
        f"{size:,}",
        name,
        f"{bare_us:.0f} µs",
        f"{ours_us:.0f} µs",
        f"{ratio:.2f}",
        f"{bare_per_s:,.0f} req/s",
        f"{ours_per_s:,.0f} req/s",
        f"{peak_mb:.0f} MB",
    ]
