"""Commands run to their end, and what they took of the machine."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

SAMPLED_EVERY_S = 0.05
LONGEST_S = 900.0
OUTPUT = "last-words"
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class CommandFailed(RuntimeError):
    """A command that ended badly; the message is its last line."""


class Measured(msgspec.Struct, frozen=True):
    """What one command took with all its threads and child processes, from its start to its end.

    `cpu_s` is user and system time. `peak_mb` sums the peaks of all its processes. `cpu_samples` are pairs of a time,
    in seconds since the epoch, and the CPU that it had taken until then. `upstream` and `others` are how many cores the
    upstream and everything else on the machine kept busy meanwhile.
    """

    began_s: float
    seconds: float
    cpu_s: float
    peak_mb: float
    cpu_samples: tuple[tuple[float, float], ...]
    upstream: float
    others: float

    def cpu_until(self, moment_s: float) -> float:
        """The CPU taken until a moment."""
        before = (self.began_s, 0.0)
        for sample in self.cpu_samples:
            if sample[0] >= moment_s:
                share = (moment_s - before[0]) / (sample[0] - before[0])
                return before[1] + share * (sample[1] - before[1])
            before = sample
        return self.cpu_s


def measure(
    command: Sequence[str | Path],
    folder: Path,
    *,
    environment: Mapping[str, str] | None = None,
    upstream: int | None = None,
    longest_s: float = LONGEST_S,
) -> Measured:
    """Run a command in `folder`. Raises `CommandFailed`, also where it takes longer than `longest_s`."""
    output = folder / OUTPUT
    busy_s, upstream_s = _busy_s(), _cpu_of(upstream)
    with output.open("wb") as file:
        began_s = time.time()
        process = subprocess.Popen(
            command, cwd=folder, stdout=file, stderr=file, env=environment, start_new_session=True
        )
        sampler = _Sampler(process.pid)
        limit = threading.Timer(longest_s, _kill_all, [process.pid])
        sampler.start()
        limit.start()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.time() - began_s
        timed_out = limit.finished.is_set()
        limit.cancel()
        sampler.stop()
        _kill_all(process.pid)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise CommandFailed(f"took longer than {longest_s:.0f} s" if timed_out else _last_line(output, process))
    cpu_s = usage.ru_utime + usage.ru_stime
    upstream_s = _cpu_of(upstream) - upstream_s
    others_s = _busy_s() - busy_s - upstream_s - cpu_s
    return Measured(
        began_s=began_s,
        seconds=seconds,
        cpu_s=cpu_s,
        peak_mb=sampler.peak_mb or usage.ru_maxrss / 1024,
        cpu_samples=tuple(sampler.cpu_samples),
        upstream=upstream_s / seconds,
        others=max(0.0, others_s / seconds),
    )


class _Sampler(threading.Thread):
    """Reads from the kernel what a process and its descendants have taken, while they live.

    The peak that the kernel keeps for `wait4` begins with that of the process which forked, so it is read from the
    process itself.
    """

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self._ended = threading.Event()
        self.peak_mb = 0.0
        self.cpu_samples: list[tuple[float, float]] = []

    def run(self) -> None:
        while not self._ended.wait(SAMPLED_EVERY_S):
            family = _family(self._pid)
            self.peak_mb = max(self.peak_mb, sum(_peak_mb(pid) for pid in family))
            if cpu_s := sum(_cpu_s(pid) for pid in family):
                self.cpu_samples.append((time.time(), cpu_s))

    def stop(self) -> None:
        """Take no more samples."""
        self._ended.set()
        self.join()


def _family(pid: int) -> list[int]:
    """A process and all that descend from it; itself alone where the kernel does not tell."""
    family = [pid]
    for parent in family:
        with suppress(OSError):
            for thread in os.scandir(f"/proc/{parent}/task"):
                with suppress(OSError):
                    family += map(int, Path(thread.path, "children").read_bytes().split())
    return family


def _peak_mb(pid: int) -> float:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_bytes().splitlines():
            if line.startswith(b"VmHWM:"):
                return int(line.split()[1]) / 1024
    return 0.0


def _cpu_s(pid: int) -> float:
    """User and system time of a process and of those children that it has waited for."""
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return sum(map(int, fields[11:15])) / TICKS_PER_S
    return 0.0


def _cpu_of(pid: int | None) -> float:
    return sum(map(_cpu_s, _family(pid))) if pid is not None else 0.0


def _busy_s() -> float:
    """How long the machine's cores have been busy in all, this process's own part left out."""
    own = os.times()
    with suppress(OSError):
        user, nice, system, _, _, irq, soft_irq, steal = map(int, Path("/proc/stat").read_bytes().split()[1:9])
        return (user + nice + system + irq + soft_irq + steal) / TICKS_PER_S - own.user - own.system
    return 0.0


def _kill_all(group: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def _last_line(output: Path, process: subprocess.Popen[bytes]) -> str:
    lines = [line for line in output.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip()[:200] if lines else f"ended with {process.returncode}"
