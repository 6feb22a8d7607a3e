"""The option `stream` from Python: a keyword like every other, of both functions."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

import penstock
from penstock.simulator import BackgroundSimulator, SimulatorSettings, running

ROWS = ["one", "two", "three"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder to stand in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture(scope="module")
def sim() -> Iterator[BackgroundSimulator]:
    """A provider that takes some time over an answer."""
    with running(SimulatorSettings(latency_ms=30)) as simulator:
        yield simulator


def test_results_have_the_times_of_their_streams(sim: BackgroundSimulator) -> None:
    """Of both functions, and none without the option."""

    async def streamed() -> list[penstock.Result]:
        results = penstock.stream(ROWS, model="m", base_url=sim.base_url, stream=True)
        return [result async for result in results]

    whole = penstock.run(ROWS, model="m", base_url=sim.base_url)
    results = penstock.run(ROWS, model="m", base_url=sim.base_url, stream=True)
    assert [result.text for result in results] == [result.text for result in whole]
    assert {result.ttft_ms for result in whole} == {None}
    for result in [*results, *asyncio.run(streamed())]:
        assert 0 < (result.ttft_ms or 0.0) <= result.latency_ms
        assert result.tokens_per_s == result.attempts[-1].tokens_per_s
        assert (result.tokens_per_s or 0.0) > 0
