"""From what a person asks for to a run: its name, its prompt, and what is refused before anything is sent."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from penstock.errors import UsageError
from penstock.events import Finished
from penstock.launch import launch, run_folder, run_name, run_sync, with_prompt
from penstock.options import RunOptions
from penstock.simulator import BackgroundSimulator, running


@pytest.fixture(scope="module")
def sim() -> Iterator[BackgroundSimulator]:
    """A provider that answers at once and needs no key."""
    with running() as simulator:
        yield simulator


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to stand in, and an environment without anybody's keys, options and proxies."""
    for name in os.environ:
        if name.upper().startswith(("OPENAI_", "PENSTOCK_")) or name.upper().endswith(("_PROXY", "_API_KEY")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def start(sim: BackgroundSimulator, source: Any, **options: Any) -> Finished:
    """Do the run."""
    settings = RunOptions(**({"model": "m", "base_url": sim.base_url} | options))
    return run_sync(lambda: launch(source, settings))


@pytest.mark.parametrize(
    ("source", "outputs", "name"),
    [
        ("tasks.jsonl", (), "tasks"),
        ("tasks.jsonl", ("out.jsonl",), "tasks-to-out"),
        ("tasks.jsonl", ("out.jsonl", "out.csv"), "tasks-to-out"),
        ("tasks.jsonl", ("-",), "tasks-to-stdout"),
        (Path("data/tasks.jsonl.gz"), ("results/a.b.csv",), "tasks-to-a"),
        ("data/folder/", (), "folder"),
        ("-", (), "stdin"),
        ("-", ("-",), "stdin-to-stdout"),
        (["a"], (), "rows"),
        (["a"], ("out.csv",), "rows-to-out"),
        ("my tasks (1).jsonl", (), "my-tasks-1"),
        ("编号.jsonl", (), "编号"),
        ("---.jsonl", (), "jsonl"),
        ("..", (), "run"),
        ("csv:tasks", (), "csv-tasks"),
    ],
)
def test_a_run_is_named_after_its_source_and_output(source: Any, outputs: tuple[str, ...], name: str) -> None:
    """The same command finds the same run, and every name is one of a folder."""
    assert run_name(source, outputs) == name
    assert run_folder(source, RunOptions(output=outputs, home="home")) == Path("home") / name


@pytest.mark.parametrize("name", ["..", ".", "../other", "a/b", "/etc", "a/", "./a"])
def test_a_name_that_leads_elsewhere_is_refused(name: str) -> None:
    """--fresh deletes what stands there."""
    with pytest.raises(UsageError, match="is no name for a run"):
        run_folder("tasks.jsonl", RunOptions(name=name))


@pytest.mark.parametrize("name", ["a.b", "...", "a b", "-x", "~"])
def test_any_other_name_is_the_users_to_choose(name: str) -> None:
    """It is a folder in the home."""
    assert run_folder("tasks.jsonl", RunOptions(name=name)) == Path(".penstock") / name


def test_a_prompt_file_is_a_prompt(folder: Path) -> None:
    """Byte for byte, and from then on nothing else is different."""
    (folder / "prompt.txt").write_text("Say {{ text }} – 请\n", encoding="utf-8")
    options = with_prompt(RunOptions(prompt_file="prompt.txt", model="m"))
    assert options == RunOptions(prompt="Say {{ text }} – 请\n", model="m")


def test_without_a_prompt_file_nothing_changes() -> None:
    """Whether there is a prompt or not."""
    for options in (RunOptions(), RunOptions(prompt="x")):
        assert with_prompt(options) is options


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"prompt_file": "missing.txt"}, "--prompt-file missing.txt: No such file or directory"),
        ({"prompt_file": "."}, r"--prompt-file \.: Is a directory"),
        ({"prompt_file": "latin.txt"}, r"--prompt-file latin.txt is not UTF-8 text"),
        ({"prompt_file": "latin.txt", "prompt": "x"}, "Both --prompt and --prompt-file are given"),
    ],
)
def test_a_prompt_file_that_cannot_be_used_is_refused(folder: Path, options: dict[str, Any], words: str) -> None:
    """In words."""
    (folder / "latin.txt").write_bytes("Größe".encode("latin-1"))
    with pytest.raises(UsageError, match=words):
        with_prompt(RunOptions(**options))


@pytest.mark.parametrize(
    ("source", "output"),
    [
        ("tasks.jsonl", "tasks.jsonl"),
        ("tasks.jsonl", "./sub/../tasks.jsonl"),
        ("jsonl:tasks.jsonl", "tasks.jsonl"),
        ("link.jsonl", "tasks.jsonl"),
        ("tasks.jsonl", "link.jsonl"),
        ("out.failed.jsonl", "out.jsonl"),
        ("out.failed.jsonl", "out.csv"),
        (Path("tasks.jsonl"), "tasks.jsonl"),
    ],
)
@pytest.mark.parametrize("fresh", [False, True])
def test_an_output_that_is_the_source_is_refused(
    folder: Path, sim: BackgroundSimulator, source: Any, output: str, fresh: bool
) -> None:
    """By whatever name; nothing is sent, and not a byte of it is touched."""
    content = '{"prompt": "a"}\n'
    (folder / "sub").mkdir()
    for name in ("tasks.jsonl", "out.failed.jsonl"):
        (folder / name).write_text(content)
    (folder / "link.jsonl").symlink_to("tasks.jsonl")
    before = sim.bill().requests
    with pytest.raises(UsageError, match="is the source, and would be written as well"):
        start(sim, source, output=(output,), fresh=fresh)
    assert sim.bill().requests == before
    assert {path.read_text() for path in folder.glob("*.jsonl")} == {content}
    assert not (folder / ".penstock").exists()


def test_rows_of_python_are_no_file(folder: Path, sim: BackgroundSimulator) -> None:
    """An output may have the name that they go by."""
    assert start(sim, ["a"], output=("rows.jsonl",)).totals.ok == 1


def test_what_the_run_was_given_is_remembered(folder: Path, sim: BackgroundSimulator) -> None:
    """With the template in place of its file, which may change: `retry` and `status` go by it."""
    (folder / "prompt.txt").write_text("Say {{ prompt }}")
    finished = start(sim, ["a"], prompt_file="prompt.txt", concurrency=3)
    command = [sys.executable, "-m", "penstock", "status", Path(finished.home).name, "--json"]
    shown = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    assert json.loads(shown)["totals"]["ok"] == 1


def test_too_few_open_files_lower_the_concurrency_and_say_so(folder: Path, sim: BackgroundSimulator) -> None:
    """The run goes on with what the machine allows."""
    (folder / "tasks.jsonl").write_text('{"prompt": "a"}\n' * 3)
    program = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256)); "
        "from penstock.cli.main import main; main(sys.argv[1:])"
    )
    words = ["run", "tasks.jsonl", "--base-url", sim.base_url, "-m", "m", "--concurrency", "5000"]
    ended = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "too few open files for 5000 calls at once; using 56" in ended.stderr
    assert "ulimit -n" in ended.stderr


@pytest.mark.parametrize("inside", [False, True], ids=["without a loop", "inside a loop"])
def test_work_is_done_with_or_without_a_loop(inside: bool) -> None:
    """Its result comes back, and so does what it raises."""

    async def work() -> str:
        return "done"

    async def fail() -> str:
        raise UsageError("not so")

    async def from_inside(job: Any) -> Any:
        return run_sync(job)

    def do(job: Any) -> Any:
        return asyncio.run(from_inside(job)) if inside else run_sync(job)

    assert do(work) == "done"
    with pytest.raises(UsageError, match="not so"):
        do(fail)


def test_options_that_are_refused_leave_nothing_behind(folder: Path, sim: BackgroundSimulator) -> None:
    """Not even an empty home."""
    with pytest.raises(UsageError):
        start(sim, ["a"], endpoint="nowhere")
    with pytest.raises(UsageError):
        start(sim, "missing.jsonl")
    with pytest.raises(UsageError):
        start(sim, ["a"], ca_file="missing.pem")
    assert list(folder.iterdir()) == []


def test_options_are_remembered_as_plain_values() -> None:
    """Every option can be written down and read back."""
    options = RunOptions(model="m", param={"seed": 1}, output=("a.csv",), limit=3)
    assert msgspec.convert(msgspec.to_builtins(options), RunOptions) == options
