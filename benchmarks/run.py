"""Penstock beside the least that could do its work and beside its peers, on this machine.

    python -m benchmarks.run                     everything; writes results.md and results.svg (20 to 30 minutes)
    python -m benchmarks.run --quick             short runs, to be looked at; writes under work/ (2 minutes)
    python -m benchmarks.run --only cost,flow    some tables; writes under work/

Everything is on loopback. Environments of the peers are made when they are first used.
"""

import argparse
import logging
import os
import resource
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import mean

from benchmarks import provider
from benchmarks.bench import Bench
from benchmarks.bodies import bodies
from benchmarks.cost import cost
from benchmarks.flow import flow, shares
from benchmarks.gate import gate_table
from benchmarks.http_clients import clients
from benchmarks.plot import PICTURE
from benchmarks.processes import processes
from benchmarks.results import Setting, Table, page
from benchmarks.start_up import start_up

HERE = Path(__file__).parent
WORK = HERE / "work"
ROUNDS = 3
TABLES: dict[str, Callable[[Bench], list[Table]]] = {
    "cost": cost,
    "flow": lambda bench: [flow(bench)],
    "shares": shares,
    "processes": processes,
    "bodies": lambda bench: [bodies(bench)],
    "start": lambda bench: [start_up(bench)],
    "gate": lambda bench: [gate_table()],
    "clients": clients,
}
"""Every measurement by the name that `--only` knows, in the order of the page."""
QUICK = ("cost", "flow", "bodies", "start", "gate")
"""Those of a working day."""

_log = logging.getLogger("bench")


def main() -> int:
    """Measure and write the page; 2 where nginx is missing."""
    arguments = _arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    if not provider.is_installed():
        _log.error("The benchmark needs nginx with the echo module: %s", provider.NEEDED)
        return 2
    _raise_open_files()
    shutil.rmtree(WORK, ignore_errors=True)
    load = os.getloadavg()[0]
    with provider.serving(WORK / "nginx") as server:
        bench = Bench(server, WORK, arguments.rounds, quick=arguments.quick)
        tables = [table for name in arguments.only for table in TABLES[name](bench)]
    others = mean(bench.others) if bench.others else 0.0
    whole = not arguments.quick and list(arguments.only) == list(TABLES)
    target = HERE if whole else WORK
    setting = Setting(
        arguments.rounds, load, others, "make bench" if whole else " ".join(["benchmarks.run", *sys.argv[1:]])
    )
    picture = WORK / PICTURE
    text = page(tables, setting, PICTURE if picture.exists() else None)
    if whole:
        shutil.copy(picture, target / PICTURE)
        shutil.rmtree(WORK)
    (target / "results.md").write_text(text)
    sys.stdout.write(text)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description="Measure Penstock and its peers on this machine.")
    parser.add_argument("--quick", action="store_true", help="short runs, not for publishing")
    parser.add_argument("--only", type=_names, help=f"tables by name, with commas: {','.join(TABLES)}")
    parser.add_argument("--rounds", type=int, help=f"how often each is measured; {ROUNDS}, or 1 with --quick")
    arguments = parser.parse_args()
    arguments.only = arguments.only or (list(QUICK) if arguments.quick else list(TABLES))
    arguments.rounds = arguments.rounds or (1 if arguments.quick else ROUNDS)
    return arguments


def _names(text: str) -> list[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in TABLES]:
        raise argparse.ArgumentTypeError(f"there is no {', '.join(unknown)}, but {', '.join(TABLES)}")
    return names


def _raise_open_files() -> None:
    """For every contender alike: each call in flight is an open file."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    sys.exit(main())
