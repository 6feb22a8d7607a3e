"""Every source keeps the promises of `sources.protocol.Source`."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
import pytest
from backports import zstd
from pyarrow import parquet

from penstock.errors import SourceError
from penstock.models import Chunk, Position, Row
from penstock.sources.protocol import Source
from penstock.sources.registry import make_source
from penstock.sources.standard_input import StandardInput

PROMPTS = [f"prompt {number}, 你好" for number in range(7)]
Opener = Callable[[], Source]
"""Makes a new source over the same content, as a new process would."""


def _json_lines() -> bytes:
    return "".join(json.dumps({"prompt": prompt}, ensure_ascii=False) + "\n" for prompt in PROMPTS).encode()


def _delimited(delimiter: str) -> bytes:
    records = [("id", "prompt"), *((str(number), f'"{prompt}"') for number, prompt in enumerate(PROMPTS))]
    return "".join(delimiter.join(record) + "\r\n" for record in records).encode()


FILES = {
    "tasks.jsonl": _json_lines(),
    "tasks.jsonl.gz": gzip.compress(_json_lines()),
    "tasks.jsonl.zst": zstd.compress(_json_lines()),
    "tasks.csv": _delimited(","),
    "semicolons.csv": _delimited(";"),
    "tasks.csv.gz": gzip.compress(_delimited(",")),
    "tasks.tsv": _delimited("\t"),
    "prompts.txt": "\n\n".join(PROMPTS).encode(),
    "prompts.txt.zst": zstd.compress("\n".join(PROMPTS).encode()),
}


def _folder(folder: Path) -> Opener:
    for number, prompt in enumerate(PROMPTS):
        path = folder / f"part{number // 3}" / f"{number}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text(prompt, encoding="utf-8")
    return lambda: make_source(str(folder))


def _parquet(folder: Path) -> Opener:
    path = folder / "tasks.parquet"
    parquet.write_table(pa.table({"prompt": PROMPTS}), path, row_group_size=3)
    return lambda: make_source(path)


def _named_format(folder: Path) -> Opener:
    path = folder / "tasks.data"
    path.write_bytes(_json_lines())
    return lambda: make_source(f"jsonl:{path}")


def _list(folder: Path) -> Opener:
    return lambda: make_source([{"prompt": prompt} for prompt in PROMPTS])


def _generator(folder: Path) -> Opener:
    return lambda: make_source(prompt for prompt in PROMPTS)


def _async_generator(folder: Path) -> Opener:
    async def rows() -> AsyncIterator[str]:
        for prompt in PROMPTS:
            await asyncio.sleep(0)
            yield prompt

    return lambda: make_source(rows())


PIPED = {
    "standard input": _json_lines(),
    "standard input, gzip": gzip.compress(_json_lines()),
    "standard input, zstd": zstd.compress(_json_lines()),
}

OTHERS = {
    "folder": _folder,
    "parquet": _parquet,
    "FORMAT:PATH": _named_format,
    "list": _list,
    "generator": _generator,
    "async generator": _async_generator,
}


@pytest.fixture(params=[*FILES, *OTHERS, *PIPED])
def new_source(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    """Makes sources of one kind over the same seven prompts."""
    kind = request.param
    path = tmp_path / kind
    if kind in OTHERS:
        yield OTHERS[kind](tmp_path)
    elif kind in FILES:
        path.write_bytes(FILES[kind])
        yield lambda: make_source(str(path))
    else:
        path.write_bytes(PIPED[kind])
        with ExitStack() as stack:
            yield lambda: StandardInput(stack.enter_context(path.open("rb", buffering=0)))


async def _read_chunks(source: Source, position: Position | None, limit: int) -> list[Chunk]:
    await source.open(position)
    try:
        chunks = []
        while (chunk := await source.read(limit)) is not None:
            chunks.append(chunk)
        return chunks
    finally:
        await source.aclose()


def _rows(chunks: list[Chunk]) -> list[Row]:
    return [row for chunk in chunks for row in chunk.rows]


def test_every_row_comes_once_and_in_order(new_source: Opener) -> None:
    """Reading to the end gives every row, in order, without an error."""
    rows = _rows(asyncio.run(_read_chunks(new_source(), None, 100)))
    assert [row.data["prompt"] for row in rows] == PROMPTS
    assert [row.error for row in rows] == [None] * len(PROMPTS)


def test_raw_is_the_data_as_json(new_source: Opener) -> None:
    """`raw` decodes to `data`."""
    for row in _rows(asyncio.run(_read_chunks(new_source(), None, 100))):
        assert json.loads(row.raw) == row.data


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
def test_no_chunk_is_empty_or_beyond_the_limit(new_source: Opener, limit: int) -> None:
    """A chunk holds at least one row and at most `limit`."""
    chunks = asyncio.run(_read_chunks(new_source(), None, limit))
    assert all(1 <= len(chunk.rows) <= limit for chunk in chunks)
    assert len(_rows(chunks)) == len(PROMPTS)


@pytest.mark.parametrize("limit", [1, 3])
def test_reopening_at_any_position_gives_exactly_the_rest(new_source: Opener, limit: int) -> None:
    """A new source opened at the position of any chunk, stored as JSON, goes on right behind it."""
    chunks = asyncio.run(_read_chunks(new_source(), None, limit))
    everything = _rows(chunks)
    done = 0
    for chunk in chunks:
        done += len(chunk.rows)
        stored = json.loads(json.dumps(chunk.position))
        assert _rows(asyncio.run(_read_chunks(new_source(), stored, 100))) == everything[done:]


def test_positions_do_not_depend_on_where_reading_began(new_source: Opener) -> None:
    """The end is the same position, read in one go or resumed half-way."""
    through = asyncio.run(_read_chunks(new_source(), None, 1))
    resumed = asyncio.run(_read_chunks(new_source(), through[2].position, 1))
    assert resumed[-1].position == through[-1].position


def test_the_identity_is_stable_json(new_source: Opener) -> None:
    """Opening twice gives an equal identity, also after a way through JSON."""

    async def identity() -> object:
        source = new_source()
        try:
            return await source.open(None)
        finally:
            await source.aclose()

    first = asyncio.run(identity())
    assert json.loads(json.dumps(first)) == asyncio.run(identity())


def test_how_much_there_is_may_be_asked_at_any_time(new_source: Opener) -> None:
    """`total` and `size_bytes` are true once it is open, or None; before and afterwards they may be read, too."""

    async def ask() -> list[tuple[int | None, int | None]]:
        source = new_source()
        asked = [(source.total, source.size_bytes)]
        await source.open(None)
        asked.append((source.total, source.size_bytes))
        await source.aclose()
        asked.append((source.total, source.size_bytes))
        return asked

    (_, (total, size_bytes), _) = asyncio.run(ask())
    assert total in (None, len(PROMPTS))
    assert size_bytes is None or size_bytes > len("".join(PROMPTS))


def test_closing_twice_is_safe(new_source: Opener) -> None:
    """A source can be closed before it is opened, while it is read, and again."""

    async def close_often() -> None:
        source = new_source()
        await source.aclose()
        source = new_source()
        await source.open(None)
        await source.read(2)
        await source.aclose()
        await source.aclose()

    asyncio.run(close_often())


def test_the_end_stays_the_end(new_source: Opener) -> None:
    """Reading after the end says the end again."""

    async def read_beyond() -> object:
        source = new_source()
        await source.open(None)
        while await source.read(100):
            pass
        try:
            return await source.read(100)
        finally:
            await source.aclose()

    assert asyncio.run(read_beyond()) is None


def test_a_cancelled_read_loses_no_row(new_source: Opener) -> None:
    """After a read that was cancelled the next ones still give every row."""

    async def cancel_and_go_on() -> list[Row]:
        source = new_source()
        await source.open(None)
        cancelled = asyncio.create_task(source.read(2))
        await asyncio.sleep(0)
        cancelled.cancel()
        taken = (await asyncio.gather(cancelled, return_exceptions=True))[0]
        rows = list(taken.rows) if isinstance(taken, Chunk) else []
        while (chunk := await source.read(2)) is not None:
            rows += chunk.rows
        await source.aclose()
        return rows

    assert [row.data["prompt"] for row in asyncio.run(cancel_and_go_on())] == PROMPTS


def test_a_position_of_another_kind_is_refused(new_source: Opener) -> None:
    """A position that the source cannot have written is a `SourceError`."""

    async def open_elsewhere() -> None:
        source = new_source()
        try:
            await source.open({"somewhere": "else"})
        finally:
            await source.aclose()

    with pytest.raises(SourceError):
        asyncio.run(open_elsewhere())


def test_every_row_says_where_it_stands(new_source: Opener) -> None:
    """`where` is different for every row and not empty."""
    rows = _rows(asyncio.run(_read_chunks(new_source(), None, 100)))
    assert len({row.where for row in rows if row.where}) == len(PROMPTS)
