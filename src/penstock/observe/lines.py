"""Progress for a pipe or a log file: one plain line every few seconds, then the last words."""

from typing import TextIO

from penstock.events import Event, Finished, Notice, Snapshot, Started
from penstock.observe.last_words import last_words
from penstock.observe.rates import RateMeter, Rates
from penstock.observe.streams import SurvivingStream
from penstock.observe.words import beside_spent, count, duration, is_unpriced, of_budget, of_total, rate, used
from penstock.redaction import printable_line


class LineObserver:
    """Writes a line per event to `stream`. `again` is the command that goes on with the run."""

    interval_s = 5.0

    def __init__(self, stream: TextIO, again: str) -> None:
        self._stream = SurvivingStream(stream)
        self._again = again
        self._meter = RateMeter()

    def __call__(self, event: Event) -> None:
        """Write what `event` says."""
        match event:
            case Started():
                self._stream.write_line(started_line(event))
            case Notice():
                self._stream.write_line(f"{event.level}: {printable_line(event.message)}")
            case Snapshot():
                self._stream.write_line(progress_line(event, self._meter.update(event)))
            case Finished():
                self._stream.write_line(last_words(event, self._again))

    def close(self) -> None:
        """Nothing is held open."""


def started_line(started: Started) -> str:
    """What runs, from where to where, and how much of it was done before."""
    resumed = f", {count(started.settled)} settled before" if started.settled else ""
    outputs = f" -> {', '.join(started.outputs)}" if started.outputs else ""
    where = f"{started.endpoint} ({started.base_url})"
    return printable_line(f"run {started.run}: {started.source}{outputs}, asking {where}{resumed}")


def progress_line(snapshot: Snapshot, rates: Rates) -> str:
    """One snapshot on one line, the elapsed time first."""
    totals = snapshot.totals
    done = count(totals.ok + totals.partial)
    parts = [
        f"{done}{of_total(snapshot)} done",
        f"{count(totals.failed)} failed",
        f"{count(snapshot.in_flight)} in flight",
        f"{rate(rates.responses_per_s)} req/s",
        f"{rate(rates.tokens_per_s)} tokens/s",
        _cost(snapshot),
    ]
    if rates.left_s is not None:
        parts.append(f"{duration(rates.left_s)} left")
    return f"[{duration(snapshot.elapsed_s)}] {', '.join(parts)}; limit: {printable_line(snapshot.binds)}"


def _cost(snapshot: Snapshot) -> str:
    if is_unpriced(snapshot.totals):
        return used(snapshot.totals)
    beside = beside_spent(snapshot.money) if snapshot.money else []
    more = f" ({', '.join(beside)})" if beside else ""
    return f"cost {of_budget(snapshot.totals, snapshot.money)}{more}"
