"""Who is let in, and keys that die: after so many requests each one more is refused, until they are revived."""

import re
from collections.abc import Sequence

import msgspec

from penstock.errors import UsageError
from penstock.simulator.faults import InjectedFault, parse_fault
from penstock.simulator.rejections import Rejected, no_key, wrong_key

EVERY_KEY = "*"
_HINT = "It looks like sk-one:100:status=429,code=insufficient_quota; * stands for every key"


class KeyDeath(msgspec.Struct, frozen=True):
    """A key that serves `after` requests and is refused from then on; the key "*" means each one."""

    key: str
    after: int
    fault: InjectedFault


class Keys:
    """The keys that are let in, and how many requests each has had since it was last revived."""

    def __init__(self, let_in: Sequence[str], deaths: Sequence[KeyDeath]) -> None:
        self._let_in = frozenset(let_in)
        self._deaths = deaths
        self._served: dict[str, int] = {}

    def check(self, key: str) -> None:
        """Raises `Rejected` with status 401 for a key that is missing or not let in."""
        if self._let_in and not key:
            raise Rejected(no_key())
        if self._let_in and key not in self._let_in:
            raise Rejected(wrong_key(key))

    def scope(self, key: str) -> str:
        """Whose limits bind a request with this key: its own, or those that all unlisted ones share."""
        return key if key in self._let_in else ""

    def refusal(self, key: str) -> InjectedFault | None:
        """Why a dead key is refused; None for one that lives."""
        served = self._served.get(key, 0)
        dead = (death.fault for death in self._deaths if death.key in (key, EVERY_KEY) and served >= death.after)
        return next(dead, None)

    def serve(self, key: str) -> None:
        """Count one request."""
        if self._deaths:
            self._served[key] = self._served.get(key, 0) + 1

    def revive(self, key: str | None = None) -> None:
        """Give a key, or every one, as many requests again as it had at first."""
        if key is None:
            self._served.clear()
        self._served.pop(key or "", None)


def parse_key_death(text: str) -> KeyDeath:
    """Read `sk-one:100:status=402`. Raises `UsageError`."""
    found = re.match(r"([^:]*):(\d+):", text)
    if found is None:
        raise UsageError(f"{text!r} does not begin with a key and its number of requests.", _HINT)
    return KeyDeath(found[1], int(found[2]), parse_fault(text[found.end() :]))
