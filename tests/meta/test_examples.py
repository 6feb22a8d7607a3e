"""The examples do what they show, against a provider that costs nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.simulator import running

EXAMPLES = Path(__file__).parents[2] / "examples"
SAID = {
    "callable_sink.py": ["city-Lagos ok", "city-Lima ok", "city-Paris ok"],
    "run_list.py": ["phone You said: Is this review", "lamp You said: Is this review", "desk You said: Is this review"],
    "stream_results.py": ["1 What is ", "10 What is "],
}
"""How lines of the output of each example begin, in order."""


def test_every_example_is_run() -> None:
    """No example stands in the folder that the next test does not know."""
    assert sorted(SAID) == sorted(path.name for path in EXAMPLES.glob("*.py"))


@pytest.mark.parametrize("name", sorted(SAID))
def test_example_runs(name: str, tmp_path: Path) -> None:
    """It ends well, prints what it promises, and leaves no warning."""
    with running() as sim:
        done = subprocess.run(
            [sys.executable, "-W", "error", EXAMPLES / name],
            cwd=tmp_path,
            env=os.environ | {"OPENAI_BASE_URL": sim.base_url, "OPENAI_API_KEY": "sk-none"},
            capture_output=True,
            text=True,
            check=False,
        )
    lines = done.stdout.splitlines()
    found = [begin for begin in SAID[name] if any(line.startswith(begin) for line in lines)]
    assert (done.returncode, done.stderr, found) == (0, "", SAID[name])
