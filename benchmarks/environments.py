"""A virtual environment for every contender, with exact versions, made when it is first used."""

import logging
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "requirements"
OWN = Path(sys.executable)
"""Penstock's own interpreter, for what must use the very packages that it uses."""

_log = logging.getLogger("bench")


class NoEnvironment(RuntimeError):
    """The packages cannot be installed; the message is the installer's error."""


@cache
def python_of(name: str) -> Path:
    """The interpreter of the environment with `requirements/<name>.txt`. Raises `NoEnvironment`."""
    wanted = (REQUIREMENTS / f"{name}.txt").read_bytes()
    folder = HERE / f".venv-{name}"
    python, installed = folder / "bin" / "python", folder / "installed.txt"
    if not installed.exists() or installed.read_bytes() != wanted:
        _log.info("making the environment of %s", name)
        shutil.rmtree(folder, ignore_errors=True)
        _run([sys.executable, "-m", "venv", folder])
        _run([python, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "-r", f"{name}.txt"])
        installed.write_bytes(wanted)
    return python


def versions_of(name: str) -> dict[str, str]:
    """The version of each package that an environment's lock file names."""
    lines = (REQUIREMENTS / f"{name}.txt").read_text().splitlines()
    pinned = (line.split(";")[0].split("\\")[0].strip().partition("==") for line in lines if "==" in line)
    return {package: version.strip() for package, _, version in pinned if not package.startswith("#")}


def _run(command: list[str | Path]) -> None:
    done = subprocess.run(command, cwd=REQUIREMENTS, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = (done.stderr.strip() or done.stdout.strip() or f"ended with {done.returncode}").splitlines()
        raise NoEnvironment(next((line for line in lines if line.startswith("ERROR")), lines[-1]))
