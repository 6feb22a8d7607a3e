"""When everything fails: by the clock, from a certain request on, or now and then.

An outage is written as a time and a fault with a colon between:

- `10-20:status=529`: from 10 to 20 seconds after the start;
- `#100+5:status=503`: from the hundredth request on, for 5 seconds;
- `50/20:status=503`: fifty requests are served, the next twenty fail, and so on.
"""

import re
from collections.abc import Sequence

import msgspec

from penstock.errors import UsageError
from penstock.simulator.faults import InjectedFault, parse_fault

_SPAN = re.compile(r"(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)")
_FROM_REQUEST = re.compile(r"#([1-9]\d*)\+(\d+(?:\.\d+)?)")
_UP_AND_DOWN = re.compile(r"([1-9]\d*)/([1-9]\d*)")
_HINT = "It looks like 10-20:status=529, #100+5:status=503 or 50/20:status=503"


class Outage(msgspec.Struct, frozen=True):
    """A window in seconds after the start in which everything fails."""

    from_s: float
    until_s: float
    fault: InjectedFault


class Breakdown(msgspec.Struct, frozen=True):
    """From one request on, counted from 1, everything fails for a time."""

    from_request: int
    lasting_s: float
    fault: InjectedFault


class Flapping(msgspec.Struct, frozen=True):
    """So many requests are served, so many fail, and so on."""

    up: int
    down: int
    fault: InjectedFault


AnyOutage = Outage | Breakdown | Flapping


class Outages:
    """The planned outages, and since when those are on that begin with a request."""

    def __init__(self, planned: Sequence[AnyOutage], started_s: float) -> None:
        self._planned = planned
        self._started_s = started_s
        self._began_s: dict[int, float] = {}

    def fault(self, request: int, now_s: float) -> InjectedFault | None:
        """The fault of the outage that is on for this request, counted from 1."""
        return next(
            (outage.fault for place, outage in enumerate(self._planned) if self._is_on(place, outage, request, now_s)),
            None,
        )

    def _is_on(self, place: int, outage: AnyOutage, request: int, now_s: float) -> bool:
        match outage:
            case Outage():
                return outage.from_s <= now_s - self._started_s < outage.until_s
            case Breakdown():
                if request < outage.from_request:
                    return False
                return now_s - self._began_s.setdefault(place, now_s) < outage.lasting_s
            case Flapping():
                return (request - 1) % (outage.up + outage.down) >= outage.up


def parse_outage(text: str) -> AnyOutage:
    """Read an outage in any of its three forms. Raises `UsageError`."""
    when, _, fault = text.partition(":")
    if (span := _SPAN.fullmatch(when)) and float(span[1]) < float(span[2]):
        return Outage(float(span[1]), float(span[2]), parse_fault(fault))
    if found := _FROM_REQUEST.fullmatch(when):
        return Breakdown(int(found[1]), float(found[2]), parse_fault(fault))
    if found := _UP_AND_DOWN.fullmatch(when):
        return Flapping(int(found[1]), int(found[2]), parse_fault(fault))
    raise UsageError(f"{text!r} does not begin with the time of an outage.", _HINT)
