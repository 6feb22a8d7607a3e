"""The installed command, as a user has it: the wheel of this tree in an environment of its own, never `src`.

Dependencies are installed once for each lock file, under `.venv-e2e/`; a session links them into a fresh environment
and installs the wheel there.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest

from penstock.journal.verify import Verified, verify

ROOT = Path(__file__).parents[2]
LOCK_FILE = ROOT / "requirements" / "all.txt"
CACHE = ROOT / ".venv-e2e"
ENDS_WITHIN_S = 300.0


class Ended(msgspec.Struct, frozen=True):
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str

    def events(self, kind: str) -> list[dict[str, Any]]:
        """The events of one kind that `--json` printed."""
        events = [json.loads(line) for line in self.out.splitlines()]
        return [event for event in events if event["type"] == kind]


class Penstock:
    """The installed command in a folder of its own, with nothing in its environment that was not put there."""

    def __init__(self, command: Path, folder: Path) -> None:
        self.command = command
        self.folder = folder
        self.environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "LANG": "C.UTF-8"}
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self, *arguments: str | Path, stdin: Path | None = None) -> subprocess.Popen[bytes]:
        """Start the command, with the file `stdin` piped into it where one is given."""
        feeder = None if stdin is None else subprocess.Popen(["cat", stdin], stdout=subprocess.PIPE)
        process = subprocess.Popen(
            [self.command, *arguments],
            cwd=self.folder,
            env=self.environment,
            stdin=feeder.stdout if feeder else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        if feeder and feeder.stdout:
            feeder.stdout.close()
        self._started += [process, feeder] if feeder else [process]
        return process

    def run(
        self,
        *arguments: str | Path,
        stdin: bytes = b"",
        prefix: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> Ended:
        """Run the command to its end, with `prefix` before it as `env` or `nice` would stand."""
        finished = subprocess.run(
            [*prefix, self.command, *arguments],
            cwd=self.folder,
            env=self.environment | dict(environment or {}),
            input=stdin,
            capture_output=True,
            timeout=ENDS_WITHIN_S,
            check=False,
        )
        return Ended(finished.returncode, finished.stdout.decode(), finished.stderr.decode())

    def write(self, name: str, content: str | bytes) -> Path:
        """Put a file into the folder."""
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def verify(self, home: str = ".penstock") -> Verified:
        """What the one journal under `home` proves, which must be sound."""
        (journal,) = (self.folder / home).glob("*/journal.db")
        verified = verify(journal)
        assert verified.problems == []
        return verified

    def close(self) -> None:
        """End what is still running."""
        for process in self._started:
            process.kill()
            process.wait()
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()


@pytest.fixture(scope="session")
def in_ci() -> bool:
    """Whether every test must run: where CI is set, what cannot be tried fails and is not skipped."""
    return bool(os.environ.get("CI"))


@pytest.fixture
def make_penstock(installed: Path, tmp_path: Path) -> Iterator[Callable[[], Penstock]]:
    """Each call gives the installed command in a new, empty folder."""
    made: list[Penstock] = []

    def make() -> Penstock:
        folder = tmp_path / f"folder-{len(made)}"
        folder.mkdir()
        made.append(Penstock(installed, folder))
        return made[-1]

    yield make
    for penstock in made:
        penstock.close()


@pytest.fixture
def penstock(make_penstock: Callable[[], Penstock]) -> Penstock:
    """The installed command in an empty folder."""
    return make_penstock()


@pytest.fixture
def rows() -> Callable[[int], str]:
    """So many rows of JSONL, with the keys `k0`, `k1`, …, for the prompt `{{ text }}`."""

    def rows(count: int, text: str = "Word") -> str:
        return "".join(json.dumps({"id": f"k{number}", "text": f"{text} {number}"}) + "\n" for number in range(count))

    return rows


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The `penstock` command of a wheel built from this tree."""
    wheels = tmp_path_factory.mktemp("wheel")
    _call(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", wheels)
    (wheel,) = wheels.glob("*.whl")
    with _dependencies() as packages:
        environment = Path(tempfile.mkdtemp(prefix="session-", dir=CACHE))
        python = _make_environment(environment)
        shutil.copytree(packages, _packages(environment), copy_function=os.link, dirs_exist_ok=True)
    _pip(python, "install", "--no-deps", "--no-index", wheel)
    yield environment / "bin" / "penstock"
    shutil.rmtree(environment)


@contextmanager
def _dependencies() -> Iterator[Path]:
    """The folder of the installed dependencies, kept for as long as the block lasts."""
    key = sha256(LOCK_FILE.read_bytes() + sys.version.encode()).hexdigest()[:16]
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        packages = CACHE / key
        if not packages.exists():
            unfinished = CACHE / "unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)
            python = _make_environment(unfinished)
            _pip(python, "install", "--no-deps", "--require-hashes", "-r", LOCK_FILE)
            _packages(unfinished).rename(packages)
            shutil.rmtree(unfinished)
        yield packages


def _make_environment(folder: Path) -> Path:
    _call(sys.executable, "-m", "venv", "--without-pip", folder)
    return folder / "bin" / "python"


def _packages(environment: Path) -> Path:
    (packages,) = environment.glob("lib/python*/site-packages")
    return packages


def _pip(python: Path, *arguments: str | Path) -> None:
    _call(sys.executable, "-m", "pip", "--python", python, *arguments)


def _call(*command: str | Path) -> None:
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, f"{command}\n{finished.stdout}\n{finished.stderr}"
