"""The page of results, from what was measured."""

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from benchmarks.environments import REQUIREMENTS, versions_of

from penstock.version import __version__

CPU_MODEL = b"model name"
NAMED = ("lm-deluge", "flexllm", "async-batch-llm", "litellm", "aiohttp", "pyreqwest", "wreq", "pyqwest")


class Table(msgspec.Struct, frozen=True):
    """One thing that was measured. `note` stands above it and says how to read it."""

    title: str
    head: Sequence[str]
    lines: Sequence[Sequence[str]]
    note: str = ""

    def markdown(self) -> str:
        """As it stands on the page."""
        rows = [self.head, ["---"] * len(self.head), *self.lines]
        note = f"{self.note}\n\n" if self.note else ""
        return f"## {self.title}\n\n{note}" + "".join(f"| {' | '.join(row)} |\n" for row in rows)


class Setting(msgspec.Struct, frozen=True):
    """What a measurement was made on: the load before it, and the cores that others kept busy during it."""

    rounds: int
    load: float
    others: float
    command: str


def page(tables: Sequence[Table], setting: Setting, picture: str | None) -> str:
    """The whole page."""
    first = Table("Machine", ["what", "value"], _machine(setting))
    shown = f"![Requests per second and CPU per request]({picture})\n\n" if picture else ""
    head = f"# Results\n\nWritten by `{setting.command}`. How to read it: [performance](../docs/performance.md).\n\n"
    return head + shown + "\n".join(table.markdown() for table in [first, *tables])


def figure(value: float | None, unit: str = "", digits: int = 0) -> str:
    """A number as it stands in a table."""
    return "–" if value is None else f"{value:,.{digits}f}{unit}"


def percent(value: float | None) -> str:
    """A share as it stands in a table."""
    return "–" if value is None else f"{value:.0%}"


def _machine(setting: Setting) -> list[list[str]]:
    lines = [
        ["date", f"{datetime.now(UTC):%Y-%m-%d}"],
        ["machine", f"{os.cpu_count()} cores{_processor()}, {platform.system()} {platform.machine()}"],
        ["Python", platform.python_version()],
        ["penstock", __version__],
        ["others", ", ".join(f"{name} {version}" for name, version in _versions().items())],
        ["rounds", str(setting.rounds)],
        ["load average at the start", f"{setting.load:.1f}"],
        ["cores kept busy by other work meanwhile", f"{setting.others:.1f}"],
    ]
    if setting.others > 0.2:
        lines.append(["beware", "other work was running on the machine; times are longer than they need be"])
    return lines


def _versions() -> dict[str, str]:
    every: dict[str, str] = {}
    for path in sorted(REQUIREMENTS.glob("*.txt")):
        every |= versions_of(path.stem)
    return {name: every[name] for name in NAMED}


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_bytes().splitlines() if information.exists() else []
    return next((f" of {line.split(b':')[1].strip().decode()}" for line in lines if line.startswith(CPU_MODEL)), "")
