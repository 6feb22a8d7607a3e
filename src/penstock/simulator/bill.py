"""The provider's own bill: what it would have charged, so that tests can compare what was bought with what was kept.

A call is billed once its answer was produced, whether the answer arrives or not: also when it drips, stalls, is cut
short or reset after the request was taken, and when the client has gone. Rejections and error pages cost nothing.
"""

from collections.abc import Callable
from hashlib import blake2b

import msgspec
from msgspec.structs import replace


class KeyBill(msgspec.Struct, frozen=True):
    """What one key has asked for and was charged."""

    requests: int = 0
    refused: int = 0
    """Requests that were answered with an error: by a limit, a fault, or because the key is not let in."""
    billed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0


class Bill(msgspec.Struct, frozen=True):
    """What was served and charged so far. A fingerprint stands for one request: the same path and body."""

    requests: int = 0
    """Requests received under /v1."""
    throttled: int = 0
    """Requests turned away by a limit."""
    faults: int = 0
    """Requests that met an injected fault."""
    impolite: int = 0
    """Requests that came although a Retry-After had not yet run out."""
    max_in_flight: int = 0
    """Most requests that waited for their answer at one time."""
    billed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    bought_twice: int = 0
    """Fingerprints that were billed more than once."""
    counts: dict[str, int] = {}
    """How often each fingerprint was billed."""
    keys: dict[str, KeyBill] = {}
    """The part of each key, by its `key_label`."""


class Charge(msgspec.Struct, frozen=True):
    """The price of one answer."""

    fingerprint: bytes
    input_tokens: int
    output_tokens: int
    key: str = ""


def key_label(key: str) -> str:
    """The name of a key on the bill: its last four characters, as providers show it."""
    return f"****{key[-4:]}" if key else "no key"


def fingerprint(path: str, body: bytes) -> str:
    """The fingerprint under which `Bill.counts` has a request; `path` is the whole path ("/v1/embeddings")."""
    return fingerprint_bytes(path, body).hex()


def fingerprint_bytes(path: str, body: bytes) -> bytes:
    """The same as bytes."""
    return blake2b(body, digest_size=16, key=blake2b(path.encode(), digest_size=16).digest()).digest()


class Ledger:
    """The book that the bill is drawn from."""

    def __init__(self) -> None:
        self.requests = 0
        self.throttled = 0
        self.faults = 0
        self.impolite = 0
        self._in_flight = 0
        self._max_in_flight = 0
        self._input_tokens = 0
        self._output_tokens = 0
        self._attempts: dict[bytes, int] = {}
        self._billed: dict[bytes, int] = {}
        self._keys: dict[str, KeyBill] = {}
        self._watchers: list[tuple[int, Callable[[], None]]] = []

    def receive(self) -> None:
        """A request has come in; `release` says that it is over."""
        self.requests += 1
        self._in_flight += 1
        self._max_in_flight = max(self._max_in_flight, self._in_flight)
        if self._watchers:
            self._tell_watchers()

    def release(self) -> None:
        """A request was answered, or its client has gone."""
        self._in_flight -= 1

    def count(self, key: str, *, refused: bool) -> None:
        """Put down whose request it was, and whether it was answered with an error."""
        label = key_label(key)
        known = self._keys.get(label, KeyBill())
        self._keys[label] = replace(known, requests=known.requests + 1, refused=known.refused + refused)

    def next_attempt(self, fingerprint: bytes) -> int:
        """Count one more attempt of this request, and return its number, from 1."""
        attempt = self._attempts.get(fingerprint, 0) + 1
        self._attempts[fingerprint] = attempt
        return attempt

    def charge(self, charge: Charge) -> None:
        """Put one answer on the bill."""
        self._billed[charge.fingerprint] = self._billed.get(charge.fingerprint, 0) + 1
        self._input_tokens += charge.input_tokens
        self._output_tokens += charge.output_tokens
        label = key_label(charge.key)
        known = self._keys.get(label, KeyBill())
        self._keys[label] = replace(
            known,
            billed=known.billed + 1,
            input_tokens=known.input_tokens + charge.input_tokens,
            output_tokens=known.output_tokens + charge.output_tokens,
        )

    def when_received(self, requests: int, tell: Callable[[], None]) -> None:
        """Call `tell` as soon as this many requests have come in."""
        self._watchers.append((requests, tell))
        self._tell_watchers()

    def snapshot(self) -> Bill:
        """The bill as it stands."""
        return Bill(
            requests=self.requests,
            throttled=self.throttled,
            faults=self.faults,
            impolite=self.impolite,
            max_in_flight=self._max_in_flight,
            billed=sum(self._billed.values()),
            input_tokens=self._input_tokens,
            output_tokens=self._output_tokens,
            bought_twice=sum(count > 1 for count in self._billed.values()),
            counts={fingerprint.hex(): count for fingerprint, count in self._billed.items()},
            keys=dict(self._keys),
        )

    def _tell_watchers(self) -> None:
        due = [tell for requests, tell in self._watchers if requests <= self.requests]
        self._watchers = [watcher for watcher in self._watchers if watcher[0] > self.requests]
        for tell in due:
            tell()
