"""A disk that fills up pauses the run: what was bought is kept, and with more space the same command goes on."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from penstock.simulator import BackgroundSimulator, SimulatorSettings, running

if TYPE_CHECKING:
    from tests.e2e.conftest import Ended, Penstock

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600, func_only=True)]

TASKS = 3000
PROVIDER = SimulatorSettings(output_tokens=600)
"""Its answers take about 2.5 kB each, so that all of them need 8 MB in the journal and 8 MB in the output."""


class SmallDisk:
    """A file system of a few MB that can be made larger."""

    def __init__(self, folder: Path, megabytes: float, must_mount: bool) -> None:
        folder.mkdir()
        self.folder = folder
        self._must_mount = must_mount
        self._mount("-t", "tmpfs", "-o", f"size={int(megabytes * 1024)}k", "tmpfs")

    def grow(self, megabytes: int) -> None:
        """Give it more space."""
        self._mount("-o", f"remount,size={megabytes}m")

    def close(self) -> None:
        """Take it away."""
        subprocess.run([*_as_root(), "umount", "--lazy", str(self.folder)], check=True)

    def _mount(self, *words: str) -> None:
        command = [*_as_root(), "mount", *words, str(self.folder)]
        mounted = subprocess.run(command, capture_output=True, text=True, check=False)
        if mounted.returncode == 0:
            return
        assert not self._must_mount, f"CI must be able to mount: {mounted.stderr}"
        pytest.skip(f"no small disk without the right to mount: {mounted.stderr}")


MountDisk = Callable[[float], SmallDisk]


def _as_root() -> list[str]:
    return [] if os.geteuid() == 0 else ["sudo", "-n"]


@pytest.fixture
def small_disk(penstock: Penstock, in_ci: bool) -> Iterator[MountDisk]:
    """Mounts a disk of so many megabytes as the folder `disk`."""
    disks: list[SmallDisk] = []

    def mount(megabytes: float) -> SmallDisk:
        disks.append(SmallDisk(penstock.folder / "disk", megabytes, must_mount=in_ci))
        return disks[-1]

    yield mount
    for disk in disks:
        disk.close()


class Story:
    """One run, with its journal and its output where a test wants them."""

    def __init__(self, penstock: Penstock, sim: BackgroundSimulator, home: str, output: str) -> None:
        self.penstock = penstock
        self.sim = sim
        self.home = home
        self.output = output

    def run(self) -> Ended:
        """Run the command, or go on with it."""
        words = ["--base-url", self.sim.base_url, "--model", "m", "--prompt", "Say {{ text }}", "--concurrency", "50"]
        return self.penstock.run("run", "tasks.jsonl", *words, "--home", self.home, "-o", self.output)

    def keys(self) -> list[str]:
        """The keys in the output, as they stand."""
        lines = (self.penstock.folder / self.output).read_text().splitlines()
        return [json.loads(line)["key"] for line in lines]


@pytest.mark.parametrize(
    ("home", "output", "megabytes"),
    [
        ("disk/runs", "disk/out.jsonl", 12),
        ("disk/runs", "out.jsonl", 9),
        ("disk/runs", "out.jsonl", 4.2),
        ("runs", "disk/out.jsonl", 5),
    ],
    ids=["journal and output", "journal", "hardly the journal", "output"],
)
def test_a_disk_that_fills_up_loses_nothing(
    penstock: Penstock, rows: Callable[[int], str], small_disk: MountDisk, home: str, output: str, megabytes: float
) -> None:
    """The run pauses and says why, also when begun again; with more space it ends, and each task was bought once."""
    disk = small_disk(megabytes)
    penstock.write("tasks.jsonl", rows(TASKS))
    with running(PROVIDER) as sim:
        story = Story(penstock, sim, home, output)
        for _ in range(2):
            paused = story.run()
            assert paused.code == 3, paused.err
            assert "free some space" in paused.err.lower()
            assert "same command again" in paused.err
        assert 0 < penstock.verify(home).totals.ok == sim.bill().billed
        disk.grow(100)
        finished = story.run()

        assert finished.code == 0, finished.err
        assert story.keys() == [f"k{number}" for number in range(TASKS)]
        assert penstock.verify(home).totals.ok == sim.bill().billed == TASKS


@pytest.mark.parametrize("megabytes", [0.02, 1], ids=["nothing", "little"])
def test_on_a_disk_without_space_nothing_is_begun(
    penstock: Penstock, rows: Callable[[int], str], small_disk: MountDisk, megabytes: float
) -> None:
    """Before anything is sent the run pauses and asks for space, and it can be begun when there is some."""
    disk = small_disk(megabytes)
    penstock.write("tasks.jsonl", rows(10))
    with running(PROVIDER) as sim:
        story = Story(penstock, sim, "disk/runs", "out.jsonl")
        paused = story.run()

        assert (paused.code, sim.bill().requests) == (3, 0), paused.err
        assert "free some space" in paused.err.lower()
        disk.grow(100)
        assert story.run().code == 0


def test_answers_too_large_for_the_full_disk_are_disclosed(
    penstock: Penstock, rows: Callable[[int], str], small_disk: MountDisk
) -> None:
    """What was answered and found no place any more is counted among the calls that may have been billed."""
    disk = small_disk(9)
    tasks = 150
    penstock.write("tasks.jsonl", rows(tasks))
    with running(SimulatorSettings(output_tokens=40_000)) as sim:
        story = Story(penstock, sim, "disk/runs", "out.jsonl")
        assert story.run().code == 3
        disk.grow(200)
        assert story.run().code == 0
        assert penstock.verify("disk/runs").totals.unknown >= sim.bill().billed - tasks
