"""The first promise: killed anywhere and started again, a run loses no answer and buys none that it has kept twice.

The provider's bill is the witness. What a kill may cost is what was on its way at that moment, and no more.
"""

from __future__ import annotations

import csv
import gzip
import json
import logging
import random
import signal
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from penstock.simulator import BackgroundSimulator, SimulatorSettings, running

if TYPE_CHECKING:
    from tests.e2e.conftest import Penstock

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600, func_only=True)]

_log = logging.getLogger(__name__)

TASKS = 1000
CONCURRENCY = 50
PROVIDER = SimulatorSettings(latency_ms=40, latency_sigma=0.3)
ENDS_WITHIN_S = 300.0


class Phase(msgspec.Struct, frozen=True):
    """A part of a session that kills fall into: from the moment so many requests have come in, for so long."""

    name: str
    requests: int
    lasts_s: float


PHASES = [Phase("start-up", 0, 0.6), Phase("work", 1, 0.3), Phase("rewriting the outputs", TASKS, 0.1)]
SHARES = [2, 6, 2]
"""How many of ten kills fall into each phase."""


class Story:
    """One run that is killed and goes on, as often as it is told to; and what each kill cost."""

    def __init__(self, penstock: Penstock, sim: BackgroundSimulator, source: str, rows: str) -> None:
        self.penstock = penstock
        self.sim = sim
        self.source = source
        self.settled = 0
        self.losses: list[int] = []
        tasks = penstock.write("tasks.jsonl", rows).read_bytes()
        penstock.write("tasks.jsonl.gz", gzip.compress(tasks))

    def start(self) -> subprocess.Popen[bytes]:
        """Start the command, or go on with it."""
        words = ["--base-url", self.sim.base_url, "--model", "m", "--prompt", "Say {{ text }}"]
        words += ["--concurrency", str(CONCURRENCY), "-o", "out.jsonl", "-o", "table.csv"]
        stdin = self.penstock.folder / "tasks.jsonl" if self.source == "-" else None
        return self.penstock.start("run", self.source, *words, stdin=stdin)

    def kill(self, process: subprocess.Popen[bytes]) -> bool:
        """Kill the command, and note how many requests reached the provider and left no result.

        False when it had ended by itself. Without a journal nothing was taken, and nothing may have been sent.
        """
        process.kill()
        process.communicate()
        journals = list(self.penstock.folder.glob(".penstock/*/journal.db"))
        self.settled = self.penstock.verify().totals.settled if journals else 0
        loss = requests_received(self.sim) - self.settled - sum(self.losses)
        assert 0 <= loss <= CONCURRENCY
        assert journals or loss == 0
        self.losses.append(loss)
        return process.returncode == -signal.SIGKILL

    def is_killed_in(self, phase: Phase, chance: random.Random) -> bool:
        """Start the command and kill it at a random moment of a phase; False when it ended before, or has no such."""
        awaited = min(phase.requests, TASKS - self.settled)
        if awaited == 0 < phase.requests:
            return False
        process = self.start()
        self.sim.wait_requests(self.settled + sum(self.losses) + awaited)
        delay_s = chance.uniform(0, phase.lasts_s)
        with suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=delay_s)
            return False
        killed = self.kill(process)
        _log.warning("killed: %s, %s, after %.3f s; lost %s", killed, phase.name, delay_s, self.losses[-1])
        return killed

    def end(self, code: int = 0) -> None:
        """Start the command and let it come to its end."""
        process = self.start()
        _, errors = process.communicate(timeout=ENDS_WITHIN_S)
        assert process.returncode == code, errors.decode()

    def check(self, keys: list[str]) -> None:
        """Nothing is lost, nothing stands twice, and what was bought twice is explained by the kills and disclosed."""
        folder = self.penstock.folder
        lines = (folder / "out.jsonl").read_text().splitlines()
        assert [json.loads(line)["key"] for line in lines] == keys
        with (folder / "table.csv").open(encoding="utf-8-sig", newline="") as file:
            assert [row["key"] for row in csv.DictReader(file)] == keys
        verified = self.penstock.verify()
        assert verified.delivered.count == len(keys)
        assert verified.totals.unknown >= sum(self.losses)
        assert self.sim.bill().requests == verified.totals.settled + sum(self.losses)
        assert sum(self.losses) >= self.sim.bill().billed - len(keys)


def requests_received(sim: BackgroundSimulator) -> int:
    """How many requests have come in, those included that a killed client left in its sockets."""
    with urllib.request.urlopen(sim.base_url.removesuffix("/v1") + "/bill", timeout=60) as response:
        response.read()
    return sim.bill().requests


def survive(make_penstock: Callable[[], Penstock], source: str, rows: str, kills: int) -> None:
    """Kill runs at random moments until there were so many kills; every run is brought to its end and checked."""
    chance = random.Random(f"{source} {kills}")
    while kills > 0:
        with running(PROVIDER) as sim:
            story = Story(make_penstock(), sim, source, rows)
            while kills > 0 and story.is_killed_in(chance.choices(PHASES, SHARES)[0], chance):
                kills -= 1
            story.end()
            story.check([f"k{number}" for number in range(TASKS)])


@pytest.mark.parametrize(("source", "kills"), [("tasks.jsonl", 20), ("tasks.jsonl.gz", 4), ("-", 4)])
def test_killed_at_random_moments_nothing_is_lost(
    make_penstock: Callable[[], Penstock], rows: Callable[[int], str], source: str, kills: int
) -> None:
    """Every answer once in every output, and the bill no higher than by what was on its way at the kills."""
    survive(make_penstock, source, rows(TASKS), kills)


@pytest.mark.chaos
@pytest.mark.timeout(5400, func_only=True)
@pytest.mark.parametrize("source", ["tasks.jsonl", "tasks.jsonl.gz", "-"])
def test_killed_a_thousand_times_nothing_is_lost(
    make_penstock: Callable[[], Penstock], rows: Callable[[int], str], source: str
) -> None:
    """The same, often enough to meet the rare moments."""
    survive(make_penstock, source, rows(TASKS), kills=334)


def test_what_kills_may_have_cost_is_disclosed(
    make_penstock: Callable[[], Penstock], rows: Callable[[int], str]
) -> None:
    """At least as many calls are counted as unknown as were in truth bought twice, however fast answers come."""
    with running() as sim:
        story = Story(make_penstock(), sim, "tasks.jsonl", rows(4 * TASKS))
        for wanted in (600, 1800):
            process = story.start()
            sim.wait_requests(wanted)
            story.kill(process)
        story.end()
        assert story.penstock.verify().totals.unknown >= sim.bill().billed - 4 * TASKS


def test_a_retry_that_is_killed_goes_on(make_penstock: Callable[[], Penstock]) -> None:
    """`penstock retry` again takes up the failures that are left, and the outputs come out whole."""
    keys = [f"k{number}" for number in range(TASKS)]
    fails_once = ["[[fault:status=400,times=1]]" if number > 100 and number % 3 else "" for number in range(TASKS)]
    tasks = [json.dumps({"id": key, "text": f"{fault} {key}"}) for key, fault in zip(keys, fails_once, strict=True)]
    with running(PROVIDER) as sim:
        story = Story(make_penstock(), sim, "tasks.jsonl", "\n".join(tasks))
        story.end(code=1)
        sent = sim.bill().requests
        for part in (0.2, 0.6):
            process = story.penstock.start("retry", "tasks-to-out")
            sim.wait_requests(sent + int(part * sum(map(bool, fails_once))))
            process.kill()
            process.communicate()

        assert story.penstock.run("retry", "tasks-to-out").code == 0
        assert story.penstock.verify().totals.ok == TASKS
        lines = (story.penstock.folder / "out.jsonl").read_text().splitlines()
        assert [json.loads(line)["key"] for line in lines] == keys
        assert not (story.penstock.folder / "out.failed.jsonl").exists()


MOMENTS: dict[str, Callable[[Path, dict[str, int]], bool]] = {
    "while the answers are gathered": lambda folder, before: (folder / ".out.jsonl.tmp").exists(),
    "when the failures are replaced": lambda folder, before: (
        inodes(folder)["out.failed.jsonl"] != before["out.failed.jsonl"]
    ),
    "when the answers are replaced": lambda folder, before: inodes(folder)["out.jsonl"] != before["out.jsonl"],
    "while the table is gathered": lambda folder, before: (folder / ".table.csv.tmp").exists(),
}
"""When an observer of the folder, who has seen which inodes the outputs had before, knows that the moment has come."""
LOOKS = 20
"""So many runs are watched before a moment counts as one that never comes: on a busy machine some pass unseen."""


def inodes(folder: Path) -> dict[str, int]:
    """Which file stands under each name."""
    found = {}
    for path in folder.iterdir():
        with suppress(FileNotFoundError):
            found[path.name] = path.stat().st_ino
    return found


@pytest.fixture(params=MOMENTS)
def reordered(
    request: pytest.FixtureRequest, make_penstock: Callable[[], Penstock], rows: Callable[[int], str]
) -> Iterator[Story]:
    """A run that was killed while its outputs were put in order, and then brought to its end."""
    for _ in range(LOOKS):
        with running(SimulatorSettings(output_tokens=256, latency_ms=10, latency_sigma=1.0)) as sim:
            story = Story(make_penstock(), sim, "tasks.jsonl", FAILING + rows(2 * TASKS))
            if is_killed_at(story, MOMENTS[request.param]):
                story.end(code=1)
                yield story
                return
    pytest.fail("the moment never came")


def is_killed_at(story: Story, has_come: Callable[[Path, dict[str, int]], bool]) -> bool:
    """Start the command and kill it at a moment; False when that was missed."""
    process = story.start()
    story.sim.wait_requests(2 * TASKS + 1)
    before = inodes(story.penstock.folder)
    while process.poll() is None and not has_come(story.penstock.folder, before):
        continue
    return story.kill(process)


def test_killed_while_outputs_are_put_in_order(reordered: Story) -> None:
    """The outputs come out whole and in input order."""
    reordered.check([f"k{number}" for number in range(2 * TASKS)])


def test_a_kill_leaves_no_spare_copies(reordered: Story) -> None:
    """What the run itself wrote is known to it again: none of it is set aside, and nothing half-made stays."""
    names = {path.name for path in reordered.penstock.folder.iterdir()}
    assert {name for name in names if name.endswith((".bak", ".tmp"))} == set()


FAILING = json.dumps({"id": "bad", "text": "[[fault:status=400]]"}) + "\n"
"""A row that the provider refuses."""
