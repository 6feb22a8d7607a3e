"""Where a run listens: a socket in its folder, reached by a path that is short enough for one."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from penstock.errors import UsageError

SOCKET_FILE = "control.sock"
LONGEST_PATH_BYTES = 100
"""Linux takes 107 bytes, macOS 103."""


@contextmanager
def short_path(folder: Path) -> Iterator[str]:
    """A path to the folder's socket that a socket address can hold, for as long as the block lasts.

    Where the folder's own is too long, the way leads over a link in a private folder. The socket itself always stands
    in the run's folder. Raises `OSError` where no such link can be made.
    """
    path = str(folder / SOCKET_FILE)
    if len(os.fsencode(path)) <= LONGEST_PATH_BYTES:
        yield path
        return
    from tempfile import TemporaryDirectory

    with TemporaryDirectory(prefix="penstock-") as private:
        link = Path(private) / "run"
        link.symlink_to(folder.absolute())
        yield str(link / SOCKET_FILE)


def make_socket() -> socket.socket:
    """A Unix socket. Raises `UsageError` on a system without them."""
    family = getattr(socket, "AF_UNIX", None)
    if family is None:
        raise UsageError(
            "A run is controlled through a Unix socket, and this system has none.",
            "Ctrl-C stops a run; options can be changed when it goes on.",
        )
    return socket.socket(family, socket.SOCK_STREAM)
