"""One process works on a run at a time."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from penstock.simulator import SimulatorSettings, running

if TYPE_CHECKING:
    from tests.e2e.conftest import Penstock

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600, func_only=True)]


@pytest.mark.parametrize("again", [[], ["--fresh"]], ids=["the same command", "with --fresh"])
def test_a_second_process_on_a_run_is_refused(penstock: Penstock, rows: Callable[[int], str], again: list[str]) -> None:
    """It names the process that is there, sends nothing, and leaves that one to finish undisturbed."""
    penstock.write("tasks.jsonl", rows(20))
    with running(SimulatorSettings(latency_ms=1000)) as sim:
        command = ["run", "tasks.jsonl", "--base-url", sim.base_url, "--model", "m", "--prompt", "{{ text }}"]
        command += ["-o", "out.jsonl"]
        first = penstock.start(*command)
        sim.wait_requests(20)
        first.send_signal(signal.SIGSTOP)
        second = penstock.run(*command, *again)
        first.send_signal(signal.SIGCONT)
        first.communicate(timeout=300)

        assert second.code == 2
        assert str(first.pid) in second.err
        assert first.returncode == 0
        assert len((penstock.folder / "out.jsonl").read_text().splitlines()) == 20
        assert sim.bill().requests == penstock.verify().totals.ok == 20


def test_a_process_that_was_killed_locks_nobody_out(penstock: Penstock, rows: Callable[[int], str]) -> None:
    """The kernel lets its lock go, whatever the lock file still says."""
    penstock.write("tasks.jsonl", rows(5))
    with running(SimulatorSettings(latency_ms=500)) as sim:
        command = ["run", "tasks.jsonl", "--base-url", sim.base_url, "--model", "m", "--prompt", "{{ text }}"]
        first = penstock.start(*command)
        sim.wait_requests(5)
        first.kill()
        first.communicate()

        assert penstock.run(*command).code == 0
