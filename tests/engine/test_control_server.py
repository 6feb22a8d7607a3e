"""The socket of a run: who may speak, what is done, and that nobody who connects can hurt the run."""

import asyncio
import os
import select
import socket
import stat
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import uvloop

from penstock.control.address import SOCKET_FILE, short_path
from penstock.control.client import look, order
from penstock.control.commands import Command, Drain, Pause, ReloadKeys, Resume, SetValue, Status, Stop
from penstock.control.wire import Refused, decode_reply, encode_request
from penstock.engine.control import MOST_CLIENTS, listen, serving
from penstock.errors import UsageError
from penstock.events import ScopeStatus, Snapshot
from penstock.models import Totals

HARD_LIMIT_S = 60.0
"""Nothing here takes a second; what takes this long hangs."""


def done(command: Command) -> str:
    """What the run here says of a command."""
    return f"Done: {command}."


class Obedient:
    """A run that notes what it is told, refuses 13 and fails at 666.

    `looked` is set when it was asked how it stands, `stopped` when it was told to end.
    """

    def __init__(self, scopes: int = 1) -> None:
        self.commands: list[Command] = []
        self.looked = asyncio.Event()
        self.stopped = asyncio.Event()
        scope = ScopeStatus("sim", "key 1", "m", 20, 12, None, None, "nothing")
        self.snapshot = Snapshot(1.0, Totals(ok=3), None, 0, 12, 0, 20, "nothing", scopes=(scope,) * scopes)

    async def control(self, command: Command) -> str:
        """Do it."""
        match command:
            case SetValue(_, 13):
                raise UsageError("13 is unlucky.", "Take 14.")
            case SetValue(_, 666):
                raise RuntimeError("a defect")
            case Stop():
                self.stopped.set()
        self.commands.append(command)
        return done(command)

    def live(self) -> Snapshot:
        """How it stands."""
        self.looked.set()
        return self.snapshot


class Caller:
    """Somebody who connects and speaks as he likes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def __aenter__(self) -> "Caller":
        with short_path(self._folder) as path:
            self._reader, self._writer = await asyncio.open_unix_connection(path, limit=2**26)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.transport.abort()

    def say(self, words: bytes, *, last: bool = False) -> None:
        """Send this; when it is the last, close this direction."""
        self._writer.write(words)
        if last:
            self._writer.write_eof()

    async def hear(self) -> bytes:
        """Everything until the other side hangs up."""
        try:
            return await self._reader.read()
        except ConnectionError:
            return b""


Story = Callable[[Obedient], Awaitable[None]]
Play = Callable[..., tuple[Obedient, list[str]]]
"""Let a story happen to a run that listens in a folder; the run, and what it was told of trouble."""


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def play(request: pytest.FixtureRequest, tmp_path: Path) -> Play:
    """On both event loops that a run may have, in a folder of its own unless told otherwise."""

    def play(
        story: Story,
        folder: Path | None = None,
        *,
        scopes: int = 1,
        patience_s: float = HARD_LIMIT_S,
        user_id: int | None = None,
    ) -> tuple[Obedient, list[str]]:
        async def whole() -> tuple[Obedient, list[str]]:
            run, troubles = Obedient(scopes), list[str]()
            where = folder or tmp_path
            async with serving(where, run, troubles.append, patience_s=patience_s, user_id=user_id):
                await story(run)
            return run, troubles

        with asyncio.Runner(loop_factory=request.param) as runner:
            return runner.run(asyncio.wait_for(whole(), HARD_LIMIT_S))

    return play


async def tell(folder: Path, command: Command) -> str:
    """Order something as `penstock ctl` does."""
    return await asyncio.to_thread(order, folder, command)


def test_every_command_arrives_and_is_answered(play: Play, tmp_path: Path) -> None:
    """In the order in which they are given, with the run's own words."""
    told: list[str] = []
    commands: list[Command] = [Pause(), Resume(), SetValue("rpm", 600.0), ReloadKeys(), Drain(), Stop()]

    async def story(run: Obedient) -> None:
        told.extend([await tell(tmp_path, command) for command in commands])

    run, troubles = play(story)
    assert run.commands == commands
    assert told == [done(command) for command in commands]
    assert troubles == []


def test_a_look_changes_nothing(play: Play, tmp_path: Path) -> None:
    """It brings the whole snapshot, a large one too."""
    seen: list[Snapshot] = []

    async def story(run: Obedient) -> None:
        seen.append(await asyncio.to_thread(look, tmp_path))

    run, _ = play(story, scopes=5000)
    assert seen == [run.snapshot]
    assert run.commands == []


def test_what_the_run_refuses_is_wrong_usage_for_the_client(play: Play, tmp_path: Path) -> None:
    """With the run's message and hint."""

    async def story(run: Obedient) -> None:
        with pytest.raises(UsageError) as refused:
            await tell(tmp_path, SetValue("concurrency", 13))
        assert (refused.value.message, refused.value.hint) == ("13 is unlucky.", "Take 14.")

    play(story)


def test_a_defect_is_told_to_the_client_and_ends_nothing(play: Play, tmp_path: Path) -> None:
    """The next command is done."""

    async def story(run: Obedient) -> None:
        with pytest.raises(UsageError, match="The command failed: RuntimeError: a defect"):
            await tell(tmp_path, SetValue("concurrency", 666))
        await tell(tmp_path, Pause())

    assert play(story)[0].commands == [Pause()]


def test_the_socket_is_its_users_alone(tmp_path: Path) -> None:
    """Whatever the process lets others do with its files."""
    before = os.umask(0)
    try:
        with listen(tmp_path):
            mode = (tmp_path / SOCKET_FILE).stat().st_mode
    finally:
        os.umask(before)
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600


def test_another_user_is_refused(play: Play, tmp_path: Path) -> None:
    """Even one who came past the mode of the socket."""

    async def story(run: Obedient) -> None:
        with pytest.raises(UsageError, match="Only the user who runs it"):
            await tell(tmp_path, Stop())

    run, _ = play(story, user_id=os.getuid() + 1)
    assert run.commands == []


def test_a_long_path_is_no_obstacle(play: Play, tmp_path: Path) -> None:
    """The socket stands in the run's folder all the same, and is gone at the end."""
    long_folder = tmp_path / ("a" * 120) / ("b" * 120)
    long_folder.mkdir(parents=True)

    async def story(run: Obedient) -> None:
        assert (long_folder / SOCKET_FILE).is_socket()
        await tell(long_folder, Pause())

    run, troubles = play(story, long_folder)
    assert (run.commands, troubles) == ([Pause()], [])
    assert list(long_folder.iterdir()) == []


def test_the_socket_of_a_killed_process_gives_way(play: Play, tmp_path: Path) -> None:
    """The new one is heard."""
    listen(tmp_path).close()
    assert (tmp_path / SOCKET_FILE).is_socket()

    async def story(run: Obedient) -> None:
        await tell(tmp_path, Pause())

    assert play(story)[0].commands == [Pause()]
    assert list(tmp_path.iterdir()) == []


def test_the_socket_goes_when_the_run_fails(play: Play, tmp_path: Path) -> None:
    """And the run's own error is what is raised."""

    async def story(run: Obedient) -> None:
        raise RuntimeError("the run's own")

    with pytest.raises(RuntimeError, match="the run's own"):
        play(story)
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_cannot_listen_works_without(play: Play, tmp_path: Path) -> None:
    """It says why, once."""
    (tmp_path / SOCKET_FILE).mkdir()

    async def story(run: Obedient) -> None:
        await run.control(Pause())

    run, troubles = play(story)
    assert (run.commands, len(troubles)) == ([Pause()], 1)
    assert "takes no commands from `penstock ctl`: " in troubles[0]


@pytest.mark.parametrize(
    "words",
    [
        b"\n",
        b"pause\n",
        b"\xff\xfe\x00\n",
        b"{}\n",
        b'{"type":"fly"}\n',
        b'{"type":"set","name":"rpm"}\n',
        b'{"type":"set","name":"home","value":"/"}\n',
        b'{"type":"set","name":"concurrency","value":[1]}\n',
        b'{"type":"set","name":"concurrency","value":-1}\n',
        b"[" * 4000 + b"\n",
        b"x" * 1_000_000 + b"\n",
        b"x" * 1_000_000,
    ],
    ids=lambda words: repr(words[:40]),
)
def test_nonsense_is_refused_and_does_nothing(play: Play, tmp_path: Path, words: bytes) -> None:
    """The run hears the next one."""

    async def story(run: Obedient) -> None:
        async with Caller(tmp_path) as caller:
            caller.say(words)
            answer = await caller.hear()
            assert not answer or isinstance(decode_reply(answer), Refused)
        await tell(tmp_path, Pause())

    assert play(story)[0].commands == [Pause()]


@pytest.mark.parametrize("words", [b"", b'{"type":"stop"}'], ids=["nothing", "half a line"])
def test_who_hangs_up_early_has_said_nothing(play: Play, tmp_path: Path, words: bytes) -> None:
    """A command ends with its line."""

    async def story(run: Obedient) -> None:
        async with Caller(tmp_path) as caller:
            caller.say(words, last=True)
            assert await caller.hear() == b""

    assert play(story)[0].commands == []


def test_who_is_silent_holds_nobody_up(play: Play, tmp_path: Path) -> None:
    """Another client is heard meanwhile."""

    async def story(run: Obedient) -> None:
        async with Caller(tmp_path) as caller:
            caller.say(b'{"type":')
            await tell(tmp_path, Pause())

    assert play(story)[0].commands == [Pause()]


def test_the_end_of_a_run_waits_for_nobody_who_is_silent(play: Play, tmp_path: Path) -> None:
    """However patient it was."""
    with socket.socket(socket.AF_UNIX) as connection:

        async def story(run: Obedient) -> None:
            with short_path(tmp_path) as path:
                connection.connect(path)
            await tell(tmp_path, Pause())

        play(story)
        assert connection.recv(1) == b""


def test_who_is_silent_for_too_long_is_let_go(play: Play, tmp_path: Path) -> None:
    """The run hangs up."""

    async def story(run: Obedient) -> None:
        async with Caller(tmp_path) as caller:
            assert await caller.hear() == b""

    play(story, patience_s=0.01)


def wait_hangup(connection: socket.socket) -> bool:
    """Whether the other side hangs up, without reading what it said."""
    poll = select.poll()
    poll.register(connection, 0)
    return bool(poll.poll(HARD_LIMIT_S * 1000))


def ask_and_not_read(connection: socket.socket, folder: Path) -> None:
    """Ask for a snapshot that no buffer of the kernel holds, and leave it there."""
    with short_path(folder) as path:
        connection.connect(path)
    connection.sendall(encode_request(Status()))


def test_who_does_not_take_the_answer_is_let_go(play: Play, tmp_path: Path) -> None:
    """In the middle of it."""
    with socket.socket(socket.AF_UNIX) as connection:

        async def story(run: Obedient) -> None:
            ask_and_not_read(connection, tmp_path)
            assert await asyncio.to_thread(wait_hangup, connection)

        play(story, scopes=20_000, patience_s=0.01)


def test_the_end_of_a_run_waits_for_nobody_who_does_not_read(play: Play, tmp_path: Path) -> None:
    """However patient it was."""
    with socket.socket(socket.AF_UNIX) as connection:

        async def story(run: Obedient) -> None:
            ask_and_not_read(connection, tmp_path)
            await run.looked.wait()

        play(story, scopes=20_000)
        assert wait_hangup(connection)


def test_many_clients_are_served_side_by_side(play: Play, tmp_path: Path) -> None:
    """Each gets its own answer."""
    told: list[str] = []

    async def story(run: Obedient) -> None:
        told.extend(await asyncio.gather(*[tell(tmp_path, SetValue("concurrency", number)) for number in range(1, 9)]))

    run, _ = play(story)
    assert told == [done(SetValue("concurrency", number)) for number in range(1, 9)]
    assert len(run.commands) == 8


def test_a_crowd_is_not_let_in(play: Play, tmp_path: Path) -> None:
    """The run needs its file descriptors for calls."""

    async def story(run: Obedient) -> None:
        async with AsyncExitStack() as crowd:
            for _ in range(MOST_CLIENTS):
                await crowd.enter_async_context(Caller(tmp_path))
            with pytest.raises(UsageError, match=r"hung up|did not answer"):
                await tell(tmp_path, Pause())

    assert play(story)[0].commands == []


def test_who_ends_the_run_gets_an_answer(play: Play, tmp_path: Path) -> None:
    """Although the socket goes at that moment."""
    told: list[asyncio.Task[str]] = []

    async def story(run: Obedient) -> None:
        told.append(asyncio.create_task(tell(tmp_path, Stop())))
        await run.stopped.wait()

    async def whole(run: Obedient) -> None:
        async with serving(tmp_path, run, list[str]().append):
            await story(run)
        assert await told[0] == done(Stop())

    play(whole, tmp_path.parent)
