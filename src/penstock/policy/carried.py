"""The minute before a process began, as its limits have to see it: what an earlier process of the run sent then."""

from collections.abc import Iterable, Iterator

MINUTE_S = 60.0
SLOTS = 600
SLOT_S = MINUTE_S / SLOTS

Amounts = list[tuple[float, float]]
"""(seconds ago, amount): calls, or tokens."""


def minute_before(limit: float, ended_s: float, sent: Iterable[tuple[float, float]], largest: float = 0.0) -> Amounts:
    """What to count as sent in the last minute, by a process that ended `ended_s` ago under the same `limit`.

    `sent` is what is known of. Of calls in flight and of tasks that were not settled nothing is known, so it is never
    less than a paced process can have sent: the limit, evenly, and its `largest` call at the end.
    """
    counted = 0.0
    amounts = []
    for slot, known in enumerate(_known_within(sent), 1):
        paced_s = slot * SLOT_S - ended_s
        even = largest + limit * paced_s / MINUTE_S if paced_s > 0 and ended_s < MINUTE_S else 0.0
        if (within := max(known, even)) > counted:
            amounts.append(((slot - 1) * SLOT_S, within - counted))
            counted = within
    return amounts


def _known_within(sent: Iterable[tuple[float, float]]) -> Iterator[float]:
    """What was sent within each number of slots; a moment that lies in the future is now."""
    slots = [0.0] * SLOTS
    for ago_s, amount in sent:
        if ago_s < MINUTE_S:
            slots[int(max(0.0, ago_s) / SLOT_S)] += amount
    within = 0.0
    for amount in slots:
        within += amount
        yield within
