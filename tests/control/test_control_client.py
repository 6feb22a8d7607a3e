"""Talking to a run from another process: what is said when nobody, or somebody else, is there."""

import asyncio
import socket
from pathlib import Path

import pytest

from penstock.control.address import LONGEST_PATH_BYTES, SOCKET_FILE, short_path
from penstock.control.client import look, order
from penstock.control.commands import Pause
from penstock.errors import UsageError


def ask_somebody_who_says(folder: Path, answer: bytes) -> None:
    """Order a pause from a server that answers whatever it is asked."""

    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(answer)
        writer.close()

    async def ask() -> None:
        async with await asyncio.start_unix_server(reply, folder / SOCKET_FILE):
            await asyncio.to_thread(order, folder, Pause())

    asyncio.run(ask())


def test_a_run_without_a_socket_does_not_listen(tmp_path: Path) -> None:
    """It is named, and what may be the matter."""
    with pytest.raises(UsageError, match=rf"{tmp_path.name}' does not listen \(No such file"):
        look(tmp_path)


def test_a_socket_that_was_left_behind_does_not_listen(tmp_path: Path) -> None:
    """Its process was killed."""
    with socket.socket(socket.AF_UNIX) as left, short_path(tmp_path) as path:
        left.bind(path)
    with pytest.raises(UsageError, match="does not listen"):
        order(tmp_path, Pause())


def test_a_system_without_unix_sockets_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Instead of an AttributeError."""
    monkeypatch.delattr(socket, "AF_UNIX")
    with pytest.raises(UsageError, match="this system has none"):
        order(tmp_path, Pause())


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"", "hung up before it answered"),
        (b'{"type":"done","words":"Pau', "hung up before it answered"),
        (b"<html>\n", "cannot be read"),
        (b'{"type":"told","snapshot":{}}\n', "cannot be read"),
        (b'{"type":"refused","message":"No.","hint":"Later."}\n', "No."),
    ],
)
def test_an_answer_that_is_none_is_wrong_usage(tmp_path: Path, answer: bytes, words: str) -> None:
    """Never a traceback."""
    with pytest.raises(UsageError, match=words):
        ask_somebody_who_says(tmp_path, answer)


@pytest.mark.parametrize("length", [20, 300])
def test_a_path_to_the_socket_is_short_and_leads_there(tmp_path: Path, length: int) -> None:
    """However long the folder's own is; nothing is left of the way."""
    folder = tmp_path / ("n" * (length // 2)) / ("m" * (length // 2))
    folder.mkdir(parents=True)
    with short_path(folder) as path:
        assert len(path) <= LONGEST_PATH_BYTES
        Path(path).touch()
        assert (folder / SOCKET_FILE).exists()
    made = Path(path).parent
    assert made == folder or not made.parent.exists()
