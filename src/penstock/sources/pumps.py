"""Advancing an iterable that is not ours without holding up the event loop or losing what it gave.

A pump takes items in one thread or one task of its own for its whole life: generators may hold things that belong to
a thread (an SQLite connection) or to a task (a time-out). It works only when asked, and no further ahead than asked.
"""

import asyncio
import queue
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Generator, Iterable, Iterator

from penstock.errors import SourceBroken
from penstock.models import Row
from penstock.sources.protocol import MAX_CHUNK_BYTES

MakeRow = Callable[[object], Row]

_END = object()


class Pump(ABC):
    """Rows made from the items of an iterable, as they become ready."""

    def __init__(self, make_row: MakeRow) -> None:
        self._make_row = make_row
        self._ready: deque[Row] = deque()
        self._changed = asyncio.Event()
        self._signalled = False
        self._working = False
        self._ended = False
        self._error: BaseException | None = None

    async def take(self, limit: int) -> list[Row]:
        """The rows that are ready, at least one and at most `limit`; none at the end.

        Raises `SourceBroken` with what the iterable raised. Being cancelled loses nothing.
        """
        # Looked at before the rows: all that it added before it came to rest is seen, and no more is asked for.
        resting = not self._working
        while not self._ready and not self._ended:
            if resting:
                self._working = True
                self._ask(limit)
            # Cleared before looking again: what is added after the look signals anew.
            self._signalled = False
            self._changed.clear()
            if self._working and not self._ready:
                await self._changed.wait()
            resting = not self._working
        if not self._ready and self._error is not None:
            raise SourceBroken(f"The rows stopped with {type(self._error).__name__}: {self._error}") from self._error
        return [self._ready.popleft() for _ in range(min(limit, len(self._ready)))]

    @abstractmethod
    async def aclose(self) -> None:
        """Stop, and close the iterable if it is a generator."""

    @abstractmethod
    def _ask(self, count: int) -> None:
        """Begin to take at most `count` more items."""

    @abstractmethod
    def _signal(self) -> None:
        """Let `take` look again."""

    def _add(self, item: object) -> int:
        row = self._make_row(item)
        self._ready.append(row)
        if not self._signalled:
            self._signalled = True
            self._signal()
        return len(row.raw)

    def _rest(self) -> None:
        self._working = False
        self._signal()

    def _end(self, error: BaseException | None) -> None:
        self._error = error
        self._ended = True
        self._rest()


class ThreadPump(Pump):
    """Advances an ordinary iterable in a thread of its own."""

    def __init__(self, rows: Iterable[object], make_row: MakeRow) -> None:
        super().__init__(make_row)
        self._rows = rows
        self._asked: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self._closing = threading.Lock()
        # A daemon: an iterable that waits for ever cannot be interrupted, and must not keep the program alive.
        threading.Thread(target=self._run, name="penstock-rows", daemon=True).start()

    async def aclose(self) -> None:
        """Stop after the item that is being taken, without waiting for it."""
        self._end(asyncio.CancelledError("closed"))
        with self._closing:
            self._closed = True
        self._asked.put(0)

    def _ask(self, count: int) -> None:
        self._asked.put(count)

    def _signal(self) -> None:
        with self._closing:
            if not self._closed:
                self._loop.call_soon_threadsafe(self._changed.set)

    def _run(self) -> None:
        try:
            iterator = iter(self._rows)
            while (count := self._asked.get()) and self._advance(iterator, count):
                self._rest()
            if isinstance(iterator, Generator):
                iterator.close()
        except BaseException as error:
            self._end(error)
        else:
            self._end(None)

    def _advance(self, iterator: Iterator[object], count: int) -> bool:
        size = 0
        for _ in range(count):
            item = next(iterator, _END)
            if item is _END or self._closed:
                return False
            size += self._add(item)
            if size >= MAX_CHUNK_BYTES:
                break
        return True


class TaskPump(Pump):
    """Advances an async iterable in a task of its own."""

    def __init__(self, rows: AsyncIterable[object], make_row: MakeRow) -> None:
        super().__init__(make_row)
        self._rows = rows
        self._asked: asyncio.Queue[int] = asyncio.Queue()
        self._task = asyncio.create_task(self._run())

    async def aclose(self) -> None:
        """Cancel what the iterable waits for, and close it."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def _ask(self, count: int) -> None:
        self._asked.put_nowait(count)

    def _signal(self) -> None:
        self._changed.set()

    async def _run(self) -> None:
        try:
            iterator = aiter(self._rows)
            try:
                while await self._advance(iterator, await self._asked.get()):
                    self._rest()
            finally:
                if isinstance(iterator, AsyncGenerator):
                    await iterator.aclose()
        except (Exception, asyncio.CancelledError) as error:
            self._end(error)
        else:
            self._end(None)

    async def _advance(self, iterator: AsyncIterator[object], count: int) -> bool:
        size = 0
        for _ in range(count):
            item = await anext(iterator, _END)
            if item is _END:
                return False
            size += self._add(item)
            if size >= MAX_CHUNK_BYTES:
                break
        return True
