"""Rules of the house that no tool checks."""

import ast
import os
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "base", "manager", "misc"}
MOST_LINES = 400

FOREIGN = re.compile(
    "|".join(
        [
            rf"{'py'}pi\.org",
            rf"{'python'}hosted",
            rf"{'npm'}js\.",
            rf"{'anaconda'}\.org",
            rf"mirrors?\.(?:{'ali'}yun|{'tun'}a|{'ust'}c|{'ten'}cent|{'hua'}wei)",
            rf"(?<![\w.])/(?:{'ho'}me|{'ro'}ot|{'wo'}rk|{'Us'}ers|{'op'}t)/\w",
        ]
    ),
    re.IGNORECASE,
)
"""Hosts that packages come from, and paths of one machine. Cut up, so that this file is not among the finds."""


@cache
def files() -> list[Path]:
    """Every file that is, or is about to be, under version control."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode != 0:
        assert not os.environ.get("CI"), "CI must know every file of the project"
        pytest.skip("this is no checkout, so it is not known which files belong to it")
    names = listed.stdout.decode().split("\0")
    return sorted(path for name in names if name and (path := ROOT / name).is_file())


def modules(*folders: str) -> list[Path]:
    """Every Python module in these folders."""
    return [path for path in files() if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in folders]


def shown(path: Path) -> str:
    """A path as it stands in the project."""
    return str(path.relative_to(ROOT))


def test_files_have_names_that_say_something() -> None:
    """What fits nowhere else belongs beside its one user."""
    assert [shown(path) for path in files() if path.stem.removeprefix("test_") in VAGUE_NAMES] == []


def test_modules_are_one_idea_long() -> None:
    """Beyond this length it is two."""
    lengths = {shown(path): len(path.read_text().splitlines()) for path in modules("src", "tests", "docs", "examples")}
    assert {path: lines for path, lines in lengths.items() if lines > MOST_LINES} == {}


def test_tests_replace_nothing_by_mocks() -> None:
    """Fakes are shipped code that passes the same contract."""
    mocking = re.compile(r"^\s*(?:from|import)\s+(?:unittest\.)?(?:mock|pytest_mock)\b|\bfrom unittest import", re.M)
    assert [shown(path) for path in modules("tests") if mocking.search(path.read_text())] == []


def test_tests_never_sleep() -> None:
    """They wait for what they wait for."""
    sleeping = [
        f"{shown(path)}:{node.lineno}"
        for path in modules("tests")
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.Attribute) and ast.unparse(node) == "time.sleep")
        or (isinstance(node, ast.ImportFrom) and node.module == "time" and "sleep" in {a.name for a in node.names})
    ]
    assert sleeping == []


def test_every_test_is_a_sentence() -> None:
    """The name says what holds, and a docstring says it in words."""
    bare = [
        f"{shown(path)}:{node.lineno} {node.name}"
        for path in modules("tests")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and ast.get_docstring(node) is None
    ]
    assert bare == []


def test_nothing_unfinished_is_left_behind() -> None:
    """Plans live outside the code, and errors are not swallowed without a word."""
    unfinished = re.compile(rf"\b(?:{'TO'}DO|{'FIX'}ME|{'X'}XX)\b|^\s*except[^\n]*:\s*pass\b", re.MULTILINE)
    assert [shown(path) for path in modules("src", "tests") if unfinished.search(path.read_text())] == []


def test_no_file_names_a_machine_or_a_package_host() -> None:
    """Whoever clones this has another machine and an index of his own."""
    found = [
        f"{shown(path)}: {match[0]}"
        for path in files()
        if (match := FOREIGN.search(path.read_bytes().decode("utf-8", "replace")))
    ]
    assert found == []
