"""Streamed answers with the installed command: killed in the middle of them, nothing is lost or bought twice unseen."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from penstock.simulator import SimulatorSettings, running

if TYPE_CHECKING:
    from tests.e2e.conftest import Penstock

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600, func_only=True)]

TASKS = 300
CONCURRENCY = 20
ENDS_WITHIN_S = 300.0


def test_a_streamed_run_that_is_killed_goes_on(penstock: Penstock, rows: Callable[[int], str]) -> None:
    """Streams that were under way are asked for again, those that were settled are not; every answer is whole."""
    penstock.write("tasks.jsonl", rows(TASKS))
    with running(SimulatorSettings(latency_ms=60)) as sim:
        words = ["run", "tasks.jsonl", "--base-url", sim.base_url, "--model", "m", "--prompt", "Say {{ text }}"]
        words += ["--stream", "--concurrency", str(CONCURRENCY), "-o", "out.jsonl"]
        for wanted in (60, 180):
            process = penstock.start(*words)
            sim.wait_requests(wanted)
            process.kill()
            process.communicate()
        process = penstock.start(*words)
        _, errors = process.communicate(timeout=ENDS_WITHIN_S)
        bill = sim.bill()

    assert process.returncode == 0, errors.decode()
    results = [json.loads(line) for line in (penstock.folder / "out.jsonl").read_text().splitlines()]
    assert [result["key"] for result in results] == [f"k{number}" for number in range(TASKS)]
    assert all(result["text"].startswith(f"You said: Say Word {n}\n") for n, result in enumerate(results))
    assert all(result["usage"]["output_tokens"] == 64 and result["ttft_ms"] > 0 for result in results)
    verified = penstock.verify()
    assert verified.delivered.count == TASKS
    assert bill.billed - TASKS <= verified.totals.unknown <= 2 * CONCURRENCY
