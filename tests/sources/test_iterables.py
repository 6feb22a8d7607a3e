"""Rows from Python: what becomes a row, waiting for slow ones, and errors of the iterable."""

import asyncio
import datetime
import json
import sqlite3
import threading
import types
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from penstock.errors import SourceBroken, SourceError
from penstock.models import Chunk, Row
from penstock.sources.iterables import IterableSource
from penstock.sources.registry import estimate_total

ReadRows = Callable[..., list[Row]]
ReadChunks = Callable[..., list[Chunk]]
HARD_LIMIT_S = 60.0


@pytest.mark.parametrize(
    ("item", "data"),
    [
        ("a prompt", {"prompt": "a prompt"}),
        ({"a": 1, "b": [None, True]}, {"a": 1, "b": [None, True]}),
        ({"day": datetime.date(2026, 1, 2)}, {"day": "2026-01-02"}),
        (types.MappingProxyType({"a": {"b": 2}}), {"a": {"b": 2}}),
        ({}, {}),
    ],
)
def test_an_item_becomes_a_row(read_rows: ReadRows, item: object, data: dict[str, object]) -> None:
    """Strings are prompts, mappings are their fields as JSON."""
    (row,) = read_rows([item])
    assert row.error is None
    assert row.data == data
    assert json.loads(row.raw) == data


@pytest.mark.parametrize(
    ("item", "error"),
    [
        (7, "It must be a dict or a string, and it is int."),
        (["a"], "It must be a dict or a string, and it is list."),
        (None, "It must be a dict or a string, and it is NoneType."),
        ({"a": object()}, "It cannot be written as JSON: object is not a JSON value."),
        ({"a": "\ud800"}, "It cannot be written as JSON"),
        ({(1, 2): 3}, "It cannot be written as JSON"),
    ],
)
def test_any_other_item_becomes_a_bad_row(read_rows: ReadRows, item: object, error: str) -> None:
    """An item that is no row says why, and the next one is read."""
    bad, good = read_rows([item, "fine"])
    assert bad.error is not None
    assert bad.error.startswith(error)
    assert (bad.where, good.where, good.error) == ("row 1", "row 2", None)


def test_a_row_does_not_change_with_the_item(read_rows: ReadRows) -> None:
    """A row is what the item was when it was taken, though the caller reuses its dict."""

    def rows() -> Iterator[dict[str, int]]:
        item = {"n": 0}
        for number in range(3):
            item["n"] = number
            yield item

    assert [row.data for row in read_rows(rows())] == [{"n": 0}, {"n": 1}, {"n": 2}]


def test_an_async_row_comes_before_the_next_is_ready() -> None:
    """An async iterable that waits holds back nothing that it gave before."""

    async def talk() -> list[object]:
        gate = asyncio.Queue[str]()

        async def rows() -> AsyncIterator[str]:
            while True:
                yield await gate.get()

        source = IterableSource(rows())
        await source.open(None)
        prompts: list[object] = []
        for prompt in ("a", "b", "c"):
            gate.put_nowait(prompt)
            chunk = await source.read(1000)
            assert chunk is not None
            prompts += [row.data["prompt"] for row in chunk.rows]
        await source.aclose()
        return prompts

    assert asyncio.run(asyncio.wait_for(talk(), HARD_LIMIT_S)) == ["a", "b", "c"]


def test_a_row_of_a_blocking_generator_comes_before_the_next_is_ready() -> None:
    """A generator that blocks neither holds back its rows nor the event loop."""
    gate = threading.Semaphore(0)

    def rows() -> Iterator[str]:
        for number in range(3):
            gate.acquire()
            yield f"prompt {number}"

    async def talk() -> list[object]:
        source = IterableSource(rows())
        await source.open(None)
        prompts: list[object] = []
        for _ in range(3):
            gate.release()
            chunk = await source.read(1000)
            assert chunk is not None
            prompts += [row.data["prompt"] for row in chunk.rows]
        await source.aclose()
        return prompts

    assert asyncio.run(asyncio.wait_for(talk(), HARD_LIMIT_S)) == ["prompt 0", "prompt 1", "prompt 2"]


def test_closing_does_not_wait_for_a_generator_that_blocks() -> None:
    """A generator that never goes on does not keep the program alive."""
    gate = threading.Semaphore(0)

    def rows() -> Iterator[str]:
        gate.acquire()
        yield "late"

    async def give_up() -> None:
        source = IterableSource(rows())
        await source.open(None)
        reading = asyncio.create_task(source.read(1))
        await asyncio.sleep(0)
        await source.aclose()
        with pytest.raises(SourceBroken):
            await reading

    asyncio.run(asyncio.wait_for(give_up(), HARD_LIMIT_S))
    gate.release()


def test_a_generator_runs_in_one_thread(read_rows: ReadRows) -> None:
    """What a generator opened stays usable, such as an SQLite connection."""

    def rows() -> Iterator[dict[str, int]]:
        connection = sqlite3.connect(":memory:")
        for (number,) in connection.execute(
            "with recursive n(i) as (select 1 union all select i+1 from n limit 50) select i from n"
        ):
            yield {"n": number}
        connection.close()

    assert [row.data["n"] for row in read_rows(rows(), limit=7)] == list(range(1, 51))


def test_an_async_generator_runs_in_one_task(read_rows: ReadRows) -> None:
    """What a generator entered stays valid, such as a time-out around its loop."""

    async def rows() -> AsyncIterator[str]:
        async with asyncio.timeout(60):
            for number in range(10):
                await asyncio.sleep(0)
                yield f"prompt {number}"

    assert len(read_rows(rows(), limit=3)) == 10


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_an_error_of_the_iterable_comes_after_its_rows(kind: str) -> None:
    """Rows that came before the error are read; then the source is broken, with the error's words."""

    def sync_rows() -> Iterator[str]:
        yield "fine"
        raise ValueError("the database went away")

    async def async_rows() -> AsyncIterator[str]:
        yield "fine"
        raise ValueError("the database went away")

    async def read() -> None:
        source = IterableSource(sync_rows() if kind == "sync" else async_rows())
        await source.open(None)
        chunk = await source.read(10)
        assert chunk is not None
        assert [row.data for row in chunk.rows] == [{"prompt": "fine"}]
        with pytest.raises(SourceBroken, match="ValueError: the database went away"):
            await source.read(10)
        await source.aclose()

    asyncio.run(read())


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_closing_closes_a_generator(kind: str) -> None:
    """A generator that is left half-way gets the chance to let go of what it holds."""
    closed = threading.Event()

    def sync_rows() -> Iterator[str]:
        try:
            while True:
                yield "more"
        finally:
            closed.set()

    async def async_rows() -> AsyncIterator[str]:
        try:
            while True:
                yield "more"
        finally:
            closed.set()

    async def leave() -> None:
        source = IterableSource(sync_rows() if kind == "sync" else async_rows())
        await source.open(None)
        await source.read(3)
        await source.aclose()

    asyncio.run(leave())
    assert closed.wait(HARD_LIMIT_S)


def test_an_iterable_is_taken_no_further_than_asked() -> None:
    """Endless rows do not run ahead of the work."""
    taken = []

    async def rows() -> AsyncIterator[str]:
        while True:
            taken.append(1)
            yield "more"

    async def read() -> None:
        source = IterableSource(rows())
        await source.open(None)
        await source.read(5)
        await source.aclose()

    asyncio.run(read())
    assert len(taken) <= 5


def test_large_rows_come_in_small_chunks(read_chunks: Callable[..., list[object]]) -> None:
    """A chunk ends once it holds some megabytes, whatever its limit."""
    rows = [{"text": "x" * 1024 * 1024}] * 20
    chunks = read_chunks(rows, limit=1000)
    assert len(chunks) >= 4


def test_rows_that_end_before_the_position_are_refused(read_rows: ReadRows) -> None:
    """Fewer rows than were read before are other rows."""
    with pytest.raises(SourceError, match="ended 2 rows before"):
        read_rows(["a", "b", "c"], {"rows": 5, "digest": ""})


def test_the_total_of_a_list_is_its_length() -> None:
    """A list knows its length, a generator does not."""
    assert estimate_total(IterableSource(["a", "b"])) == 2
    assert estimate_total(IterableSource(prompt for prompt in "ab")) is None


def test_other_rows_in_the_place_of_those_read_before_are_refused(read_chunks: ReadChunks) -> None:
    """Yesterday's answers are not given for today's rows."""
    *_, last = read_chunks(["a", "b"])
    with pytest.raises(SourceError, match="not the rows that this run began with"):
        read_chunks(["a", "x", "c"], last.position)
