"""What a run has come to, for a sink that puts it in order."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from penstock.models import Result, Status


class Results(Protocol):
    """Every current result of a run, in input order, as often as it is asked for."""

    def in_order(self) -> Iterator[Result]:
        """All of them."""
        ...

    def failures(self) -> Iterator[Result]:
        """The failed ones."""
        ...


class GivenResults:
    """Results that are at hand: the shipped fake of a journal."""

    def __init__(self, results: Sequence[Result]) -> None:
        self._results = sorted(results, key=lambda result: result.index)

    def in_order(self) -> Iterator[Result]:
        """All of them."""
        return iter(self._results)

    def failures(self) -> Iterator[Result]:
        """The failed ones."""
        return (result for result in self._results if result.status is Status.FAILED)
