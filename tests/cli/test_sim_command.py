"""`penstock sim` as a command."""

import signal
import subprocess
import sys
import urllib.request

COMMAND = "import cyclopts; from penstock.cli.sim import sim; cyclopts.run(sim)"


def test_it_serves_until_interrupted_and_prints_its_bill() -> None:
    """With the base URL and a command to try at the start."""
    arguments = ["--port", "0", "--model", "small", "--fault", "1:status=503", "--outage", "5000-6000:status=529"]
    arguments += ["--no-announce", "--key-death", "*:100:status=402", "--outage", "50/20:status=503"]
    with subprocess.Popen(
        [sys.executable, "-c", COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        base_url = process.stdout.readline().split()[-1]
        for headers in ({}, {"authorization": "Bearer sk-one-1111"}):
            request = urllib.request.Request(f"{base_url}/models", headers=headers)
            with urllib.request.urlopen(request, timeout=60) as response:
                assert b'"small"' in response.read()
        process.send_signal(signal.SIGINT)
        printed = process.stdout.read()
    assert process.returncode == 0
    assert f"penstock run tasks.jsonl --base-url {base_url} --model small" in printed
    assert "2 received" in printed
    assert "****1111: 1 received, 0 refused, 0 billed" in printed


def test_a_fault_that_makes_no_sense_is_refused() -> None:
    """Before anything is served."""
    arguments = [sys.executable, "-c", COMMAND, "--fault", "0.5:nonsense"]
    finished = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)
    assert finished.returncode != 0
    assert "is not name=value" in finished.stderr
