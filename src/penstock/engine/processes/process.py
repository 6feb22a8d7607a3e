"""A worker's process, as the driver holds it: started, spoken to, killed and reaped."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping

from penstock.engine.processes.channel import Channel
from penstock.redaction import redact

COMMAND = (sys.executable, "-P", "-m", "penstock.engine.processes.worker")
"""-P: a file of the user's in the current folder must not shadow a module of ours."""
IGNORED_SIGNALS = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
"""They may reach every process of a container, and are for the run: its workers end with it."""
KEPT_BYTES = 4_000
"""So much is kept of what it says on standard error, the last of it: that tells why it died."""


class WorkerProcess:
    """A process and the channel to it, which calls the given functions. Raises `OSError` where none can be had."""

    def __init__(
        self,
        next_frame: Callable[[], bytearray | None],
        on_frame: Callable[[memoryview], None],
        on_end: Callable[[], None],
        environment: Mapping[str, str],
    ) -> None:
        own, other = socket.socketpair()
        with other:
            try:
                self._process = _start(other, environment)
            except OSError:
                own.close()
                raise
        assert self._process.stderr is not None
        self._errors = self._process.stderr
        os.set_blocking(self._errors.fileno(), False)
        self._said = b""
        self._silent_s: float | None = None
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._errors, self._hear)
        self.channel = Channel(own, next_frame, on_frame, on_end)

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    @property
    def last_line(self) -> str:
        """The last that it said on standard error; empty where it said nothing."""
        lines = self._said.decode("utf-8", "replace").split("\n")
        return redact(next((line.strip() for line in reversed(lines) if line.strip()), ""))

    def kill(self) -> None:
        """End it at once: it has nothing to save. Safe to call twice."""
        self.channel.close()
        self._process.kill()

    def kill_silent(self, silent_s: float) -> None:
        """End it because nothing came from it for so long."""
        self._silent_s = silent_s
        self.kill()

    @property
    def ended_by_itself(self) -> bool:
        """Whether it ended with an exit code, once it was reaped: another one would end likewise."""
        return self._process.returncode is not None and self._process.returncode >= 0

    async def reap(self) -> str:
        """Kill it, and say in words how it ended once it is gone. Only once."""
        self.kill()
        code = await asyncio.to_thread(self._process.wait)
        self._loop.remove_reader(self._errors)
        self._hear()
        self._errors.close()
        if self._silent_s is not None:
            how = f"was killed, for nothing had come from it for {self._silent_s:.0f} s"
        else:
            how = _end(code)
        return f"{how}: {self.last_line}" if self.last_line else how

    def _hear(self) -> None:
        try:
            said = os.read(self._errors.fileno(), 65_536)
        except BlockingIOError:
            return
        if not said:
            self._loop.remove_reader(self._errors)
        self._said = (self._said + said)[-KEPT_BYTES:]


def _end(code: int) -> str:
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def _start(connection: socket.socket, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """A worker inherits that signals are held back, until it ignores them: none reaches it in between."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, IGNORED_SIGNALS)
    try:
        return subprocess.Popen(
            COMMAND,
            env=environment,
            stdin=connection.fileno(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            # Ctrl-C in the terminal is for the run, which may let its calls finish.
            start_new_session=True,
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
