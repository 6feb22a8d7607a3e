"""How much memory a run takes depends on what is under way, not on how long its input is."""

from __future__ import annotations

import json
import re
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from penstock.simulator import BackgroundSimulator, running

if TYPE_CHECKING:
    from tests.e2e.conftest import Penstock

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600, func_only=True)]

MOST_MORE_MB = 20
SHORT, LONG = 20_000, 200_000
ALL_SENT_UNTIL = 1000


def peak_mb(penstock: Penstock, sim: BackgroundSimulator, name: str) -> float:
    """The most memory that the command had resident over a run of the file `name`."""
    process = penstock.start(
        *("run", name, "--base-url", sim.base_url, "--model", "m", "--prompt", "{{ text }}", "-o", f"out-{name}")
    )
    peak_kb = 0
    while process.poll() is None:
        with suppress(OSError):
            found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text())
            peak_kb = max(peak_kb, int(found[1])) if found else peak_kb
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.05)
    assert process.returncode in (0, 1)
    return peak_kb / 1000


def write_tasks(penstock: Penstock, name: str, count: int, sent_one_in: int) -> None:
    """Write many tasks, of which one in so many leads to a call, and the rest lack the field that the prompt needs."""
    with (penstock.folder / name).open("w") as file:
        for number in range(count):
            sent = number < ALL_SENT_UNTIL or number % sent_one_in == 0
            file.write(json.dumps({"id": f"k{number}", "text" if sent else "words": f"Word {number}"}) + "\n")


def check_growth(penstock: Penstock, sent_one_in: int) -> None:
    """A run ten times as long takes hardly more memory."""
    write_tasks(penstock, "short.jsonl", SHORT, sent_one_in)
    write_tasks(penstock, "long.jsonl", LONG, sent_one_in)
    with running() as sim:
        short_mb = peak_mb(penstock, sim, "short.jsonl")
        long_mb = peak_mb(penstock, sim, "long.jsonl")

    assert long_mb <= short_mb + MOST_MORE_MB


def test_memory_does_not_grow_with_the_input(penstock: Penstock) -> None:
    """Most rows are refused here, which is quick: taking, settling and writing them is the same."""
    check_growth(penstock, sent_one_in=20)


@pytest.mark.chaos
@pytest.mark.timeout(600, func_only=True)
def test_memory_does_not_grow_with_the_calls(penstock: Penstock) -> None:
    """The same with every row sent."""
    check_growth(penstock, sent_one_in=1)
