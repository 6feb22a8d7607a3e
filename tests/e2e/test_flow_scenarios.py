"""Flow control against providers as they are, on the wall clock: limits, outages, storms, dying keys, uneven pools.

Each story is told twice: shortened, and at full length for `make chaos`. Whatever happens, every task is settled once
or the run is paused with the right words, and the provider billed nothing that is neither kept nor counted as unknown.
Nothing here measures speed: a slow machine only makes a story longer.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from penstock.simulator import (
    BackgroundSimulator,
    SimulatorSettings,
    key_label,
    parse_key_death,
    parse_outage,
    running,
)

if TYPE_CHECKING:
    from tests.e2e.conftest import Penstock

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600, func_only=True)]

FULL_LENGTH = [pytest.mark.chaos, pytest.mark.timeout(1800, func_only=True)]
LIMIT = 60_000
"""Requests per minute that bind nobody here, announced so that the flow need not be found first."""
FIRST_CALLS = 20
"""So many leave before the first answer tells anything; how many of them are turned away is the machine's affair."""
KEYS = ("sk-one-1111111111", "sk-two-2222222222")
MOST_REFUSED = 40
"""In a story that ends when the limit is hardly found; how few there are in a long one is told in virtual time."""


class Story(msgspec.Struct, frozen=True):
    """How long a story is: its tasks, and the outage in it, if there is one."""

    tasks: int
    ends_within_s: float = 300.0
    outage: str = ""


def told(short: Story, full: Story) -> pytest.MarkDecorator:
    """Tell a story at both lengths."""
    return pytest.mark.parametrize(
        "story", [pytest.param(short, id="short"), pytest.param(full, id="full", marks=FULL_LENGTH)]
    )


class Teller:
    """Tells stories with the installed command."""

    def __init__(self, penstock: Penstock, rows: Callable[[int], str]) -> None:
        self.penstock = penstock
        self._rows = rows

    def configure(self, config: str, keys: tuple[str, ...] = ()) -> None:
        """Write `penstock.toml`, and the file of keys that it names."""
        self.penstock.write("penstock.toml", config)
        if keys:
            self.penstock.write("keys.txt", "\n".join(keys) + "\n").chmod(0o600)

    def run(self, story: Story, *words: str) -> tuple[int, str]:
        """Do the run, or go on with it: exit code and last words."""
        self.penstock.write("tasks.jsonl", self._rows(story.tasks))
        options = ["--model", "m", "--prompt", "{{ text }}", "-o", "out.jsonl"]
        process = self.penstock.start("run", "tasks.jsonl", *options, *words)
        _, said = process.communicate(timeout=story.ends_within_s)
        return process.returncode, said.decode()

    def assert_kept(self, story: Story, *sims: BackgroundSimulator) -> None:
        """Every task has one answer, and no more was bought than kept or counted as unknown."""
        lines = (self.penstock.folder / "out.jsonl").read_text().splitlines()
        assert sorted(json.loads(line)["key"] for line in lines) == sorted(f"k{n}" for n in range(story.tasks))
        totals = self.penstock.verify().totals
        assert (totals.accepted, totals.ok, totals.failed) == (story.tasks, story.tasks, 0)
        self.assert_paid_for(*sims)

    def assert_paid_for(self, *sims: BackgroundSimulator) -> None:
        """The bill is within the promise."""
        totals = self.penstock.verify().totals
        bought: Counter[str] = Counter()
        for sim in sims:
            bought.update(sim.bill().counts)
        assert sum(bought.values()) <= totals.ok + totals.unknown
        assert sum(count - 1 for count in bought.values()) <= totals.unknown


@pytest.fixture
def teller(penstock: Penstock, rows: Callable[[int], str]) -> Teller:
    """Tells stories in an empty folder."""
    return Teller(penstock, rows)


@told(Story(40), Story(1_800, ends_within_s=900))
def test_an_announced_limit_is_kept_from_the_first_answer_on(teller: Teller, story: Story) -> None:
    """600 a minute with two at a time at most."""
    with running(SimulatorSettings(rpm=600, burst_s=0.2, latency_ms=50)) as sim:
        code, said = teller.run(story, "--base-url", sim.base_url)
        bill = sim.bill()
        assert code == 0, said
        teller.assert_kept(story, sim)
    assert bill.billed == story.tasks
    assert bill.throttled <= FIRST_CALLS + story.tasks // 2


@pytest.mark.parametrize("words", [["--rpm", "600"], []], ids=["given", "unknown"])
@told(Story(15), Story(1_800, ends_within_s=900))
def test_a_limit_that_is_not_announced_is_kept(teller: Teller, story: Story, words: list[str]) -> None:
    """The same limit, given by the user or found out."""
    with running(SimulatorSettings(rpm=600, burst_s=0.2, latency_ms=50, announce=False)) as sim:
        code, said = teller.run(story, "--base-url", sim.base_url, *words)
        bill = sim.bill()
        assert code == 0, said
        teller.assert_kept(story, sim)
    assert bill.billed == story.tasks
    assert bill.throttled <= FIRST_CALLS + max(MOST_REFUSED, story.tasks // 2)


@told(Story(60, outage="#20+1.5:status=503"), Story(6_000, 1_200, "#500+120:status=503"))
def test_an_outage_is_waited_out(teller: Teller, story: Story) -> None:
    """No task fails of it, and the provider is not stormed while it is down."""
    with running(SimulatorSettings(rpm=LIMIT, latency_ms=50, outages=(parse_outage(story.outage),))) as sim:
        code, said = teller.run(story, "--base-url", sim.base_url)
        bill = sim.bill()
        assert code == 0, said
        teller.assert_kept(story, sim)
    assert bill.billed == story.tasks
    assert 0 < bill.faults <= story.tasks


def wait_out_a_storm(teller: Teller, story: Story) -> None:
    """Tell a story in which everything is throttled for a time."""
    with running(SimulatorSettings(rpm=LIMIT, latency_ms=50, outages=(parse_outage(story.outage),))) as sim:
        code, said = teller.run(story, "--base-url", sim.base_url)
        bill = sim.bill()
        assert code == 0, said
        teller.assert_kept(story, sim)
    assert (bill.billed, bill.bought_twice) == (story.tasks, 0)
    assert 0 < bill.faults <= story.tasks
    assert bill.impolite <= bill.faults


@told(Story(30, outage="#20+2:status=429,retry_after=1"), Story(6_000, 1_200, "#500+60:status=429,retry_after=5"))
def test_a_storm_of_429_is_waited_out(teller: Teller, story: Story) -> None:
    """Being throttled fails no task however long it lasts, and what the provider asks is done."""
    wait_out_a_storm(teller, story)


@told(Story(30, outage="#1+2:status=429,retry_after=1"), Story(6_000, 1_200, "#1+60:status=429,retry_after=5"))
def test_a_storm_from_the_first_call_on_is_waited_out(teller: Teller, story: Story) -> None:
    """Nothing was let in yet, which says nothing of how much would be: the run is not left crawling."""
    wait_out_a_storm(teller, story)


ONE_ENDPOINT = """
[endpoints.one]
base_url = "{url}"
api_keys_file = "keys.txt"
"""
DEATHS = ["status=401", "status=402", "status=429,code=insufficient_quota"]


@pytest.mark.parametrize("death", DEATHS)
@told(Story(80), Story(20_000, ends_within_s=900))
def test_a_run_goes_on_with_the_other_key(teller: Teller, story: Story, death: str) -> None:
    """One of two keys dies half-way: the tasks that it refused are answered by the other."""
    after = story.tasks // 16
    settings = SimulatorSettings(
        rpm=LIMIT, latency_ms=20, api_keys=KEYS, key_deaths=(parse_key_death(f"{KEYS[0]}:{after}:{death}"),)
    )
    with running(settings) as sim:
        teller.configure(ONE_ENDPOINT.format(url=sim.base_url), KEYS)
        code, said = teller.run(story, "--endpoint", "one")
        bill = sim.bill()
        assert code == 0, said
        teller.assert_kept(story, sim)
    billed = [bill.keys[key_label(key)].billed for key in KEYS]
    assert 0 < billed[0] <= after
    assert sum(billed) == story.tasks


@pytest.mark.parametrize("death", DEATHS)
@told(Story(35), Story(15_000, ends_within_s=900))
def test_a_run_without_a_key_pauses_and_goes_on_when_it_is_mended(teller: Teller, story: Story, death: str) -> None:
    """Exit 3 with the provider's words and what to do; nothing failed, and nothing is bought again."""
    after = 4 * story.tasks // 7
    words = f"{death},message=Your credit is gone"
    settings = SimulatorSettings(
        rpm=LIMIT, latency_ms=20, api_keys=KEYS[:1], key_deaths=(parse_key_death(f"{KEYS[0]}:{after}:{words}"),)
    )
    with running(settings) as sim:
        teller.configure(ONE_ENDPOINT.format(url=sim.base_url), KEYS[:1])
        code, said = teller.run(story, "--endpoint", "one")
        assert code == 3, said
        assert "Your credit is gone" in said
        assert "penstock run tasks.jsonl" in said
        totals = teller.penstock.verify().totals
        assert (totals.ok, totals.failed) == (after, 0)
        teller.assert_paid_for(sim)

        sim.revive()
        code, said = teller.run(story, "--endpoint", "one")
        assert code == 0, said
        teller.assert_kept(story, sim)
        assert (sim.bill().billed, sim.bill().bought_twice) == (story.tasks, 0)


POOL = """
[models.m]
endpoints = ["steady", "slow", "shaky"]
"""


@told(Story(200), Story(20_000, ends_within_s=900))
def test_an_uneven_pool_loses_nothing(teller: Teller, story: Story) -> None:
    """Of three endpoints one is slow and one goes up and down: each task is answered once, by whichever."""
    characters = {
        "steady": SimulatorSettings(rpm=LIMIT, latency_ms=20),
        "slow": SimulatorSettings(rpm=LIMIT, latency_ms=400),
        "shaky": SimulatorSettings(rpm=LIMIT, latency_ms=20, outages=(parse_outage("20/10:status=503"),)),
    }
    with ExitStack() as stack:
        sims = {name: stack.enter_context(running(settings)) for name, settings in characters.items()}
        tables = "".join(f'[endpoints.{name}]\nbase_url = "{sim.base_url}"\n' for name, sim in sims.items())
        teller.configure(tables + POOL)
        code, said = teller.run(story)
        assert code == 0, said
        teller.assert_kept(story, *sims.values())
        answered = answers_by_endpoint(teller)
        assert {name: sim.bill().billed for name, sim in sims.items()} == answered
    assert answered["steady"] > 0


def answers_by_endpoint(teller: Teller) -> dict[str, Any]:
    """How many of the answers each endpoint gave, by the output."""
    lines = (teller.penstock.folder / "out.jsonl").read_text().splitlines()
    return Counter(json.loads(line)["endpoint"] for line in lines)
