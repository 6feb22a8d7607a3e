"""What a person is told when no key is left."""

import pytest

from penstock.endpoints import Endpoint, Key
from penstock.engine.refusals import paused_by
from penstock.engine.scope import Lane
from penstock.models import Failure, Fault
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
