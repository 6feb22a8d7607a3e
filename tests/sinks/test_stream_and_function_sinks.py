"""Standard output and Python callables."""

import asyncio
import errno
import functools
import io
import json
import os
from typing import BinaryIO

import pytest

from penstock.errors import SinkError
from penstock.models import Failure, Fault, Result, Settled, Status
from penstock.sinks.callables import CallableSink
from penstock.sinks.protocol import Sink, SinkOptions
from penstock.sinks.stdout import StdoutSink

OK = Settled(1, Result("a", 0, Status.OK, b"{}", text="x"))
PARTIAL = Settled(2, Result("b", 1, Status.PARTIAL, b"{}", text="x"))
FAILED = Settled(3, Result("c", 2, Status.FAILED, b"{}", failure=Failure(Fault.REJECTED, "no")))


def deliver(sink: Sink, *batch: Settled) -> int:
    """Open the sink, deliver one batch, and return the `seq` of its cursor."""

    async def run() -> int:
        await sink.open(None)
        seq: int = (await sink.deliver(batch))["seq"]
        return seq

    return asyncio.run(run())


def test_stdout_prints_answers_alone() -> None:
    """Whole and partial answers are printed, failed tasks are not."""
    stream = io.BytesIO()
    assert deliver(StdoutSink(SinkOptions(), stream), OK, PARTIAL, FAILED) == 3
    assert [json.loads(line)["key"] for line in stream.getvalue().splitlines()] == ["a", "b"]


def test_stdout_in_batch_form() -> None:
    """`--format openai-batch` holds for standard output too."""
    stream = io.BytesIO()
    deliver(StdoutSink(SinkOptions(format="openai-batch"), stream), OK)
    assert json.loads(stream.getvalue())["custom_id"] == "a"


def test_stdout_begins_anew() -> None:
    """Standard output is always filled from the beginning of the run."""
    assert asyncio.run(StdoutSink(SinkOptions(), io.BytesIO()).open({"seq": 9})) == {"seq": 0}


def broken_pipe() -> BinaryIO:
    """The writing end of a pipe that nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    return open(writer, "wb", buffering=0)


def test_closed_pipe_pauses_the_run() -> None:
    """A reader that has gone (`| head`) is a sink that takes no more."""
    with broken_pipe() as stream, pytest.raises(SinkError, match="closed by the program that read it"):
        deliver(StdoutSink(SinkOptions(), stream), OK)


class FullDevice(io.BytesIO):
    """A stream with no room."""

    def write(self, data: object) -> int:
        """Refuse everything."""
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_full_device_pauses_the_run() -> None:
    """An output device that is full is named with its reason."""
    with pytest.raises(SinkError, match="cannot be written: No space left"):
        deliver(StdoutSink(SinkOptions(), FullDevice()), OK)


class Collector:
    """An object whose call is async."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    async def __call__(self, result: Result) -> None:
        """Keep the key, after a turn of the loop."""
        await asyncio.sleep(0)
        self.keys.append(result.key)


def test_sync_callable_gets_every_result_in_order() -> None:
    """A function gets each result, failed ones too, in the order of settling."""
    keys: list[str] = []
    assert deliver(CallableSink(lambda result: keys.append(result.key)), OK, PARTIAL, FAILED) == 3
    assert keys == ["a", "b", "c"]


def test_async_callable_is_awaited() -> None:
    """Async functions, partials of them and objects with an async call are awaited one after the other."""
    collector = Collector()

    async def collect(prefix: str, result: Result) -> None:
        await collector(result)
        collector.keys.append(prefix)

    deliver(CallableSink(collector), OK, PARTIAL)
    deliver(CallableSink(functools.partial(collect, "after")), FAILED)
    assert collector.keys == ["a", "b", "c", "after"]


def refuse(result: Result) -> None:
    """Raise for every result."""
    raise ValueError("no table")


async def refuse_later(result: Result) -> None:
    """Raise for every result, asynchronously."""
    raise ValueError("no table")


@pytest.mark.parametrize("function", [refuse, refuse_later])
def test_exception_names_callable_and_key(function: object) -> None:
    """An exception of the callable pauses the run and says whose it was, and for which result."""
    assert callable(function)
    with pytest.raises(SinkError, match=r"refuse\w* raised ValueError for the result of 'a': no table"):
        deliver(CallableSink(function), OK)


def test_coroutine_that_nobody_awaits_is_refused() -> None:
    """A plain function that returns a coroutine would lose its results in silence."""
    with pytest.raises(SinkError, match="a coroutine that nobody awaits"):
        deliver(CallableSink(lambda result: refuse_later(result)), OK)


def test_callable_goes_on_from_its_cursor() -> None:
    """A callable of a resumed run does not get everything again."""
    assert asyncio.run(CallableSink(refuse).open({"seq": 4})) == {"seq": 4}
