"""Tasks that wait to be sent: in line by model, so that one model's limit holds no other back, or in back-off."""

import heapq
import itertools
from collections import deque
from collections.abc import Callable, Iterable

from penstock.engine.verdicts import Wait
from penstock.engine.work import Work
from penstock.models import Task

Fresh = tuple[Task, float]
"""A task that was never sent, and since when it waits."""


class Line:
    """The tasks of one model whose turn it is: those to be sent now, retries, then fresh ones."""

    __slots__ = ("due", "fresh", "held", "retries", "retries_held")

    def __init__(self) -> None:
        self.due: deque[Work] = deque()
        self.retries: deque[Work] = deque()
        self.fresh: deque[Fresh] = deque()
        self.retries_held = False
        """Whether the first of the retries was not taken when last asked."""
        self.held = False
        """Whether the model's scopes took nothing more when last asked."""

    def __bool__(self) -> bool:
        return bool(self.due or self.retries or self.fresh)

    def pop(self, *, fresh: bool) -> Work | Fresh | None:
        """Whose turn it is; of the fresh ones only if `fresh`."""
        if self.due:
            return self.due.popleft()
        if self.retries and not self.retries_held:
            return self.retries.popleft()
        return self.fresh.popleft() if fresh and self.fresh else None

    def put_back(self, work: Work) -> None:
        """It was not taken: it is the next."""
        self.due.appendleft(work)

    def hold(self, work: Work, wait: Wait) -> bool:
        """It was not taken, for now; whether the line is held with it, or, of a retry, only those after it."""
        if wait.holds == "task":
            self.retries.appendleft(work)
            self.retries_held = True
            return False
        self.put_back(work)
        self.held = True
        return True


class Queues:
    """Every task that is accepted and neither in flight nor settled."""

    def __init__(self, model_of: Callable[[Task], str]) -> None:
        self._model_of = model_of
        self._lines: dict[str, Line] = {}
        self._backing_off: list[tuple[float, int, Work]] = []
        self._order = itertools.count()

    @property
    def fresh(self) -> int:
        """Tasks that were never sent."""
        return sum(len(line.fresh) for line in self._lines.values())

    @property
    def free(self) -> int:
        """Those of them whose model is not held back, where several are asked for."""
        if len(self._lines) <= 1:
            return self.fresh
        return sum(len(line.fresh) for line in self._lines.values() if not line.held)

    @property
    def waiting(self) -> int:
        """Tasks that were sent, and wait to be sent again."""
        again = sum(len(line.retries) + sum(bool(work.attempts) for work in line.due) for line in self._lines.values())
        return len(self._backing_off) + again

    def __bool__(self) -> bool:
        return bool(self._backing_off) or any(self._lines.values())

    def works(self) -> Iterable[Work]:
        """Those that were sent."""
        for _, _, work in self._backing_off:
            yield work
        for line in self._lines.values():
            yield from line.due
            yield from line.retries

    def add(self, tasks: Iterable[Task], now_s: float) -> None:
        """Fresh tasks, at the end of their lines."""
        for task in tasks:
            self._line(self._model_of(task)).fresh.append((task, now_s))

    def back_off(self, work: Work, until_s: float) -> None:
        """Let a task wait."""
        heapq.heappush(self._backing_off, (until_s, next(self._order), work))

    def rouse(self, now_s: float) -> None:
        """Put those whose back-off has ended in line."""
        while self._backing_off and self._backing_off[0][0] <= now_s:
            work = heapq.heappop(self._backing_off)[2]
            line = self._line(work.request.model)
            (line.retries if work.is_retry else line.due).append(work)

    def next_due_s(self) -> float | None:
        """When the first back-off ends."""
        return self._backing_off[0][0] if self._backing_off else None

    def lines(self) -> deque[Line]:
        """The lines in which somebody stands, whose retries may be asked for again."""
        if len(self._lines) > 1:
            self._lines = {model: line for model, line in self._lines.items() if line}
        for line in self._lines.values():
            line.retries_held = False
        return deque(line for line in self._lines.values() if line)

    def _line(self, model: str) -> Line:
        line = self._lines.get(model)
        if line is None:
            line = self._lines[model] = Line()
        return line
