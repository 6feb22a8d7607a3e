"""One suite over every executor: what the dispatcher may rely on, whoever makes the calls."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import aclosing, asynccontextmanager
from typing import Any

import msgspec
import pytest

from penstock.clock import SystemClock
from penstock.endpoints import Endpoint, Key
from penstock.engine.flight import Executor, Flight
from penstock.engine.processes.automatic import AutomaticExecutor
from penstock.engine.processes.executor import Hooks, ProcessExecutor
from penstock.engine.processes.seat import Terms
from penstock.engine.scope import Lane, Place, Scope
from penstock.engine.tasks import TaskExecutor
from penstock.engine.work import Work
from penstock.errors import RunPaused
from penstock.models import Failure, Fault, Outcome, Request, Response, Task
from penstock.policy.announced import Announced
from penstock.policy.flow import Flow
from penstock.policy.standing import Standing
from penstock.redaction import Secret
from penstock.transport.http import HttpTransport
from penstock.transport.settings import TransportSettings

HARD_LIMIT_S = 60.0
SECRET = "canary0123456789abcdef"
LARGE = 3_000_000
"""More bytes than a socket, or a frame, takes at once."""

NOBODY = "http://127.0.0.1:1/v1"

Reply = Callable[[dict[str, Any]], Awaitable[tuple[int, Any]]]
"""(body of a request) → status and body of the answer."""


def chat(text: str) -> dict[str, Any]:
    """An answer that can be trusted."""
    return {"choices": [{"message": {"content": text}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 3}}


class Upstream:
    """A server on loopback that answers as it is told, and notes what it saw."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._is_closing = False
        self._changed = asyncio.Condition()
        self._conversations: list[asyncio.Task[None]] = []
        self._writers: list[asyncio.StreamWriter] = []
        self.asked: list[dict[str, Any]] = []
        self.keys: set[str] = set()
        self.base_url = NOBODY

    async def until_asked(self, count: int) -> None:
        """Return once so many requests have come."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.asked) >= count)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["Upstream"]:
        """Serve for as long as the block lasts."""
        server = await asyncio.start_server(self._welcome, "127.0.0.1", 0)
        self.base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        try:
            yield self
        finally:
            self._is_closing = True
            server.close()
            for conversation in self._conversations:
                conversation.cancel()
            await asyncio.gather(*self._conversations, return_exceptions=True)
            for writer in self._writers:
                writer.transport.abort()
            await asyncio.gather(*(writer.wait_closed() for writer in self._writers), return_exceptions=True)
            for _ in range(20):  # who was still being welcomed is shown out
                await asyncio.sleep(0)

    def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_closing:
            writer.transport.abort()
            return
        self._writers.append(writer)
        conversation = asyncio.create_task(self._converse(reader, writer))
        self._conversations.append(conversation)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode().lower():
                fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
                body = json.loads(await reader.readexactly(int(fields["content-length"])))
                async with self._changed:
                    self.asked.append(body)
                    self.keys.add(fields.get("authorization", ""))
                    self._changed.notify_all()
                status, answer = await self._reply(body)
                sent = json.dumps(answer).encode()
                more = "x-ratelimit-limit-requests: 60\r\n"
                writer.write(f"HTTP/1.1 {status} S\r\n{more}content-length: {len(sent)}\r\n\r\n".encode() + sent)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.transport.abort()


class Caller:
    """Makes flights to an upstream, gives them to an executor, and hears what they come to."""

    def __init__(self, executor: Executor, upstream: Upstream) -> None:
        self._settings = settings_at(upstream.base_url)
        self._transport = HttpTransport(self._settings)
        self._key = Key(self._settings.api_key, "OPENAI_API_KEY")
        self._endpoint = Endpoint("e", upstream.base_url, (self._key,))
        self._scopes: dict[str, Scope] = {}
        self._ends: dict[Flight, asyncio.Future[tuple[Outcome | None, Announced | None]]] = {}
        self._starting = False
        self.executor = executor

    def start(self, text: str, *, api: str = "chat", model: str = "m", looks: bool = False) -> Flight:
        """A flight that has been given to the executor, by a lane of its model."""
        body = json.dumps({"model": "m", "text": text}).encode()
        work = Work(Task(text[:9], 0, b"{}", {}, "row"), Request(api, "chat/completions", body, "m"), 0.0)
        if model not in self._scopes:
            lane = Lane(self._endpoint, self._key, model, self._transport)
            self._scopes[model] = Scope(lane, Flow(), Standing(), Standing())
        flight = Flight(work, Place(self._scopes[model], 0.0), 0.0, None, looks)
        self._ends[flight] = asyncio.get_running_loop().create_future()
        self._starting = True
        self.executor.start(flight, self._end)
        self._starting = False
        return flight

    async def told(self, flight: Flight) -> tuple[Outcome | None, Announced | None]:
        """What it came to."""
        return await self._ends[flight]

    async def outcome(self, flight: Flight) -> Outcome | None:
        """The same, without the limits."""
        return (await self.told(flight))[0]

    def is_told(self, flight: Flight) -> bool:
        """Whether it has ended."""
        return self._ends[flight].done()

    def give_up(self, flight: Flight) -> None:
        """As the dispatcher does it."""
        flight.given_up = True
        self.executor.give_up(flight)

    async def aclose(self) -> None:
        """Let go of the connections."""
        await self._transport.aclose()

    def _end(self, flight: Flight, outcome: Outcome | None, announced: Announced | None) -> None:
        assert not self._starting, "a call ended while it was being started"
        self._ends[flight].set_result((outcome, announced))  # which raises where there is one already


def settings_at(base_url: str) -> TransportSettings:
    """How the server is called."""
    return TransportSettings(
        base_url=base_url,
        api_key=Secret(SECRET),
        timeout_s=HARD_LIMIT_S,
        connect_timeout_s=5.0,
        max_response_bytes=10 * LARGE,
        concurrency=100,
    )


def tasks(defects: list[BaseException]) -> Executor:
    """Tasks of this process."""
    return TaskExecutor(defects.append)


def processes(defects: list[BaseException]) -> Executor:
    """Two workers, of which none may die."""
    hooks = Hooks(defects.append, lambda message: defects.append(RuntimeError(message)), defects.append)
    terms = Terms(dict(os.environ), HARD_LIMIT_S, SystemClock())
    return ProcessExecutor(2, lambda lane: settings_at(lane.endpoint.base_url), hooks, terms)


def automatic(defects: list[BaseException]) -> Executor:
    """Tasks, and workers that so few calls never need."""

    def there(on_trouble: Callable[[RunPaused], None]) -> Executor:
        return processes(defects)

    return AutomaticExecutor(tasks(defects), there, SystemClock(), lambda: 1, lambda message: None, defects.append)


EXECUTORS = pytest.mark.parametrize("make", [tasks, processes, automatic])
Make = Callable[[list[BaseException]], Executor]
Story = Callable[[Caller, Upstream], Coroutine[Any, Any, None]]


def play(make: Make, reply: Reply, story: Story) -> None:
    """Let a story come to its end, with nothing left behind and nothing gone wrong unseen."""

    async def work() -> None:
        defects: list[BaseException] = []
        before = asyncio.all_tasks()
        async with (
            asyncio.timeout(HARD_LIMIT_S),
            Upstream(reply).serving() as upstream,
            aclosing(make(defects)) as executor,
            aclosing(Caller(executor, upstream)) as caller,
        ):
            await story(caller, upstream)
            await executor.aclose()
        assert defects == []
        assert asyncio.all_tasks() == before

    asyncio.run(work())


async def echo(body: dict[str, Any]) -> tuple[int, Any]:
    """Say the text back."""
    return 200, chat(body["text"])


@EXECUTORS
def test_each_call_comes_to_its_own_answer(make: Make) -> None:
    """Told once and later, never from inside `start`, whatever else is under way."""

    async def story(caller: Caller, upstream: Upstream) -> None:
        flights = [caller.start(f"text {number}") for number in range(200)]
        outcomes = [await caller.outcome(flight) for flight in flights]
        assert [outcome.text for outcome in outcomes if isinstance(outcome, Response)] == [
            f"text {number}" for number in range(200)
        ]
        assert upstream.keys == {f"bearer {SECRET}"}

    play(make, echo, story)


@EXECUTORS
def test_an_answer_is_whole(make: Make) -> None:
    """Every field of it, the body byte for byte."""

    async def story(caller: Caller, upstream: Upstream) -> None:
        answer = await caller.outcome(caller.start("流"))
        assert isinstance(answer, Response)
        assert (answer.text, answer.finish_reason, answer.usage.input_tokens) == ("流", "stop", 3)
        assert answer.body == json.dumps(chat("流")).encode()

    play(make, echo, story)


@EXECUTORS
def test_output_that_is_json_comes_as_it_stood(make: Make) -> None:
    """Embeddings have no text."""

    async def embed(body: dict[str, Any]) -> tuple[int, Any]:
        return 200, {"data": [{"index": 0, "embedding": [0.5, -1e-7]}]}

    async def story(caller: Caller, upstream: Upstream) -> None:
        answer = await caller.outcome(caller.start("text", api="embeddings"))
        assert isinstance(answer, Response)
        assert isinstance(answer.output, msgspec.Raw)
        assert msgspec.json.decode(answer.output) == [0.5, -1e-7]

    play(make, embed, story)


@EXECUTORS
def test_large_bodies_go_both_ways(make: Make) -> None:
    """Beside small ones, which are not mixed up with them."""

    async def story(caller: Caller, upstream: Upstream) -> None:
        texts = ["a", "b" * LARGE, "c", "d" * LARGE, "e" * 300_000, "f"]
        for flight, text in [(caller.start(text), text) for text in texts]:
            answer = await caller.outcome(flight)
            assert isinstance(answer, Response)
            assert answer.text == text

    play(make, echo, story)


@EXECUTORS
def test_a_model_is_asked_by_the_lanes_name_for_it(make: Make) -> None:
    """Two models at one endpoint are two lanes."""

    async def story(caller: Caller, upstream: Upstream) -> None:
        for model in ("one", "two"):
            await caller.outcome(caller.start("text", model=model))
        assert [asked["model"] for asked in upstream.asked] == ["one", "two"]

    play(make, echo, story)


@EXECUTORS
def test_a_refusal_is_told_without_the_key(make: Make) -> None:
    """With its fault, its words and, where they are wanted, the limits in its headers."""

    async def refuse(body: dict[str, Any]) -> tuple[int, Any]:
        return 429, {"error": {"message": f"slow down, {SECRET}"}}

    async def story(caller: Caller, upstream: Upstream) -> None:
        failure, announced = await caller.told(caller.start("text", looks=True))
        assert isinstance(failure, Failure)
        assert (failure.fault, failure.status) == (Fault.THROTTLED, 429)
        assert SECRET not in f"{failure}"
        assert announced == Announced(rpm=60.0)
        assert (await caller.told(caller.start("text")))[1] is None

    play(make, refuse, story)


@EXECUTORS
def test_an_endpoint_that_is_not_there_is_a_failure(make: Make) -> None:
    """And no exception."""

    async def story(caller: Caller, upstream: Upstream) -> None:
        nowhere = Caller(caller.executor, Upstream(echo))
        failure = await nowhere.outcome(nowhere.start("text"))
        assert isinstance(failure, Failure)
        await nowhere.aclose()

    play(make, echo, story)


@EXECUTORS
def test_a_call_that_is_given_up_comes_to_nothing_and_soon(make: Make) -> None:
    """Whatever the provider does; the calls beside it go on."""
    release = asyncio.Event()

    async def hold(body: dict[str, Any]) -> tuple[int, Any]:
        await release.wait()
        return 200, chat(body["text"])

    async def story(caller: Caller, upstream: Upstream) -> None:
        flights = [caller.start(f"{number}") for number in range(10)]
        await upstream.until_asked(10)
        for flight in flights[::2]:
            caller.give_up(flight)
        assert [await caller.outcome(flight) for flight in flights[::2]] == [None] * 5
        release.set()
        outcomes = [await caller.outcome(flight) for flight in flights[1::2]]
        assert all(isinstance(outcome, Response) for outcome in outcomes)

    play(make, hold, story)


@EXECUTORS
def test_a_call_that_is_given_up_before_it_left_is_never_sent(make: Make) -> None:
    """It was only asked for."""

    async def story(caller: Caller, upstream: Upstream) -> None:
        flight = caller.start("never")
        caller.give_up(flight)
        assert await caller.outcome(flight) is None
        await caller.outcome(caller.start("later"))
        assert [asked["text"] for asked in upstream.asked] == ["later"]

    play(make, echo, story)


@EXECUTORS
def test_giving_up_meets_answers(make: Make) -> None:
    """Calls that are given up while their answers come are told of once, and all the same as nothing."""

    async def story(caller: Caller, upstream: Upstream) -> None:
        flights = [caller.start(f"{number}") for number in range(300)]
        first = await caller.outcome(flights[0])
        late = [flight for flight in flights if not caller.is_told(flight)]
        for flight in late:
            caller.give_up(flight)
        assert [await caller.outcome(flight) for flight in late] == [None] * len(late)
        assert isinstance(first, Response)

    play(make, echo, story)


@EXECUTORS
def test_closing_is_safe_to_do_twice(make: Make) -> None:
    """Also when nothing was ever called."""

    async def story(caller: Caller, upstream: Upstream) -> None:
        await caller.executor.aclose()

    play(make, echo, story)
