"""`penstock ctl` and a real run in a process of its own, one call of which never ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.cli.conftest import Cli, LiveRun


def test_a_run_does_what_it_is_told(cli: Cli, live_run: LiveRun) -> None:
    """It pauses and goes on, keeps other limits, stops reading, and at last gives up what never ends."""

    def ctl(*words: str) -> str:
        ended = cli("ctl", "live", *words, "--home", live_run.home)
        assert (ended.code, ended.err) == (0, "")
        return ended.out

    def status() -> list[str]:
        return cli("status", "live", "--home", live_run.home).out.splitlines()

    live_run.wait_event("progress", lambda event: event["in_flight"] == 1)
    assert ctl("pause").startswith("Paused: 1 call in flight")
    assert any(line.startswith("binds     paused") for line in status())
    ctl("resume")
    assert not any("paused" in line for line in status())
    assert ctl("set", "concurrency=3", "rpm=600").count("\n") == 2
    assert "now       1 of 3 calls in flight" in status()
    assert ctl("drain").startswith("Stopping: 1 call in flight")
    assert ctl("stop").startswith("Stopping now: 1 call in flight")
    assert live_run.wait() == 130
    assert not (live_run.home / "live" / "control.sock").exists()
    refused = cli("ctl", "live", "pause", "--home", live_run.home)
    assert refused.code == 2
    assert "No process works on the run 'live'" in refused.err
