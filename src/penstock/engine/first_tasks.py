"""The first tasks of a run: when so many are all rejected, the template or the options are wrong, not they."""

from penstock.errors import RunPaused

FIRST_TASKS = 20


class FirstTasks:
    """Counts their rejections."""

    def __init__(self) -> None:
        self._first: set[int] = set()
        self._rejected = 0

    def begin(self, index: int) -> None:
        """A task's first turn has come."""
        if len(self._first) < FIRST_TASKS:
            self._first.add(index)

    def reject(self, index: int, message: str) -> RunPaused | None:
        """A task was rejected; the pause, when it was the last of them."""
        if index not in self._first:
            return None
        self._rejected += 1
        if self._rejected < FIRST_TASKS:
            return None
        reason = f"The first {FIRST_TASKS} tasks were all rejected, the last with: {message}"
        hint = "Look at the requests with --dry-run, and mend the prompt or the rows. Going on as it is rejects more."
        return RunPaused(reason, hint, anew=True)
