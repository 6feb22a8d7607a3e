"""The whole failure matrix over real sockets: what a run makes of each way to fail, against the provider's own bill.

One row, one simulated provider. A row that heals fails once and is then answered; one that fails fails always; one
that pauses stops the run with its task pending, and the same run goes on when the trouble is over.
"""

import asyncio
import json
import socket
import ssl
from typing import Any

import pytest
import trustme

from penstock.clock import SystemClock
from penstock.events import Ending, Finished
from penstock.models import Fault, Result, Status
from penstock.simulator import Bill, running
from penstock.transport.http import HttpTransport
from penstock.transport.settings import TransportSettings

THROTTLED, OVERLOADED, AMBIGUOUS = Fault.THROTTLED, Fault.OVERLOADED, Fault.AMBIGUOUS
SHORT_S = 0.2
"""A time-out for answers that never come. Nothing that is answered is given so little."""

USUAL = {"timeout_s": 20.0, "connect_timeout_s": 10.0, "max_response_bytes": 1_000_000, "concurrency": 4}

RETRY_INFO = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "0.02s"}
GEMINI = [{"error": {"code": 429, "message": "You exceeded your current quota", "details": [RETRY_INFO]}}]
OPENROUTER = {"error": {"code": 429, "message": "Limit", "metadata": {"retry_after_seconds": 0.02}}}
MAPPED = {"error": {"code": 503, "message": "No provider is available"}}
QUOTA_EXCEPTION = {"__type": "ServiceQuotaExceededException", "message": "Too many tokens"}


def raw(body: object) -> str:
    """A body word for word. Two brackets at its end would end the marker too."""
    return f"raw={json.dumps(body)} "


HEALS: list[tuple[str, str, Fault]] = [
    ("429: Retry-After in seconds", "status=429,retry_after=0.15", THROTTLED),
    ("429: retry-after-ms", "status=429,retry_after_ms=150", THROTTLED),
    ("429: Retry-After as a date", "status=429,retry_after=date+0.1", THROTTLED),
    ("429: Retry-After as a moment", "status=429,retry_after=epoch+0.05", THROTTLED),
    ("429: reset as a duration", "status=429,reset_requests=20ms", THROTTLED),
    ("429: reset as seconds since 1970", "status=429,header.x-ratelimit-reset=epoch+0.05", THROTTLED),
    ("429: reset as milliseconds since 1970", "status=429,header.x-ratelimit-reset=epoch_ms+0.05", THROTTLED),
    ("429: reset as an ISO date", "status=429,header.anthropic-ratelimit-tokens-reset=iso+0.05", THROTTLED),
    ("429: RetryInfo in the body", f"status=429,{raw(GEMINI)}", THROTTLED),
    ("429: seconds in the body", f"status=429,{raw(OPENROUTER)}", THROTTLED),
    ("429: wait in words", "status=429,message=Please try again in 20 ms.", THROTTLED),
    ("429: without a hint", "status=429", THROTTLED),
    ("429: slow_down", "status=429,code=slow_down,retry_after_ms=20", THROTTLED),
    ("402: with Retry-After", "status=402,type=payment,code=in_flight_budget,retry_after_ms=20", THROTTLED),
    ("498: no flexible capacity", "status=498,type=capacity,code=capacity_exceeded", THROTTLED),
    ("400: ServiceQuotaExceeded", f"status=400,{raw(QUOTA_EXCEPTION)}", THROTTLED),
    ("429: ModelNotReady", "status=429,code=ModelNotReadyException", THROTTLED),
    ("429: negative wait", "status=429,retry_after=-5", THROTTLED),
    ("429: a wait that is no number", "status=429,retry_after=NaN", THROTTLED),
    ("429: endless wait", "status=429,retry_after=inf", THROTTLED),
    ("429: absurd wait", "status=429,retry_after=1e9", THROTTLED),
    ("429: date in the past", "status=429,retry_after=date-60", THROTTLED),
    ("529", "status=529", OVERLOADED),
    ("503", "status=503", OVERLOADED),
    ("503: with Retry-After", "status=503,retry_after_ms=150", OVERLOADED),
    ("500", "status=500", OVERLOADED),
    ("521: the origin refused", "status=521,body=html", OVERLOADED),
    ("200: error that names 503", raw(MAPPED), OVERLOADED),
    ("502: page of a proxy", "status=502,body=html", AMBIGUOUS),
    ("504", "status=504", AMBIGUOUS),
    ("520", "status=520,body=html", AMBIGUOUS),
    ("522", "status=522", AMBIGUOUS),
    ("524", "status=524", AMBIGUOUS),
    ("408", "status=408", AMBIGUOUS),
    ("reset before it was taken", "reset=before", AMBIGUOUS),
    ("reset after it was taken", "reset=after", AMBIGUOUS),
    ("reset half-way", "reset=answer", AMBIGUOUS),
    ("closed before it was taken", "close=before", AMBIGUOUS),
    ("closed after it was taken", "close=after", AMBIGUOUS),
    ("cut short", "short_bytes=10", AMBIGUOUS),
    ("no HTTP", "body=no_http", AMBIGUOUS),
    ("200: web page", "body=html", AMBIGUOUS),
    ("200: plain text", "body=text", AMBIGUOUS),
    ("200: nothing", "body=empty", AMBIGUOUS),
    ("200: half of the JSON", "body=bad_json", AMBIGUOUS),
    ("200: no UTF-8", "body=bad_utf8", AMBIGUOUS),
    ("200: no choices", "body=no_choices", AMBIGUOUS),
    ("200: error without a status", "body=error,type=upstream_error,code=upstream_error", AMBIGUOUS),
    ("200: no finish reason", "finish=missing", AMBIGUOUS),
    ("200: bomb", "body=bomb,mb=2", AMBIGUOUS),
    ("200: oversized", "body=oversized,mb=2", AMBIGUOUS),
    ("200: deep JSON", "body=deep", AMBIGUOUS),
    ("400: cut on the way up", "status=400,message=not valid JSON: unexpected end of data", Fault.UNSENT),
]


class Drive:
    """Does a run over real sockets."""

    def __init__(self, runs: Any) -> None:
        self._runs = runs

    def __call__(
        self,
        *prompts: str,
        base_url: str,
        settings: dict[str, Any] | None = None,
        hurried: bool = False,
        **options: Any,
    ) -> Finished:
        """What becomes of tasks with these prompts; back-offs take no time beyond what the provider asks.

        A hurried run lives faster than the provider, so that it must not be asked to wait.
        """
        asked: dict[str, Any] = USUAL | {"base_url": base_url} | (settings or {})
        plan = self._runs.plan(
            list(prompts),
            None,
            connect=lambda endpoint, key: HttpTransport(TransportSettings(**asked)),
            draw=lambda: 0.0,
            concurrency=asked["concurrency"],
            timeout_s=asked["timeout_s"],
            **options,
        )
        finished: Finished = asyncio.run(self._runs.execute(plan, None if hurried else SystemClock()))
        return finished

    @property
    def result(self) -> Result:
        """What the only task came to."""
        (result,) = self._runs.results().values()
        assert isinstance(result, Result)
        return result


@pytest.fixture
def drive(runs: Any) -> Drive:
    """Runs in a folder of their own."""
    return Drive(runs)


def assert_paid_for(bill: Bill, finished: Finished) -> None:
    """Nothing was bought that is neither kept nor counted as unknown."""
    assert bill.billed <= finished.totals.ok + finished.totals.partial + finished.totals.unknown


@pytest.mark.parametrize(("fault", "expected"), [case[1:] for case in HEALS], ids=[case[0] for case in HEALS])
def test_a_failure_that_passes_is_waited_out(drive: Drive, fault: str, expected: Fault) -> None:
    """The second attempt is answered; only where the first may have been billed it is counted as unknown."""
    with running() as sim:
        finished = drive(f"[[fault:times=1,{fault}]]", base_url=sim.base_url)
        bill = sim.bill()
    assert (finished.ending, finished.totals.ok) == (Ending.FINISHED, 1), finished
    assert [attempt.fault for attempt in drive.result.attempts] == [expected, None]
    assert finished.totals.unknown == (expected is AMBIGUOUS)
    assert (bill.requests, bill.impolite) == (2, 0)
    assert_paid_for(bill, finished)


ENOUGH = {"timeout_s": SHORT_S}
FAILS: list[tuple[str, str, Fault, int, str, dict[str, Any]]] = [
    ("400", "status=400,message=Far too rude", Fault.REJECTED, 1, "Far too rude", {}),
    ("404 of a thing", "status=404,code=no_file,message=No such file", Fault.REJECTED, 1, "No such file", {}),
    ("413", "status=413", Fault.REJECTED, 1, "too large", {}),
    ("413: larger than the limit", "status=413,code=rate_limit_exceeded,message=Request too large for model x on TPM",
     Fault.REJECTED, 1, "Request too large", {}),
    ("429: larger than the limit", "status=429,message=Request too large for x", Fault.REJECTED, 1, "too large", {}),
    ("415", "status=415,message=No such image type", Fault.REJECTED, 1, "image type", {}),
    ("422", "status=422,message=No such field", Fault.REJECTED, 1, "No such field", {}),
    ("too long", "status=400,code=context_length_exceeded,message=Too long", Fault.REJECTED, 1, "Too long", {}),
    ("content filter", "status=400,code=content_filter,message=It was filtered", Fault.REJECTED, 1, "filtered", {}),
    ("502 for ever", "status=502,body=html", AMBIGUOUS, 2, "Bad gateway", {}),
    ("reset for ever", "reset=after", AMBIGUOUS, 2, "", {}),
    ("no answer in time", "stall=head", AMBIGUOUS, 2, "no answer", ENOUGH),
    ("no end in time", "stall=body", AMBIGUOUS, 2, "no answer", ENOUGH),
    ("no progress", "stall=body", AMBIGUOUS, 2, "nothing came", {"idle_timeout_s": SHORT_S}),
    ("a drip that takes too long", "drip_per_s=20", AMBIGUOUS, 2, "no answer", ENOUGH),
    ("bomb for ever", "body=bomb,mb=2", AMBIGUOUS, 2, "larger than", {}),
    ("web page for ever", "body=html", AMBIGUOUS, 2, "HTML page", {}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("fault", "expected", "attempts", "words", "settings"),
    [case[1:] for case in FAILS],
    ids=[case[0] for case in FAILS],
)
def test_a_failure_that_stays_is_a_failed_row(
    drive: Drive, fault: str, expected: Fault, attempts: int, words: str, settings: dict[str, Any]
) -> None:
    """With the words: at once where it is the task's own fault, after one more try where it may have been billed."""
    with running() as sim:
        finished = drive(f"[[fault:{fault}]]", base_url=sim.base_url, settings=settings)
        bill = sim.bill()
    assert (finished.ending, finished.totals.failed) == (Ending.FINISHED, 1), finished
    result = drive.result
    assert result.failure is not None
    assert result.failure.fault is expected
    # A machine that is too busy to connect within a short time-out tries once more, for nothing.
    assert [attempt.fault for attempt in result.attempts if attempt.fault is not Fault.UNSENT] == [expected] * attempts
    assert words in result.failure.message
    assert bill.requests == attempts or settings
    assert finished.totals.unknown == (attempts if expected is AMBIGUOUS else 0)
    assert_paid_for(bill, finished)


PAUSES: list[tuple[str, str, str]] = [
    ("401", "status=401", "Incorrect API key"),
    ("402: without Retry-After", "status=402", "Insufficient balance"),
    ("403", "status=403", "not permitted"),
    ("403: billing", "status=403,code=insufficient_user_quota,message=No credit", "No credit"),
    ("404 of the model", "status=404", "does not exist"),
    ("429: quota", "status=429,code=insufficient_quota,message=No money,retry_after_ms=20", "No money"),
    ("429: credit", "status=429,code=credit_balance_exhausted,message=No credit", "No credit"),
    ("429: spend limit", "status=429,code=project_spend_limit_exceeded,message=Spent", "Spent"),
    ("429: unknown code, words of money", "status=429,code=9,message=余额不足", "余额不足"),
    ("400: spend cap", "status=400,message=You have reached your API usage limits.", "usage limits"),
    ("400: credit", "status=400,message=Your credit balance is too low", "credit balance"),
    ("412: suspended", "status=412,message=Account is suspended", "suspended"),
    ("200: quota inside", "body=error,code=insufficient_quota,message=No money", "No money"),
    ("redirect", "status=308,header.location=https://elsewhere.example/v1", "https://elsewhere.example/v1"),
]


@pytest.mark.parametrize(("fault", "words"), [case[1:] for case in PAUSES], ids=[case[0] for case in PAUSES])
def test_trouble_with_the_account_pauses_the_run(drive: Drive, fault: str, words: str) -> None:
    """With words and a hint, and the task pending; when it is over the same run goes on and buys one answer."""
    with running() as sim:
        paused = drive(f"[[fault:times=1,{fault}]]", base_url=sim.base_url)
        finished = drive(f"[[fault:times=1,{fault}]]", base_url=sim.base_url)
        bill = sim.bill()
    assert (paused.ending, paused.totals.pending, paused.totals.failed) == (Ending.PAUSED, 1, 0), paused
    assert words in (paused.reason or "")
    assert paused.hint
    assert (finished.ending, finished.totals.ok) == (Ending.FINISHED, 1), finished
    assert bill.billed == 1


@pytest.mark.parametrize("fault", ["status=429,retry_after=10000,message=Come back", "status=503,retry_after=10000"])
def test_a_wait_longer_than_the_patience_pauses_every_run_until_it_is_over(drive: Drive, fault: str) -> None:
    """The same command at once sends nothing; when the time has come it buys one answer."""
    prompt = f"[[fault:times=1,{fault}]]"
    with running() as sim:
        paused = [drive(prompt, base_url=sim.base_url) for _ in range(2)]
        assert sim.bill().requests == 1
        finished = drive(prompt, base_url=sim.base_url, hurried=True, patience_s=20_000.0)
        bill = sim.bill()
    for each in paused:
        assert (each.ending, each.totals.pending, each.totals.failed) == (Ending.PAUSED, 1, 0), each
        assert "asks to wait until " in (each.reason or "")
        assert each.hint
    assert (finished.ending, finished.totals.ok) == (Ending.FINISHED, 1), finished
    assert (bill.requests, bill.billed) == (2, 1)


@pytest.mark.parametrize(("ambiguous", "attempts"), [("never", 1), ("once", 2), ("always", 4)])
def test_what_may_have_been_billed_is_repeated_as_allowed(drive: Drive, ambiguous: str, attempts: int) -> None:
    """Each was billed, and each is counted."""
    with running() as sim:
        finished = drive("[[fault:reset=after]]", base_url=sim.base_url, ambiguous=ambiguous, max_attempts=4)
        assert sim.bill().billed == finished.totals.unknown == attempts
    assert len(drive.result.attempts) == attempts


def test_being_throttled_uses_up_no_attempts(drive: Drive) -> None:
    """However often."""
    with running() as sim:
        finished = drive("[[fault:status=429,times=8]]", base_url=sim.base_url, max_attempts=2, hurried=True)
        assert (sim.bill().requests, sim.bill().billed) == (9, 1)
    assert (finished.totals.ok, len(drive.result.attempts)) == (1, 9)


def test_tasks_that_are_all_rejected_pause_the_run(drive: Drive) -> None:
    """The template is wrong then, and the rest of the file is not burnt."""
    with running() as sim:
        prompts = [f"{number} [[fault:status=400,message=Wrong field]]" for number in range(60)]
        finished = drive(*prompts, base_url=sim.base_url)
        assert sim.bill().requests < 60
    assert finished.ending is Ending.PAUSED
    assert "Wrong field" in (finished.reason or "")


@pytest.mark.parametrize("finish", ["length", "content_filter", "refusal"])
def test_an_answer_that_stopped_short_is_kept_with_a_flag(drive: Drive, finish: str) -> None:
    """It was paid for, and nothing says that a second one would be longer."""
    with running() as sim:
        finished = drive(f"[[fault:finish={finish}]]", base_url=sim.base_url)
        assert (sim.bill().requests, sim.bill().billed) == (1, 1)
    assert (finished.totals.partial, finished.totals.partials) == (1, {finish: 1})
    assert (drive.result.status, len(drive.result.attempts)) == (Status.PARTIAL, 1)


def test_a_number_of_a_million_digits_does_no_harm(drive: Drive) -> None:
    """Whatever is made of it, nothing dies of it and nothing is lost on the bill."""
    with running() as sim:
        finished = drive(
            "[[fault:times=1,body=digits]]", base_url=sim.base_url, settings={"max_response_bytes": 5_000_000}
        )
        assert_paid_for(sim.bill(), finished)
    assert finished.totals.ok == 1


def test_a_port_where_nobody_listens_pauses_after_the_patience(drive: Drive) -> None:
    """Nothing was sent, so nothing is unknown."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        finished = drive(
            "hello", base_url=f"http://127.0.0.1:{held.getsockname()[1]}/v1", patience_s=0.05, hurried=True
        )
    assert (finished.ending, finished.totals.pending, finished.totals.unknown) == (Ending.PAUSED, 1, 0)
    assert "refused" in (finished.reason or "")


def test_a_port_without_tls_pauses_after_the_patience(drive: Drive) -> None:
    """The provider saw no request."""
    with running() as sim:
        finished = drive("hello", base_url=sim.base_url.replace("http:", "https:"), patience_s=0.05, hurried=True)
        assert sim.bill().requests == 0
    assert (finished.ending, finished.totals.unknown) == (Ending.PAUSED, 0)
    assert "TLS" in (finished.reason or "")


def test_a_certificate_that_is_not_trusted_pauses_at_once(drive: Drive) -> None:
    """Asking again would not make it trusted."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(server)
    with running(tls=server) as sim:
        finished = drive("hello", base_url=sim.base_url)
        assert sim.bill().requests == 0
    assert (finished.ending, finished.totals.unknown) == (Ending.PAUSED, 0)
    assert "certificate" in (finished.reason or "")
