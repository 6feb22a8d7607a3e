"""Worker processes, as the installed command has them: one bill, one limit, and nobody left behind however it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from penstock.simulator import BackgroundSimulator, SimulatorSettings, running

if TYPE_CHECKING:
    from tests.e2e.conftest import Penstock

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(600, func_only=True),
    pytest.mark.skipif(sys.platform != "linux", reason="processes are looked for under /proc"),
]

TASKS = 2_000
CONCURRENCY = 40
PROCESSES = 3
SILENT_AT_FIRST = "[[fault:stall=head,times=1]]"
KEY = "canary0123456789abcdef"


def command(sim: BackgroundSimulator, *more: str) -> list[str]:
    """The command of every run here."""
    words = ["run", "tasks.jsonl", "--base-url", sim.base_url, "--model", "m", "--prompt", "{{ text }}"]
    return [*words, "--concurrency", str(CONCURRENCY), "--processes", str(PROCESSES), "-o", "out.jsonl", *more]


def workers_of(pid: int) -> list[int]:
    """The children of a process."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_until_gone(pids: list[int]) -> None:
    """Return once none of them runs. What init has not reaped yet runs no more."""
    while any(map(is_running, pids)):
        continue


def is_running(pid: int) -> bool:
    """Whether there is such a process, and it has not ended."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def keys_of(penstock: Penstock) -> list[str]:
    """The keys in the output, in their order."""
    return [json.loads(line)["key"] for line in (penstock.folder / "out.jsonl").read_text().splitlines()]


def test_the_bill_is_what_was_kept(penstock: Penstock, rows: Callable[[int], str]) -> None:
    """Every task once, in the order of the input; and no more at once than was asked for."""
    penstock.write("tasks.jsonl", rows(TASKS))
    with running(SimulatorSettings(latency_ms=5)) as sim:
        ended = penstock.run(*command(sim))

        assert (ended.code, sim.bill().requests, sim.bill().billed) == (0, TASKS, TASKS)
        assert sim.bill().max_in_flight <= CONCURRENCY
    assert keys_of(penstock) == [f"k{number}" for number in range(TASKS)]
    assert penstock.verify().totals.unknown == 0


def test_the_rate_holds_for_all_together(penstock: Penstock, rows: Callable[[int], str]) -> None:
    """A provider that lets through so much, and what comes within two seconds, refuses nobody."""
    penstock.write("tasks.jsonl", rows(60))
    with running(SimulatorSettings(rpm=600, burst_s=2.0, announce=False)) as sim:
        ended = penstock.run(*command(sim, "--rpm", "600"))

        assert (ended.code, sim.bill().requests, sim.bill().throttled) == (0, 60, 0)


def test_a_worker_that_is_killed_costs_what_it_had_in_flight(penstock: Penstock, rows: Callable[[int], str]) -> None:
    """Every task is settled, and what was bought twice is counted as unknown."""
    penstock.write("tasks.jsonl", rows(TASKS))
    with running(SimulatorSettings(latency_ms=20)) as sim:
        process = penstock.start(*command(sim, "--ambiguous", "never"))
        sim.wait_requests(TASKS // 4)
        for pid in workers_of(process.pid)[:2]:
            os.kill(pid, signal.SIGKILL)
        _, said = process.communicate(timeout=300)

        assert process.returncode == 0, said
        assert b"was killed by SIGKILL" in said
        bought_twice = sim.bill().requests - TASKS
        assert 0 <= bought_twice <= penstock.verify().totals.unknown <= CONCURRENCY
    assert keys_of(penstock) == [f"k{number}" for number in range(TASKS)]


def test_when_the_run_is_killed_its_workers_are_gone(penstock: Penstock, rows: Callable[[int], str]) -> None:
    """Also one that is held up; going on completes the run, and the bill is explained."""
    penstock.write("tasks.jsonl", rows(TASKS))
    with running(SimulatorSettings(latency_ms=20)) as sim:
        process = penstock.start(*command(sim))
        sim.wait_requests(TASKS // 4)
        workers = workers_of(process.pid)
        os.kill(workers[0], signal.SIGSTOP)
        process.kill()
        process.communicate()
        wait_until_gone(workers)

        assert len(workers) == PROCESSES
        assert penstock.run(*command(sim)).code == 0
        totals = penstock.verify().totals
        assert (totals.ok, totals.pending) == (TASKS, 0)
        assert sim.bill().requests - TASKS <= totals.unknown <= CONCURRENCY
    assert keys_of(penstock) == [f"k{number}" for number in range(TASKS)]


@pytest.mark.parametrize("signals", [1, 2, 3])
def test_ctrl_c_reaches_the_run_and_ends_the_workers(
    penstock: Penstock, rows: Callable[..., str], signals: int
) -> None:
    """It finishes, gives up or leaves, as in one process, and going on completes the run."""
    penstock.write("tasks.jsonl", rows(CONCURRENCY, SILENT_AT_FIRST if signals > 1 else "Word"))
    with running(SimulatorSettings(latency_ms=500)) as sim:
        process = penstock.start(*command(sim))
        sim.wait_requests(CONCURRENCY)
        workers = workers_of(process.pid)
        said = interrupt(process, signals)
        wait_until_gone(workers)

        assert (process.returncode, len(workers)) == (130, PROCESSES), said
        assert penstock.run(*command(sim)).code == 0
        totals = penstock.verify().totals
        assert (totals.ok, totals.unknown) == (CONCURRENCY, 0 if signals == 1 else CONCURRENCY)


def interrupt(process: subprocess.Popen[bytes], signals: int) -> bytes:
    """Press Ctrl-C so often, each time once the last one was heard; what was said before the end."""
    assert process.stderr is not None
    process.send_signal(signal.SIGINT)
    if signals > 1:
        for line in process.stderr:
            if b"may finish" in line:
                break
        for _ in range(signals - 1):
            process.send_signal(signal.SIGINT)
    return process.communicate(timeout=300)[1]


def test_the_key_stands_in_nothing_that_others_can_see(penstock: Penstock, rows: Callable[..., str]) -> None:
    """Not in the words of a worker, and not in its environment where it was in none before."""
    penstock.write("tasks.jsonl", rows(CONCURRENCY, SILENT_AT_FIRST))
    with running(SimulatorSettings(api_keys=(KEY,))) as sim:
        penstock.write("penstock.toml", f'[endpoints.mine]\nbase_url = "{sim.base_url}"\napi_key = "{KEY}"\n')
        words = command(sim)
        words[words.index("--base-url") : words.index("--base-url") + 2] = ["--endpoint", "mine"]
        process = penstock.start(*words)
        sim.wait_requests(CONCURRENCY)
        for pid in workers_of(process.pid):
            for name in ("cmdline", "environ"):
                assert KEY.encode() not in Path(f"/proc/{pid}/{name}").read_bytes()
        process.kill()
        process.communicate()


def test_a_key_from_a_variable_is_in_no_worker_s_environment(penstock: Penstock, rows: Callable[..., str]) -> None:
    """What else stands there is."""
    penstock.write("tasks.jsonl", rows(CONCURRENCY, SILENT_AT_FIRST))
    penstock.environment.update(OPENAI_API_KEY=KEY, COPY_OF_IT=KEY, NO_PROXY="127.0.0.1")
    with running(SimulatorSettings(api_keys=(KEY,))) as sim:
        process = penstock.start(*command(sim))
        sim.wait_requests(CONCURRENCY)
        for pid in workers_of(process.pid):
            environment = Path(f"/proc/{pid}/environ").read_bytes()
            assert KEY.encode() not in environment
            assert b"NO_PROXY=127.0.0.1" in environment
        process.kill()
        process.communicate()


def test_processes_from_python_need_no_guard(penstock: Penstock) -> None:
    """A plain script, without `if __name__ == "__main__"`, starts them and ends them."""
    script = "import penstock, sys\nresults = penstock.run(['a', 'b'], model='m', base_url=sys.argv[1], processes=2)\n"
    penstock.write("script.py", script + "print(*[result.status for result in results])\n")
    with running() as sim:
        ended = subprocess.run(
            [penstock.command.parent / "python", "script.py", sim.base_url],
            cwd=penstock.folder,
            env=penstock.environment,
            capture_output=True,
            timeout=300,
            check=False,
        )
    assert (ended.stdout, ended.stderr) == (b"ok ok\n", b"")


def test_processes_from_python_find_what_the_script_finds(penstock: Penstock) -> None:
    """An interpreter that knows Penstock only since the script has said where it is."""
    (packages,) = penstock.command.parent.parent.glob("lib/python*/site-packages")
    script = f"import sys\nsys.path.insert(0, {str(packages)!r})\nimport penstock\n"
    script += "results = penstock.run(['a', 'b'], model='m', base_url=sys.argv[1], processes=2)\n"
    penstock.write("script.py", script + "print(*[result.status for result in results])\n")
    with running() as sim:
        ended = subprocess.run(
            [(penstock.command.parent / "python").resolve(), "script.py", sim.base_url],
            cwd=penstock.folder,
            env=penstock.environment,
            capture_output=True,
            timeout=300,
            check=False,
        )
    assert (ended.stdout, ended.stderr) == (b"ok ok\n", b"")
