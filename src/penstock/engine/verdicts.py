"""What the gate says to a task that may not be sent now."""

from typing import Literal

import msgspec


class Wait(msgspec.Struct, frozen=True):
    """Not now. `until_s` is when to ask again, on the monotonic clock; None: when something has landed or changed.

    `holds` is whom else this concerns: the whole run, the tasks of the same model, or this task and the retries behind
    it. Those are asked again with whatever lands, and at that moment at the latest.
    """

    until_s: float | None
    holds: Literal["run", "model", "task"] = "model"


class Refusal(msgspec.Struct, frozen=True):
    """Never: this task cannot be sent within the limits that the user set."""

    message: str


class Spent(msgspec.Struct, frozen=True):
    """The run cannot go on with this task, which stays pending: the budget is used up, or a limit is in the way."""

    message: str
    hint: str
    larger: str | None = None
    """The option that has to be given a larger value to go on."""
    asked_s: float | None = None
    """The seconds from now on that the provider wants to be left alone, where that is why."""


RUN_WHEN_LANDED = Wait(None, "run")
