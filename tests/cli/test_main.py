"""The command line as a whole: what is there, and what it costs to start."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from penstock.cli.main import COMMANDS
from penstock.version import __version__

if TYPE_CHECKING:
    from tests.cli.conftest import Cli

SUMMARIES = [(name, summary) for commands in COMMANDS.values() for name, summary in commands.items()]
HEAVY = ("penstock.engine.run", "penstock.launch", "pyreqwest", "genai_prices", "rich.markdown", "uvloop", "sqlite3")


@pytest.mark.parametrize(("name", "summary"), SUMMARIES)
def test_a_command_is_listed_with_the_first_line_of_its_docstring(name: str, summary: str) -> None:
    """So that the list, written where nothing is imported, cannot go its own way."""
    command = getattr(importlib.import_module(f"penstock.cli.{name}"), name)
    assert inspect.cleandoc(command.__doc__).split("\n\n")[0].replace("\n", " ") == summary


@pytest.mark.parametrize("arguments", [(), ("--help",)])
def test_help_names_every_command(cli: Cli, arguments: tuple[str, ...]) -> None:
    """With or without asking for it, within 80 columns."""
    ended = cli(*arguments)
    assert ended.code == 0
    assert [name for name, _ in SUMMARIES if f" {name} " not in ended.out] == []
    assert max(map(len, ended.out.splitlines())) <= 80


@pytest.mark.parametrize("name", [name for name, _ in SUMMARIES])
def test_a_command_explains_itself(cli: Cli, name: str) -> None:
    """In 80 columns, and without the names of Python's types."""
    ended = cli(name, "--help")
    assert ended.code == 0
    assert f"Usage: penstock {name}" in ended.out
    assert max(map(len, ended.out.splitlines())) <= 80
    assert "[default: False]" not in ended.out


def test_the_version_is_told(cli: Cli) -> None:
    """For bug reports."""
    assert cli("--version").out.strip() == __version__


@pytest.mark.parametrize(
    "arguments",
    [
        ("runn",),
        ("run",),
        ("run", "tasks.jsonl", "--modle", "m"),
        ("run", "--modle", "m", "tasks.jsonl"),
        ("run", "tasks.jsonl", "--order", "random"),
        ("status", "--bad"),
    ],
)
def test_what_is_not_understood_is_wrong_usage(cli: Cli, arguments: tuple[str, ...]) -> None:
    """Said on standard error, with exit code 2."""
    ended = cli(*arguments)
    assert ended.code == 2
    assert not ended.out
    assert "Error" in ended.err


def test_listing_the_commands_imports_none_of_them() -> None:
    """Nor anything else that is slow to import."""
    program = (
        "import sys; from penstock.cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert printed.splitlines()[-1] == "[]"
