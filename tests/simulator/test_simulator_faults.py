"""Each fault, seen from the wire."""

import gzip
import http.client
import json
import socket
import ssl
import time
from collections.abc import Callable
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
import trustme

from penstock.simulator import BackgroundSimulator, SimulatorSettings, parse_outage, running

Send = Callable[..., Any]
Open = Callable[[BackgroundSimulator, str], socket.socket]


def read_until(bare: socket.socket, mark: bytes) -> bytes:
    """Everything up to `mark` and a little more."""
    received = b""
    while mark not in received:
        piece = bare.recv(65536)
        assert piece, received
        received += piece
    return received


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (400, "invalid_request_error", "invalid_value"),
        (401, "invalid_request_error", "invalid_api_key"),
        (402, "insufficient_quota", "insufficient_quota"),
        (404, "invalid_request_error", "model_not_found"),
        (429, "requests", "rate_limit_exceeded"),
        (500, "server_error", "server_error"),
        (308, "server_error", "server_error"),
        (503, "server_error", "overloaded"),
        (529, "overloaded_error", "overloaded"),
    ],
)
def test_a_status_comes_with_its_usual_error(chat: Send, status: int, kind: str, code: str) -> None:
    """In the provider's shape."""
    with running() as sim:
        answer = chat(sim, f"[[fault:status={status}]]")
    assert answer.status == status
    assert answer.json()["error"]["type"] == kind
    assert answer.json()["error"]["code"] == code


def test_code_and_message_can_be_chosen(chat: Send) -> None:
    """For errors that only their words tell apart."""
    with running() as sim:
        error = chat(sim, "[[fault:status=429,code=insufficient_quota,message=No money left]]").json()["error"]
    assert (error["code"], error["message"]) == ("insufficient_quota", "No money left")


@pytest.mark.parametrize(
    ("fault", "header", "value"),
    [
        ("retry_after=7", "retry-after", "7"),
        ("retry_after=-5", "retry-after", "-5"),
        ("retry_after=NaN", "retry-after", "NaN"),
        ("retry_after=1e9", "retry-after", "1e9"),
        ("retry_after_ms=250", "retry-after-ms", "250"),
        ("reset_requests=1m30s", "x-ratelimit-reset-requests", "1m30s"),
        ("reset_tokens=6ms", "x-ratelimit-reset-tokens", "6ms"),
    ],
)
def test_headers_of_waiting_are_sent_as_they_stand(chat: Send, fault: str, header: str, value: str) -> None:
    """Absurd ones too."""
    with running() as sim:
        assert chat(sim, f"[[fault:status=429,{fault}]]").headers[header] == value


@pytest.mark.parametrize("seconds", [30, -60])
def test_retry_after_can_be_a_date(chat: Send, seconds: int) -> None:
    """Relative to the moment of the answer, also in the past."""
    with running() as sim:
        answer = chat(sim, f"[[fault:status=503,retry_after=date{seconds:+}]]")
    date, until = (parsedate_to_datetime(answer.headers[name]) for name in ("date", "retry-after"))
    assert (until - date).total_seconds() == pytest.approx(seconds, abs=1)


@pytest.mark.parametrize("seconds", [30, -60])
def test_any_header_can_be_sent_and_hold_a_moment(chat: Send, seconds: int) -> None:
    """In seconds or milliseconds since 1970, or as an ISO date."""
    names = {"iso": "anthropic-ratelimit-tokens-reset", "epoch": "x-ratelimit-reset", "epoch_ms": "X-Reset"}
    pairs = [f"header.{name}={form}{seconds:+}" for form, name in names.items()]
    with running() as sim:
        headers = chat(sim, f"[[fault:status=429,{','.join(pairs)},header.x-plain=1m30s]]").headers
    now_s = parsedate_to_datetime(headers["date"]).timestamp()
    assert datetime.fromisoformat(headers[names["iso"]]).timestamp() - now_s == pytest.approx(seconds, abs=1.5)
    assert float(headers["x-ratelimit-reset"]) - now_s == pytest.approx(seconds, abs=1.5)
    assert float(headers["x-reset"]) / 1000 - now_s == pytest.approx(seconds, abs=1.5)
    assert headers["x-plain"] == "1m30s"


@pytest.mark.parametrize(
    ("body", "kind"), [('{"error": [1, 2, {"a": "b, c"}] }', "application/json"), ("busy, very", "text/plain")]
)
def test_a_body_can_be_given_word_for_word(chat: Send, body: str, kind: str) -> None:
    """With commas; it is the last of the pairs."""
    with running() as sim:
        answers = [chat(sim, f"[[fault:status=400,times=1,raw={body}]]") for _ in range(2)]
    assert [answer.status for answer in answers] == [400, 200]
    assert answers[0].body.decode() == body
    assert answers[0].headers["content-type"].startswith(kind)


def test_the_type_of_an_error_can_be_chosen(chat: Send) -> None:
    """Some providers have no code."""
    with running() as sim:
        error = chat(sim, "[[fault:status=429,type=exceeded_current_quota_error]]").json()["error"]
    assert error["type"] == "exceeded_current_quota_error"


@pytest.mark.parametrize("status", [200, 502])
def test_a_page_can_stand_in_place_of_the_answer(chat: Send, status: int) -> None:
    """HTML under any status."""
    with running() as sim:
        answer = chat(sim, f"[[fault:body=html,status={status}]]")
    assert answer.status == status
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.body.startswith(b"<!DOCTYPE html>")


def test_an_error_can_hide_inside_a_success(chat: Send) -> None:
    """Status 200 with an error object."""
    with running() as sim:
        answer = chat(sim, "[[fault:body=error,code=upstream_error]]")
    assert answer.status == 200
    assert answer.json()["error"]["code"] == "upstream_error"


def test_json_can_be_broken(chat: Send) -> None:
    """Half of the answer, as a complete HTTP body."""
    with running() as sim:
        answer = chat(sim, "[[fault:body=bad_json]]")
    assert answer.status == 200
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        answer.json()


def test_the_body_can_be_empty(chat: Send) -> None:
    """Under status 200."""
    with running() as sim:
        answer = chat(sim, "[[fault:body=empty]]")
    assert (answer.status, answer.body) == (200, b"")


@pytest.mark.parametrize(
    ("path", "asked", "member"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "[[fault:body=no_choices]]"}]}, "choices"),
        ("/v1/completions", {"prompt": "[[fault:body=no_choices]]"}, "choices"),
        ("/v1/responses", {"input": "[[fault:body=no_choices]]"}, "output"),
        ("/v1/embeddings", {"input": "[[fault:body=no_choices]]"}, "data"),
        ("/v1/moderations", {"input": "[[fault:body=no_choices]]"}, "results"),
    ],
)
def test_an_answer_can_answer_nothing(send: Send, path: str, asked: dict[str, Any], member: str) -> None:
    """Well formed, with usage, and empty."""
    with running() as sim:
        answer = send(sim, path, {"model": "sim", **asked})
    assert answer.status == 200
    assert answer.json()[member] == []


def test_a_body_can_be_oversized(chat: Send) -> None:
    """By as many megabytes as asked for, and still be valid JSON."""
    with running() as sim:
        answer = chat(sim, "[[fault:body=oversized,mb=3]]")
    assert len(answer.body) > 3 * 1024 * 1024
    assert answer.json()["object"] == "chat.completion"


def test_a_body_can_be_a_bomb(chat: Send) -> None:
    """Small on the wire, and as many megabytes as asked for when it is unpacked; valid JSON in the end."""
    with running() as sim:
        answer = chat(sim, "[[fault:body=bomb,mb=5]]")
    assert answer.headers["content-encoding"] == "gzip"
    assert len(answer.body) < 50_000
    unpacked = gzip.decompress(answer.body)
    assert len(unpacked) > 5 * 1024 * 1024
    assert json.loads(unpacked)["object"] == "chat.completion"


def test_a_body_can_be_deep(chat: Send) -> None:
    """Deeper than a careless parser bears."""
    with running() as sim:
        assert chat(sim, "[[fault:body=deep]]").body.count(b"[") == 100_000


def test_a_number_can_be_long(chat: Send) -> None:
    """A million digits."""
    with running() as sim:
        assert chat(sim, "[[fault:body=digits]]").body.count(b"9") == 1_000_000


def test_text_can_be_badly_encoded(chat: Send) -> None:
    """Bytes that are no UTF-8, inside an otherwise good answer."""
    with running() as sim:
        answer = chat(sim, "[[fault:body=bad_utf8]]")
    with pytest.raises(UnicodeDecodeError):
        answer.body.decode()


def test_plain_text_can_stand_in_place_of_the_answer(chat: Send) -> None:
    """Under status 200, as some gateways do."""
    with running() as sim:
        answer = chat(sim, "[[fault:body=text]]")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    assert b"busy" in answer.body


@pytest.mark.parametrize("body", ["deep", "digits", "bad_utf8", "bomb"])
def test_a_stream_can_hold_a_hostile_event(chat: Send, body: str) -> None:
    """After half of the good ones, and nothing after it."""
    with running() as sim:
        answer = chat(sim, f"[[fault:body={body},mb=1]]", stream=True)
    received = gzip.decompress(answer.body) if body == "bomb" else answer.body
    assert received.count(b"data: ") > 1
    assert (b"[DONE]" in received) == (body == "bomb")


@pytest.mark.parametrize(("finish", "reason"), [("length", "length"), ("content_filter", "content_filter")])
def test_the_finish_reason_can_be_chosen(chat: Send, finish: str, reason: str) -> None:
    """The answer is otherwise good."""
    with running() as sim:
        assert chat(sim, f"[[fault:finish={finish}]]").json()["choices"][0]["finish_reason"] == reason


def test_a_finish_reason_can_be_missing(chat: Send) -> None:
    """`null`, as in an answer that was cut off."""
    with running() as sim:
        assert chat(sim, "[[fault:finish=missing]]").json()["choices"][0]["finish_reason"] is None


def test_an_answer_can_be_a_refusal(chat: Send) -> None:
    """It stops as usual, but has a refusal where the content was."""
    with running() as sim:
        choice = chat(sim, "[[fault:finish=refusal]]").json()["choices"][0]
    assert choice["finish_reason"] == "stop"
    assert choice["message"]["content"] is None
    assert choice["message"]["refusal"]


def test_a_response_can_be_a_refusal(send: Send) -> None:
    """In the shape of the Responses API."""
    with running() as sim:
        answer = send(sim, "/v1/responses", {"model": "sim", "input": "[[fault:finish=refusal]]"}).json()
    assert answer["output"][0]["content"][0]["type"] == "refusal"


def test_an_answer_can_be_late(chat: Send) -> None:
    """By at least the delay."""
    with running() as sim:
        started_s = time.monotonic()
        chat(sim, "[[fault:delay_ms=50]]")
        assert time.monotonic() - started_s >= 0.05


def test_a_body_can_drip(open_chat: Open) -> None:
    """Byte by byte, and no faster than asked; complete in the end."""
    started_s = time.monotonic()
    with running(SimulatorSettings(output_tokens=1)) as sim, open_chat(sim, "[[fault:drip_per_s=4000]]") as bare:
        received = read_until(bare, b"}}}")
    _, _, body = received.partition(b"\r\n\r\n")
    assert time.monotonic() - started_s >= 0.9 * len(body) / 4000
    assert body.startswith(b'{"id":"chatcmpl-')


@pytest.mark.parametrize(("where", "expected"), [("head", b""), ("body", b"HTTP/1.1 200 OK")])
def test_a_connection_can_fall_silent(open_chat: Open, where: str, expected: bytes) -> None:
    """Before the head, or half-way through the body; it is not closed."""
    with running() as sim, open_chat(sim, f"[[fault:stall={where}]]") as bare:
        received = read_until(bare, b'"choices"') if expected else b""
        bare.settimeout(0.1)
        with pytest.raises(TimeoutError):
            bare.recv(65536)
    assert received.startswith(expected)
    assert not received.endswith(b"}}}")


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_connection_can_be_reset_without_an_answer(open_chat: Open, when: str) -> None:
    """A real reset, not an orderly close."""
    with running() as sim, open_chat(sim, f"[[fault:reset={when}]]") as bare, pytest.raises(ConnectionResetError):
        bare.recv(65536)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_connection_can_be_closed_without_an_answer(open_chat: Open, when: str) -> None:
    """In good order, which says nothing about the request either."""
    with running() as sim, open_chat(sim, f"[[fault:close={when}]]") as bare:
        assert bare.recv(65536) == b""


def test_an_answer_can_be_no_http(open_chat: Open) -> None:
    """What a port answers that speaks something else."""
    with running() as sim, open_chat(sim, "[[fault:body=no_http]]") as bare:
        assert b"no HTTP" in bare.recv(65536)


def test_a_connection_can_be_reset_in_the_middle_of_the_answer(open_chat: Open) -> None:
    """The first half arrives."""
    with running() as sim, open_chat(sim, "[[fault:reset=answer]]") as bare:
        received = read_until(bare, b'"choices"')
        with pytest.raises(ConnectionResetError):
            read_until(bare, b'"usage"')
    assert received.startswith(b"HTTP/1.1 200 OK")


def test_a_body_can_be_shorter_than_promised(chat: Send) -> None:
    """The connection closes before content-length is reached."""
    with running() as sim, pytest.raises(http.client.IncompleteRead) as caught:
        chat(sim, "[[fault:short_bytes=10]]")
    assert caught.value.expected == 10


def test_a_stream_can_be_cut(chat: Send) -> None:
    """The last chunk never comes."""
    with running() as sim, pytest.raises(http.client.IncompleteRead):
        chat(sim, "[[fault:short_bytes=40]]", stream=True)


def test_faults_combine(chat: Send) -> None:
    """A page that drips under status 502."""
    with running() as sim:
        answer = chat(sim, "[[fault:status=502,body=html,drip_per_s=20000]]")
    assert answer.status == 502
    assert answer.body.endswith(b"</html>\n")


def test_a_connection_can_be_reset_before_the_body_is_read() -> None:
    """In an outage the head is enough."""
    outage = parse_outage("0-1000000:reset=before")
    with running(SimulatorSettings(outages=(outage,))) as sim:
        with socket.create_connection(("127.0.0.1", urlsplit(sim.base_url).port or 0), timeout=10) as bare:
            bare.sendall(b"POST /v1/embeddings HTTP/1.1\r\nhost: sim\r\ncontent-length: 1000000\r\n\r\n")
            with pytest.raises(ConnectionResetError):
                bare.recv(65536)
        assert (sim.bill().requests, sim.bill().faults) == (1, 1)


def test_a_connection_serves_one_request_after_another(open_chat: Open) -> None:
    """Answers come in the order of the requests, also where those did not wait."""
    message = b'{"model": "sim", "input": "%s"}'
    head = b"POST /v1/responses HTTP/1.1\r\nhost: sim\r\ncontent-length: %d\r\n\r\n"
    with running(SimulatorSettings(latency_ms=5)) as sim, open_chat(sim, "first") as bare:
        for text in (b"second", b"third[[fault:status=503]]"):
            body = message % text
            bare.sendall(head % len(body) + body)
        received = read_until(bare, b"overloaded")
    assert received.index(b"first") < received.index(b"second") < received.index(b"HTTP/1.1 503")


def test_what_is_not_http_is_refused(open_chat: Open) -> None:
    """And the connection closed."""
    with running() as sim, open_chat(sim, "hello") as bare:
        read_until(bare, b"}}}")
        bare.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        received = read_until(bare, b"This is not HTTP.")
    assert received.startswith(b"HTTP/1.1 400")


def test_leave_to_send_the_body_is_given(open_chat: Open) -> None:
    """To a client that asks for it."""
    with running() as sim, open_chat(sim, "hello") as bare:
        read_until(bare, b"}}}")
        bare.sendall(b"POST /v1/responses HTTP/1.1\r\nhost: sim\r\nexpect: 100-continue\r\ncontent-length: 9\r\n\r\n")
        assert read_until(bare, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"


def test_tls_is_spoken_where_a_context_is_given() -> None:
    """And a connection can break there too, without a goodbye."""
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(client)
    request = b"POST /v1/responses HTTP/1.1\r\nhost: sim\r\ncontent-length: %d\r\n\r\n%b"
    body = b'{"model": "sim", "input": "hello[[fault:reset=answer]]"}'
    with running(tls=server) as sim:
        assert sim.base_url.startswith("https://")
        bare = socket.create_connection(("127.0.0.1", urlsplit(sim.base_url).port or 0), timeout=10)
        with client.wrap_socket(bare, server_hostname="127.0.0.1", suppress_ragged_eofs=False) as wrapped:
            wrapped.sendall(request % (len(body), body))
            assert b"HTTP/1.1 200 OK" in read_until(wrapped, b'{"id":"resp_')
            with pytest.raises((ssl.SSLEOFError, ConnectionResetError)):
                read_until(wrapped, b'"usage"')
