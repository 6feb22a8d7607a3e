"""The command line inside this process, in a folder of its own, and a provider to send to."""

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import msgspec
import pytest

from penstock.cli.main import main
from penstock.control.commands import Command
from penstock.engine.control import serving
from penstock.errors import UsageError
from penstock.events import Snapshot
from penstock.journal.lock import RunLock
from penstock.models import Totals
from penstock.simulator import BackgroundSimulator, SimulatorSettings, running

KEY = "sk-simulated-key-1"
STALL = "[[fault:stall=head]]"


class Ended(msgspec.Struct, frozen=True):
    """How a command ended and what it printed; `raw` is its standard output byte for byte."""

    code: int
    raw: bytes
    err: str

    @property
    def out(self) -> str:
        """Standard output as text."""
        return self.raw.decode()


class Cli(Protocol):
    """Call the command with these arguments."""

    def __call__(self, *arguments: str | Path) -> Ended:
        """How it ended."""
        ...


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to stand in, and an environment without anybody's keys, options and proxies."""
    for name in os.environ:
        if name.upper().startswith(("OPENAI_", "PENSTOCK_")) or name.upper().endswith(("_PROXY", "_API_KEY")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def cli(capfdbinary: pytest.CaptureFixture[bytes]) -> Cli:
    """Run a command in this process."""

    def call(*arguments: str | Path) -> Ended:
        capfdbinary.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        out, err = capfdbinary.readouterr()
        code = ended.value.code
        assert isinstance(code, int)
        return Ended(code, out, err.decode())

    return call


@pytest.fixture(scope="module")
def sim() -> Iterator[BackgroundSimulator]:
    """A provider that answers at once and needs no key."""
    with running() as simulator:
        yield simulator


@pytest.fixture(scope="module")
def strict_sim() -> Iterator[BackgroundSimulator]:
    """A provider with a key, two models and a limit of requests."""
    with running(SimulatorSettings(api_keys=(KEY,), models=("small", "medium"), rpm=600)) as simulator:
        yield simulator


def write_tasks(path: Path, prompts: dict[str, str]) -> Path:
    """A file with one task per key."""
    path.write_text("".join(json.dumps({"id": key, "prompt": prompt}) + "\n" for key, prompt in prompts.items()))
    return path


WriteTasks = Callable[[Path, dict[str, str]], Path]


@pytest.fixture(name="write_tasks")
def write_tasks_fixture() -> WriteTasks:
    """Write a file with one task per key."""
    return write_tasks


@pytest.fixture
def mixed_run(folder: Path, cli: Cli, sim: BackgroundSimulator) -> Ended:
    """The run `job`: of four tasks one was rejected and one stopped short. Its output is `out.jsonl`."""
    prompts = {"b": "two", "a": "one", "bad": "[[fault:status=400]]", "short": "[[fault:finish=length]]"}
    write_tasks(folder / "tasks.jsonl", prompts)
    return cli("run", "tasks.jsonl", "--base-url", sim.base_url, "-m", "m", "-o", "out.jsonl", "--name", "job")


class LiveRun:
    """The run `live` in a process of its own: `done` is settled, and `stuck` waits for an answer that never comes."""

    def __init__(self, folder: Path, process: subprocess.Popen[str]) -> None:
        self.home = folder / "home"
        self.output = folder / "live-out.jsonl"
        self._process = process

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def wait_event(self, kind: str, found: Callable[[dict[str, Any]], bool] = lambda event: True) -> None:
        """Return once it has printed an event of this kind for which `found` holds."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            event = json.loads(line)
            if event["type"] == kind and found(event):
                return
        raise AssertionError(f"it ended without such a {kind}")

    def wait(self) -> int:
        """Its exit code, once it has ended."""
        with self._process:
            assert self._process.stdout is not None
            if not self._process.stdout.closed:
                self._process.stdout.read()
        return self._process.returncode

    def kill(self) -> None:
        """End it as a power cut would."""
        self._process.kill()
        self.wait()


@contextmanager
def living(folder: Path, sim: BackgroundSimulator) -> Iterator[LiveRun]:
    """A run that goes on until it is killed, with its files in `folder`."""
    write_tasks(folder / "live.jsonl", {"done": "one", "stuck": STALL})
    words = ["run", "live.jsonl", "--base-url", sim.base_url, "-m", "m", "-o", "live-out.jsonl", "--json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "penstock", *words, "--name", "live", "--home", "home"],
        cwd=folder,
        env={"PATH": os.environ["PATH"]},
        stdout=subprocess.PIPE,
        text=True,
    )
    run = LiveRun(folder, process)
    try:
        run.wait_event("progress", lambda event: event["totals"]["ok"] == 1)
        yield run
    finally:
        run.kill()


@pytest.fixture
def live_run(folder: Path, sim: BackgroundSimulator) -> Iterator[LiveRun]:
    """A live run for one test, which may end it."""
    with living(folder, sim) as run:
        yield run


@pytest.fixture(scope="module")
def shared_live_run(tmp_path_factory: pytest.TempPathFactory, sim: BackgroundSimulator) -> Iterator[LiveRun]:
    """A live run for the tests of a module, which only look at it."""
    with living(tmp_path_factory.mktemp("live"), sim) as run:
        yield run


class ListeningRun:
    """A run that works on nothing, notes what it is told, and says of itself what `show` was given."""

    def __init__(self) -> None:
        self.commands: list[Command] = []
        self.refusal: str | None = None
        self._snapshot = Snapshot(1.0, Totals(), None, 0, 0, 0, 20, "nothing")

    def show(self, **fields: Any) -> None:
        """Say this from now on."""
        self._snapshot = msgspec.structs.replace(self._snapshot, **fields)

    async def control(self, command: Command) -> str:
        """Note it."""
        if self.refusal:
            raise UsageError(self.refusal)
        self.commands.append(command)
        return f"Done: {type(command).__name__}."

    def live(self) -> Snapshot:
        """What it was given to show."""
        return self._snapshot


@pytest.fixture
def listening_run(folder: Path, mixed_run: Ended) -> Iterator[ListeningRun]:
    """The run `job` as if a process worked on it, on a thread of its own."""
    run, troubles, listening, enough = ListeningRun(), list[str](), threading.Event(), threading.Event()

    async def live() -> None:
        async with serving(folder / ".penstock" / "job", run, troubles.append):
            listening.set()
            await asyncio.to_thread(enough.wait)

    thread = threading.Thread(target=lambda: asyncio.run(live()), daemon=True)
    with RunLock(folder / ".penstock" / "job"):
        thread.start()
        listening.wait()
        try:
            yield run
        finally:
            enough.set()
            thread.join()
    assert troubles == []


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects in a file of JSON lines."""
    return [json.loads(line) for line in path.read_text().splitlines()]


ReadLines = Callable[[Path], list[dict[str, Any]]]


@pytest.fixture(name="read_lines")
def read_lines_fixture() -> ReadLines:
    """Read a file of JSON lines."""
    return read_lines
