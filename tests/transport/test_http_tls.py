"""TLS: what is trusted, and what a handshake that fails means."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from penstock.errors import UsageError
from penstock.models import Failure, Fault, HttpResponse
from penstock.redaction import Secret
from penstock.transport.http import HttpTransport

if TYPE_CHECKING:
    from tests.transport.conftest import Exchange, Script, Settings, Tls, Wire

LONG_AGO = {
    "not_before": datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC),
    "not_after": datetime.datetime(2021, 1, 1, tzinfo=datetime.UTC),
}


async def _answer(wire: Wire) -> None:
    await wire.answer()


async def _reset_after_request(wire: Wire) -> None:
    await wire.request()
    wire.reset()


async def _plain_http(wire: Wire) -> None:
    await wire.reader.read(65536)
    await wire.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    await wire.until_closed()


async def _hang_up(wire: Wire) -> None:
    await wire.reader.read(65536)


async def _stall(wire: Wire) -> None:
    await wire.until_closed()


def test_an_authority_from_a_file_is_trusted(exchange: Exchange, tls: Tls, ca_file: str) -> None:
    """`ca_file` adds every certificate in it to the trusted ones."""
    outcome, server = exchange(_answer, tls=tls(), scheme="https", ca_file=ca_file)
    assert isinstance(outcome, HttpResponse)
    assert len(server.requests) == 1


def test_an_unknown_authority_pauses_the_account(exchange: Exchange, tls: Tls) -> None:
    """A certificate that nobody vouches for is not retried, and the message names host and remedy."""
    outcome, server = exchange(_answer, tls=tls(), scheme="https")
    assert isinstance(outcome, Failure)
    assert (outcome.fault, outcome.code) == (Fault.ACCOUNT, "certificate")
    assert outcome.message == (
        f"the certificate of 127.0.0.1:{server.port} is not trusted (UnknownIssuer); see --ca-file"
    )
    assert server.requests == []


@pytest.mark.parametrize(
    ("name", "validity", "reason"),
    [("api.example", {}, "not valid for name"), ("127.0.0.1", LONG_AGO, "certificate expired")],
)
def test_a_certificate_that_does_not_fit_pauses_the_account(
    exchange: Exchange, tls: Tls, ca_file: str, name: str, validity: dict[str, datetime.datetime], reason: str
) -> None:
    """Another host's certificate, or an expired one, is refused although its authority is trusted."""
    outcome, server = exchange(_answer, tls=tls(name, **validity), scheme="https", ca_file=ca_file)
    assert isinstance(outcome, Failure)
    assert (outcome.fault, outcome.code) == (Fault.ACCOUNT, "certificate")
    assert reason in outcome.message
    assert server.requests == []


@pytest.mark.parametrize(
    ("script", "code", "limits"),
    [(_plain_http, "tls", {}), (_hang_up, "tls", {}), (_stall, "connect_timeout", {"connect_timeout_s": 0.3})],
)
def test_a_handshake_that_fails_is_unsent(
    exchange: Exchange, script: Script, code: str, limits: dict[str, Any]
) -> None:
    """A server that speaks no TLS, hangs up or stalls during the handshake never saw the request."""
    outcome, server = exchange(script, scheme="https", **limits)
    assert isinstance(outcome, Failure)
    assert (outcome.fault, outcome.code) == (Fault.UNSENT, code)
    assert (server.connections, server.requests) == (1, [])


def test_a_reset_inside_tls_is_ambiguous(exchange: Exchange, tls: Tls, ca_file: str) -> None:
    """TLS changes nothing: what was read may have been billed."""
    outcome, server = exchange(_reset_after_request, tls=tls(), scheme="https", ca_file=ca_file)
    assert isinstance(outcome, Failure)
    assert (outcome.fault, outcome.code) == (Fault.AMBIGUOUS, "reset")
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"",
        b"not a certificate",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        b"-----BEGIN CERTIFICATE-----\nAAAA",
    ],
)
def test_a_ca_file_that_cannot_be_used_is_refused_at_once(
    settings: Settings, tmp_path: Path, content: bytes | None
) -> None:
    """A missing, empty or broken `ca_file` is wrong usage, and the message names it."""
    path = tmp_path / "company.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=r"company\.pem"):
        HttpTransport(settings(ca_file=str(path)))


def test_a_machine_without_authorities_is_told_what_to_install(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the system trusts nobody, wrong usage says which package is missing."""
    monkeypatch.setenv("SSL_CERT_FILE", "/dev/null")
    monkeypatch.setenv("SSL_CERT_DIR", "/nonexistent")
    with pytest.raises(UsageError, match="ca-certificates"):
        HttpTransport(settings())


@pytest.mark.parametrize("base_url", ["nonsense", "http://", "ftp://127.0.0.1/v1", "http://127.0.0.1:99999/v1"])
def test_a_bad_base_url_is_refused_at_once(settings: Settings, base_url: str) -> None:
    """A base URL that cannot be called is wrong usage."""
    with pytest.raises(UsageError, match="is not a URL"):
        HttpTransport(settings(base_url=base_url))


def test_a_key_that_no_header_can_carry_is_refused_without_showing_it(settings: Settings) -> None:
    """A line break in the key is wrong usage, and the message does not hold the key."""
    with pytest.raises(UsageError) as caught:
        HttpTransport(settings(api_key=Secret("sk-do-not-show-me\n")))
    assert "do-not-show-me" not in str(caught.value)
