"""What can be told to a run: settings as people write them, what goes over the wire, and what is answered."""

import pytest

from penstock.control.commands import (
    SETTABLE,
    Drain,
    Pause,
    ReloadKeys,
    Resume,
    SetValue,
    Status,
    Stop,
    Value,
    parse_setting,
)
from penstock.control.wire import (
    MAX_REQUEST_BYTES,
    Done,
    Refused,
    Reply,
    Request,
    Told,
    decode_reply,
    decode_request,
    encode_reply,
    encode_request,
)
from penstock.errors import UsageError
from penstock.events import Change, Money, ScopeStatus, Snapshot
from penstock.models import Totals
from penstock.options import RunOptions

CHANGES = (Change(1.5, "rpm", None, 600.0, "announced"), Change(2.5, "rpm", 600.0, 510.0, "429"))
SNAPSHOT = Snapshot(
    elapsed_s=1.0,
    totals=Totals(accepted=3, ok=1, faults={"rejected": 1}),
    total=None,
    before=0,
    in_flight=2,
    waiting=0,
    limit=20,
    binds="rpm",
    money=Money("CNY", 1.0, 0.5, 0.0, None, budget=2.0),
    scopes=(ScopeStatus("sim", "key 1", "m", 20, 2, 510.0, None, "rpm", CHANGES),),
)


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("concurrency=50", "concurrency", 50),
        ("concurrency=auto", "concurrency", "auto"),
        ("max-concurrency=800", "max_concurrency", 800),
        ("max_concurrency=800", "max_concurrency", 800),
        ("rpm=600", "rpm", 600.0),
        ("rpm=none", "rpm", None),
        ("tpm=1e6", "tpm", 1e6),
        ("budget=12.50", "budget", 12.5),
        ("budget = none", "budget", None),
    ],
)
def test_a_setting_is_read_as_the_option_is(text: str, name: str, value: Value) -> None:
    """With the type that the option has, and none for no limit."""
    assert parse_setting(text) == SetValue(name, value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("concurrency", "not of the form NAME=VALUE"),
        ("concurrency=", "concurrency must be "),
        ("concurrency=0", "concurrency must be auto or a whole number of at least 1; it is 0"),
        ("concurrency=many", "concurrency must be "),
        ("concurrency=none", "concurrency must be "),
        ("max-concurrency=auto", "max-concurrency must be "),
        ("max-concurrency=none", "max-concurrency must be "),
        ("rpm=-1", "rpm must be a number above 0; it is -1"),
        ("rpm=fast", "rpm must be "),
        ("budget=nan", "budget must be "),
        ("budget=inf", "budget must be a number above 0; it is inf"),
        ("tpm=1e999", "tpm must be "),
        ("timeout=5", "'timeout' cannot be set while a run works"),
        ("=5", "'' cannot be set"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(text: str, words: str) -> None:
    """With the name and what was expected."""
    with pytest.raises(UsageError) as refused:
        parse_setting(text)
    assert words in refused.value.message


def test_what_can_be_set_are_options() -> None:
    """None is invented here, and a refusal names them all as flags do."""
    assert set(SETTABLE) <= set(RunOptions.__struct_fields__)
    with pytest.raises(UsageError) as refused:
        parse_setting("colour=red")
    assert refused.value.hint == "What can: concurrency, max-concurrency, rpm, tpm, budget."


@pytest.mark.parametrize(
    "request_",
    [
        Pause(),
        Resume(),
        ReloadKeys(),
        Drain(),
        Stop(),
        Status(),
        SetValue("concurrency", "auto"),
        SetValue("concurrency", 50),
        SetValue("rpm", 600.0),
        SetValue("budget", None),
    ],
)
def test_a_request_arrives_as_it_was_sent(request_: Request) -> None:
    """On one line, well below what is read of one."""
    line = encode_request(request_)
    assert decode_request(line) == request_
    assert line.count(b"\n") == 1
    assert len(line) < MAX_REQUEST_BYTES


@pytest.mark.parametrize("reply", [Done("Paused.\nIndeed."), Refused("No.", "Later."), Refused("No."), Told(SNAPSHOT)])
def test_a_reply_arrives_as_it_was_sent(reply: Reply) -> None:
    """On one line, with every scope and what was changed there."""
    line = encode_reply(reply)
    assert decode_reply(line) == reply
    assert line.count(b"\n") == 1


def test_the_run_checks_a_setting_again() -> None:
    """Whoever writes to the socket need not have been checked."""
    with pytest.raises(UsageError, match="must be auto or a whole number of at least 1; it is -5"):
        decode_request(b'{"type":"set","name":"concurrency","value":-5}')


def test_a_reply_of_another_version_is_no_crash() -> None:
    """It says what to do."""
    with pytest.raises(UsageError, match="another version of penstock"):
        decode_reply(b'{"type":"sung"}')
