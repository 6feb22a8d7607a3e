"""Standard input: rows as they come, and going on with the same input piped again."""

import asyncio
import gzip
import os
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO

import pytest
from backports import zstd

from penstock.errors import SourceBroken, SourceError
from penstock.models import Chunk, Position, Row
from penstock.sources.standard_input import StandardInput

HARD_LIMIT_S = 60.0


class Pipe:
    """Both ends of a pipe; leaving it closes them."""

    def __init__(self) -> None:
        reader, writer = os.pipe()
        self.reader: BinaryIO = os.fdopen(reader, "rb", buffering=0)
        self.writer: BinaryIO = os.fdopen(writer, "wb", buffering=0)

    def __enter__(self) -> "Pipe":
        return self

    def __exit__(self, *_: object) -> None:
        self.reader.close()
        self.writer.close()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """A pipe to read from as standard input."""
    with Pipe() as pipe:
        yield pipe


def read_piped(content: bytes, position: Position | None = None) -> list[Chunk]:
    """Every chunk of `content`, piped in and ended."""

    async def read(stream: BinaryIO) -> list[Chunk]:
        source = StandardInput(stream)
        try:
            assert await source.open(position) == {"kind": "stdin"}
            chunks = []
            while (chunk := await source.read(1)) is not None:
                chunks.append(chunk)
            return chunks
        finally:
            await source.aclose()

    with Pipe() as pipe:
        pipe.writer.write(content)
        pipe.writer.close()
        return asyncio.run(read(pipe.reader))


def test_a_row_comes_before_the_next_is_written(pipe: Pipe) -> None:
    """A slow pipe's rows are handed on at once."""

    async def talk() -> list[Row]:
        source = StandardInput(pipe.reader)
        await source.open(None)
        rows = []
        for number in range(3):
            pipe.writer.write(b'{"n": %d}\n{"unfinished": ' % number)
            chunk = await source.read(1000)
            assert chunk is not None
            rows += chunk.rows
            pipe.writer.write(b"1}\n")
            chunk = await source.read(1000)
            assert chunk is not None
            rows += chunk.rows
        await source.aclose()
        return rows

    data = [row.data for row in asyncio.run(talk())]
    assert data == [{"n": 0}, {"unfinished": 1}, {"n": 1}, {"unfinished": 1}, {"n": 2}, {"unfinished": 1}]


def test_closing_ends_a_read_that_waits(pipe: Pipe) -> None:
    """A cancelled read of a silent pipe does not keep the program alive."""

    async def give_up() -> None:
        source = StandardInput(pipe.reader)
        await source.open(None)
        reading = asyncio.create_task(source.read(1))
        await asyncio.sleep(0)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await source.aclose()

    asyncio.run(asyncio.wait_for(give_up(), HARD_LIMIT_S))


def test_rows_say_their_line() -> None:
    """`where` counts lines, and a last line needs no newline."""
    chunks = read_piped(b'\n{"n": 1}\nbroken\n{"n": 3}')
    rows = [row for chunk in chunks for row in chunk.rows]
    assert [(row.where, row.error is None) for row in rows] == [
        ("stdin:2", True),
        ("stdin:3", False),
        ("stdin:4", True),
    ]


LINES = b'{"n": 1}\n\n{"n": 2}\n{"n": 3}\n'


def test_the_same_input_goes_on_behind_the_position() -> None:
    """Rows that were read before are skipped when the same input is piped again."""
    position = read_piped(LINES)[1].position
    rest = read_piped(LINES, position)
    assert [row.data for chunk in rest for row in chunk.rows] == [{"n": 3}]


def test_an_input_may_have_grown() -> None:
    """A last line that had no newline yet is the same line with it."""
    position = read_piped(b'{"n": 1}\n{"n": 2}')[1].position
    rest = read_piped(b'{"n": 1}\n{"n": 2}\n{"n": 3}\n', position)
    assert [row.data for chunk in rest for row in chunk.rows] == [{"n": 3}]


def test_another_input_is_refused() -> None:
    """Other rows before the position are no input to go on with."""
    position = read_piped(LINES)[1].position
    with pytest.raises(SourceError, match="--fresh"):
        read_piped(LINES.replace(b"1", b"9"), position)


@pytest.mark.parametrize("content", [b"", b'{"n": 1}\n'])
def test_an_input_that_ends_early_is_the_end(content: bytes) -> None:
    """What was read before is in the journal: an input that is shorter now has no more rows."""
    position = read_piped(LINES)[1].position
    assert read_piped(content, position) == []


compressed = pytest.mark.parametrize("compress", [gzip.compress, zstd.compress], ids=["gzip", "zstd"])


@compressed
def test_a_compressed_input_is_known_by_its_first_bytes(compress: Callable[[bytes], bytes]) -> None:
    """Its rows are those of the plain one, also where it was compressed in several parts."""
    chunks = read_piped(compress(LINES[:12]) + compress(LINES[12:]))
    assert chunks == read_piped(LINES)


@compressed
def test_an_input_may_be_compressed_the_next_time(compress: Callable[[bytes], bytes]) -> None:
    """What was read is known by its content."""
    position = read_piped(LINES)[1].position
    rest = read_piped(compress(LINES), position)
    assert [row.data for chunk in rest for row in chunk.rows] == [{"n": 3}]


@compressed
def test_a_compressed_input_that_is_cut_short_is_broken(compress: Callable[[bytes], bytes]) -> None:
    """Its end is not taken for the end of the rows."""
    with pytest.raises(SourceBroken, match="damaged or cut short"):
        read_piped(compress(LINES)[:-1])


@pytest.mark.parametrize("content", [b"\x1f", b"\x28\xb5\x2f", b"("])
def test_what_only_begins_like_a_compressed_input_is_plain(content: bytes) -> None:
    """An input that ends before it is recognised is a line that is no row."""
    ((row,),) = [chunk.rows for chunk in read_piped(content)]
    assert row.error is not None


def test_a_compressed_row_comes_before_the_next_is_written(pipe: Pipe) -> None:
    """A slow pipe's rows are handed on as soon as they can be decompressed, byte by byte if need be."""
    compressor = zlib.compressobj(wbits=31)

    async def talk() -> list[object]:
        source = StandardInput(pipe.reader)
        await source.open(None)
        seen: list[object] = []
        for number in range(3):
            part = compressor.compress(b'{"n": %d}\n' % number) + compressor.flush(zlib.Z_SYNC_FLUSH)
            reading = asyncio.create_task(source.read(1000))
            for byte in part:
                pipe.writer.write(bytes([byte]))
                await asyncio.sleep(0)
            chunk = await reading
            assert chunk is not None
            seen += [row.data for row in chunk.rows]
        await source.aclose()
        return seen

    assert asyncio.run(asyncio.wait_for(talk(), HARD_LIMIT_S)) == [{"n": 0}, {"n": 1}, {"n": 2}]
