"""What a person is told when no key is left."""

import re

import pytest

from penstock.endpoints import Endpoint, Key
from penstock.engine.refusals import asked_to_wait, out_words, paused_by
from penstock.engine.scope import Lane, Scope
from penstock.models import Failure, Fault
from penstock.policy.flow import Flow
from penstock.policy.standing import Standing
from penstock.redaction import Secret
from penstock.transport.fake import FunctionTransport, respond

KEYS = (Key(Secret("sk-1"), "KEY_A"), Key(Secret("sk-2"), "KEY_B"))


def lane(keys: tuple[Key, ...]) -> Lane:
    """The way to send a call with the first of these keys."""
    transport = FunctionTransport(lambda path, body: respond())
    return Lane(Endpoint("e", "http://127.0.0.1/v1", keys), keys[0], "m", transport)


@pytest.mark.parametrize(
    ("status", "code", "keys", "named"),
    [
        (401, None, KEYS[:1], True),
        (401, None, KEYS, True),
        (402, None, KEYS, True),
        (403, None, KEYS, True),
        (429, "insufficient_quota", KEYS, True),
        (402, None, KEYS[:1], False),
        (404, "model_not_found", KEYS, False),
        (None, "certificate", KEYS, False),
    ],
)
def test_the_hint_names_the_key_that_was_refused(
    status: int | None, code: str | None, keys: tuple[Key, ...], named: bool
) -> None:
    """Where it may be wrong, or where it is one of several; never where no key would help."""
    failure = Failure(Fault.ACCOUNT, "no", status, code)
    hint = paused_by("no", "Top up.", failure, lane(keys), []).hint or ""
    assert ("KEY_A" in hint) == named
    assert "sk-1" not in hint


def test_without_a_key_it_says_how_to_set_one() -> None:
    """There is nothing to check."""
    bare = Lane(Endpoint("e", "http://127.0.0.1/v1"), Key(None, ""), "m", lane(KEYS).transport)
    paused = paused_by("no key", "Check the key.", Failure(Fault.ACCOUNT, "no key", 401), bare, [])
    assert (paused.hint or "").startswith("No key was sent. Set one with: export OPENAI_API_KEY=")


def scope_of(key: Key) -> Scope:
    """A scope with one of two keys."""
    transport = FunctionTransport(lambda path, body: respond())
    return Scope(Lane(Endpoint("e", "http://127.0.0.1/v1", KEYS), key, "m", transport), Flow(), Standing(), Standing())


def test_each_dead_key_has_its_own_advice() -> None:
    """What mends one does not mend the other."""
    wrong = Failure(Fault.ACCOUNT, "Incorrect API key", 401)
    empty = Failure(Fault.ACCOUNT, "You exceeded your quota.", 429, "insufficient_quota")
    refusals = [(scope_of(KEYS[0]), wrong), (scope_of(KEYS[1]), empty)]
    paused = paused_by("no", "Top up.", empty, lane(KEYS), refusals)
    first, second = paused.message.splitlines()[1:]
    assert first.startswith("  e, KEY_A: Incorrect API key. Check the key")
    assert second.startswith("  e, KEY_B: You exceeded your quota. The quota is used up")


def test_a_key_that_goes_out_while_another_lives_is_told() -> None:
    """Which, the provider's words, who goes on, and when it is tried again."""
    empty = Failure(Fault.ACCOUNT, "Insufficient balance", 402)
    assert out_words(scope_of(KEYS[0]), empty, [scope_of(KEYS[1])], 300.0) == (
        "e, KEY_A is out: Insufficient balance. e, KEY_B goes on; it is tried again in 5 min."
    )


@pytest.mark.parametrize(
    ("asked_s", "form"), [(3_000.0, r"until \d\d:\d\d:\d\d: wait"), (80_000.0, r"until \d{4}-\d\d-\d\d ")]
)
def test_a_wait_that_is_asked_for_is_told_by_the_clock(asked_s: float, form: str) -> None:
    """A number of seconds would be wrong by the time that it is read."""
    said = asked_to_wait("wait", asked_s, 1_700_000_000.0)
    assert re.search(form, said)
    assert "3000" not in said
