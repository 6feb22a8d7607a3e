"""From exceptions of the HTTP client to failures: the map is complete, and never says `UNSENT` without proof."""

import inspect

import pytest
from pyreqwest import exceptions

from penstock.models import Failure, Fault
from penstock.redaction import Secret
from penstock.transport.settings import TransportSettings
from penstock.transport.translate import translate

SETTINGS = TransportSettings(
    base_url="https://api.example/v1",
    api_key=Secret("secret-key-value"),
    timeout_s=600.0,
    connect_timeout_s=10.0,
    idle_timeout_s=60.0,
    max_response_bytes=1000,
    concurrency=1,
)
CLASSES = [
    found
    for found in vars(exceptions).values()
    if inspect.isclass(found) and issubclass(found, exceptions.PyreqwestError)
]


def build(kind: type[exceptions.PyreqwestError], *causes: str) -> exceptions.PyreqwestError:
    """An exception as pyreqwest builds it, with the details that any of its classes wants."""
    details = {"causes": [{"message": cause} for cause in causes] or None, "status": 500, "doc": "", "pos": 0}
    return kind("what happened", details)


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("elapsed_s", [1.0, 700.0])
def test_every_class_without_proof_is_not_unsent(kind: type[exceptions.PyreqwestError], elapsed_s: float) -> None:
    """Whatever the class suggests, only the causes can say that nothing was sent."""
    failure = translate(build(kind), SETTINGS, elapsed_s, 600.0)
    assert isinstance(failure, Failure)
    assert failure.fault is (Fault.REJECTED if kind is exceptions.BuilderError else Fault.AMBIGUOUS)
    assert failure.code


@pytest.mark.parametrize("kind", [kind for kind in CLASSES if issubclass(kind, exceptions.RequestError)])
def test_every_class_with_proof_is_unsent(kind: type[exceptions.PyreqwestError]) -> None:
    """Where the causes say that no connection was made, the class does not matter."""
    failure = translate(build(kind, "client error (Connect)", "something new"), SETTINGS, 1.0, 600.0)
    assert (failure.fault, failure.code) == (Fault.UNSENT, "tls")


@pytest.mark.parametrize(
    ("causes", "code", "message"),
    [
        (("tcp connect error", "Connection refused (os error 111)"), "refused", "connection refused by api.example"),
        (("tcp connect error", "deadline has elapsed"), "connect_timeout", "no connection to api.example within 10 s"),
        (
            ("tcp connect error", "Network is unreachable (os error 101)"),
            "unreachable",
            "no connection to api.example: Network is unreachable",
        ),
        (
            ("dns error", "failed to lookup address information: Name or service not known"),
            "dns",
            "no such host: api.example",
        ),
        (
            ("dns error", "Temporary failure in name resolution"),
            "dns",
            "the name api.example could not be looked up: Temporary failure in name resolution",
        ),
        (
            ("tunnel error: proxy authorization required",),
            "proxy",
            "the proxy did not connect to api.example: proxy authorization required",
        ),
        (("tls handshake eof",), "tls", "no TLS connection to api.example: tls handshake eof"),
    ],
)
def test_messages_of_what_was_not_sent(causes: tuple[str, ...], code: str, message: str) -> None:
    """Short words that name the host and what happened."""
    error = build(exceptions.ConnectError, "client error (Connect)", *causes)
    assert translate(error, SETTINGS, 1.0, 600.0) == Failure(Fault.UNSENT, message, code=code)


@pytest.mark.parametrize(
    ("elapsed_s", "code", "message"),
    [
        (600.1, "timeout", "no answer from api.example within 600 s"),
        (60.1, "idle_timeout", "nothing came from api.example for 60 s"),
    ],
)
def test_the_time_tells_which_limit_struck(elapsed_s: float, code: str, message: str) -> None:
    """The HTTP client reports total and idle time-outs alike."""
    error = build(exceptions.ConnectTimeoutError, "operation timed out")
    assert translate(error, SETTINGS, elapsed_s, 600.0) == Failure(Fault.AMBIGUOUS, message, code=code)


def test_a_path_cannot_pretend_that_nothing_was_sent() -> None:
    """The first cause repeats the URL, which a row may have chosen."""
    url = "error sending request for url (https://api.example/v1/client error (Connect))"
    error = build(exceptions.ConnectError, url, "client error (SendRequest)", "Connection reset by peer (os error 104)")
    assert translate(error, SETTINGS, 1.0, 600.0).fault is Fault.AMBIGUOUS


def test_no_secret_and_no_control_character_in_a_message() -> None:
    """What a server or the client says is cleaned before a person sees it."""
    error = build(exceptions.RequestError, "echo of secret-key-value \x1b[31m")
    message = translate(error, SETTINGS, 1.0, 600.0).message
    assert "secret-key-value" not in message
    assert "\x1b" not in message
