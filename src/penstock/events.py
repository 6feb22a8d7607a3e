"""What a run tells those who watch it. Observers get frozen values and can neither slow nor stop the run."""

from enum import StrEnum
from typing import Literal, Protocol

import msgspec

from penstock.models import Totals


class Ending(StrEnum):
    """How a run ended."""

    FINISHED = "finished"
    PAUSED = "paused"
    INTERRUPTED = "interrupted"


class Started(msgspec.Struct, frozen=True, tag="started"):
    """The run is about to send its first request. `settled` tasks were done before, by an earlier process."""

    run: str
    source: str
    outputs: tuple[str, ...]
    endpoint: str
    base_url: str
    settled: int = 0


class Notice(msgspec.Struct, frozen=True, tag="notice"):
    """Something a person should know now; at most a few in a run."""

    message: str
    level: Literal["info", "warning"] = "info"


class Change(msgspec.Struct, frozen=True):
    """A limit that was changed, and why: {"what": "rpm", "old": 600, "new": 510, "why": "429"}."""

    at: float
    """Seconds since 1970 UTC."""
    what: str
    old: float | None
    new: float | None
    why: str


class ScopeStatus(msgspec.Struct, frozen=True):
    """One scope (endpoint, key, model) at one moment. `key` is a label, never the key itself.

    `limit` and `in_flight` are calls, `rpm` and `tpm` the limits in force (None: none is known); `binds` says in
    words what holds calls back; `changes` are the last ones, the newest at the end.
    """

    endpoint: str
    key: str
    model: str
    limit: int
    in_flight: int
    rpm: float | None
    tpm: float | None
    binds: str
    changes: tuple[Change, ...] = ()


class Money(msgspec.Struct, frozen=True):
    """What the run costs, in `currency`: spent on what has landed, reserved for what is in flight, unknown where it may
    have been billed without an answer, projected for the whole run (None where that cannot be said)."""

    currency: str
    spent: float
    reserved: float
    unknown: float
    projected: float | None
    budget: float | None = None


class Snapshot(msgspec.Struct, frozen=True, tag="progress"):
    """The run at one moment.

    `total` is None while the length of the source is unknown; `before` of `totals` were settled by earlier processes.
    `binds` says in words what limits the run now ("concurrency 200", "waiting 12 s: the provider asked to").
    """

    elapsed_s: float
    totals: Totals
    total: int | None
    before: int
    in_flight: int
    waiting: int
    """Tasks in back-off."""
    limit: int
    binds: str
    responses: int = 0
    """Responses and failures of attempts in this process so far."""
    money: Money | None = None
    scopes: tuple[ScopeStatus, ...] = ()
    total_is_estimate: bool = False
    """Whether `total` is what the bytes of the source let expect, and not counted."""


class Finished(msgspec.Struct, frozen=True, tag="finished"):
    """The run has ended and everything is on disk.

    `reason` and `hint` say why it paused and what to do; `outputs` and `failed_outputs` are where results and failures
    stand; `home` is the folder of the run. `bad_rows` of the failed tasks were never sent, since no request could be
    made of them; `examples` says of the first few where they stand and what is wrong. Only the commands count them.
    """

    run: str
    ending: Ending
    totals: Totals
    elapsed_s: float
    home: str
    outputs: tuple[str, ...] = ()
    failed_outputs: tuple[str, ...] = ()
    reason: str | None = None
    hint: str | None = None
    bad_rows: int = 0
    examples: tuple[str, ...] = ()
    larger: str | None = None
    """The option that has to be given a larger value to go on, such as "--budget"."""
    anew: bool = False
    """Whether the same command would only fail more tasks: the run is better begun anew."""
    retried: int | None = None
    """Failed tasks that were taken up again, where that was all there was to do."""
    succeeded: int = 0
    """Tasks that were answered this time, by this process."""
    set_live: tuple[str, ...] = ()
    """Options that were set while the run worked, which the next process does not know."""

    @property
    def exit_code(self) -> int:
        """0 all succeeded, 1 finished with failures, 3 paused, 130 interrupted."""
        if self.ending is Ending.PAUSED:
            return 3
        if self.ending is Ending.INTERRUPTED:
            return 130
        return 1 if self.totals.failed else 0


Event = Started | Notice | Snapshot | Finished


class Observer(Protocol):
    """Someone who watches. `interval_s` is how often a `Snapshot` is wanted, in seconds."""

    interval_s: float

    def __call__(self, event: Event) -> None:
        """Take one event. Called on the event loop: return at once."""
        ...

    def close(self) -> None:
        """The run is over, however it ended."""
        ...
