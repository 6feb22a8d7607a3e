"""The provider's mind: what is answered to a request, decided at once and without touching a socket.

A call becomes a `Reply`; the server carries it out and reports back with `charge` and `release`.
"""

import msgspec
from msgspec.structs import replace

from penstock.clock import Clock
from penstock.errors import UsageError
from penstock.simulator.answers import Answer, echo, encode_answer, encode_models
from penstock.simulator.bill import Bill, Charge, Ledger, fingerprint_bytes
from penstock.simulator.chance import lognormal, uniform
from penstock.simulator.faults import NO_FAULT, InjectedFault, drawn_fault, scripted_fault
from penstock.simulator.keys import Keys
from penstock.simulator.limits import Quota
from penstock.simulator.outages import Outages
from penstock.simulator.questions import APIS, STREAMING, Question, read_question
from penstock.simulator.rejections import (
    Rejected,
    Rejection,
    unknown_model,
    unknown_url,
    usual_rejection,
    wrong_method,
)
from penstock.simulator.settings import SimulatorSettings
from penstock.simulator.spoiling import HTML_TYPE, PLAIN_TEXT, TEXT_TYPE, error_page, spoil_body, spoil_events
from penstock.simulator.streams import disturb_events, encode_event, encode_events

BILL_PATH = "/bill"
REVIVE_PATH = "/revive"
MODELS_PATH = "/v1/models"
JSON_TYPE = "application/json"


class Call(msgspec.Struct, frozen=True):
    """A request as it came over the wire. `key` is the bearer token, "" where there is none."""

    method: str
    path: str
    key: str
    body: bytes
    keep_alive: bool = True


class Reply(msgspec.Struct, frozen=True):
    """What is to be sent, and how. In a stream `events` stand in place of `body`.

    `fault` spoils the delivery, `charge` falls due when `latency_s` has passed, and `quota` has a place held.
    """

    status: int
    headers: dict[str, str]
    body: bytes = b""
    events: list[bytes] | None = None
    content_type: str = JSON_TYPE
    latency_s: float = 0.0
    fault: InjectedFault = NO_FAULT
    charge: Charge | None = None
    quota: Quota | None = None
    in_flight: bool = True
    """Whether the ledger counts it as waiting: everything but what is asked of the simulator itself."""


class Visit(msgspec.Struct, frozen=True):
    """One admitted attempt: what is asked, which `attempt` at it this is, from 1, and what is to go wrong."""

    question: Question
    fingerprint: bytes
    attempt: int
    output_tokens: int
    fault: InjectedFault
    key: str


class Provider:
    """One provider: its settings, its limits, and its ledger."""

    def __init__(self, settings: SimulatorSettings, clock: Clock) -> None:
        self.ledger = Ledger()
        self._settings = settings
        self._clock = clock
        self._keys = Keys(settings.api_keys, settings.key_deaths)
        self._outages = Outages(settings.outages, clock.monotonic_s())
        self._quotas: dict[str, Quota] = {}

    def turn_away_unread(self, path: str) -> bool:
        """Whether an outage resets this request before its body is read; if so, it is counted here."""
        if path in (BILL_PATH, REVIVE_PATH):
            return False
        outage = self._outages.fault(self.ledger.requests + 1, self._clock.monotonic_s())
        if outage is None or outage.reset != "before":
            return False
        self.ledger.receive()
        self.ledger.release()
        self.ledger.faults += 1
        return True

    def take(self, call: Call) -> Reply:
        """Decide what to answer. Every reply must be given back to `release`, once."""
        if call.path == BILL_PATH:
            return Reply(200, {}, msgspec.json.encode(self.bill()), in_flight=False)
        if call.path == REVIVE_PATH and call.method == "POST":
            self.revive()
            return Reply(200, {}, b"{}", in_flight=False)
        self.ledger.receive()
        now_s = self._clock.monotonic_s()
        quota = self._quota(call.key, now_s)
        self.ledger.impolite += quota.is_disregarded(now_s)
        reply = self._reply(call, quota, now_s)
        self.ledger.count(call.key, refused=reply.charge is None and reply.status >= 300)
        return reply

    def charge(self, reply: Reply) -> None:
        """The answer was produced: put it on the bill."""
        if reply.charge is not None:
            self.ledger.charge(reply.charge)

    def release(self, reply: Reply) -> None:
        """The answer was sent, or its client has gone."""
        if reply.in_flight:
            self.ledger.release()
        if reply.quota is not None:
            reply.quota.release()

    def bill(self) -> Bill:
        """The bill as it stands."""
        return self.ledger.snapshot()

    def revive(self, key: str | None = None) -> None:
        """Let a key that has died, or every one, serve as many requests again as at first."""
        self._keys.revive(key)

    def _reply(self, call: Call, quota: Quota, now_s: float) -> Reply:
        try:
            return self._decide(call, quota, now_s)
        except Rejected as rejected:
            headers = quota.headers(now_s) | rejected.headers
            return Reply(rejected.rejection.status, headers, rejected.rejection.body())

    def _decide(self, call: Call, quota: Quota, now_s: float) -> Reply:
        outage = self._outages.fault(self.ledger.requests, now_s) or NO_FAULT
        if outage.refuses:
            return self._refuse(outage, quota, now_s)
        self._keys.check(call.key)
        if refusal := self._keys.refusal(call.key):
            return self._refuse(refusal, quota, now_s)
        if call.path == MODELS_PATH and call.method == "GET":
            return Reply(200, quota.headers(now_s), encode_models(self._settings.models, int(self._clock.unix_s())))
        visit = self._admit(call, quota, now_s)
        if outage != NO_FAULT:
            visit = replace(visit, fault=outage)
        if visit.fault.refuses:
            return self._refuse(visit.fault, quota, now_s, visit.question.stream)
        return self._answer(visit, quota, now_s)

    def _quota(self, key: str, now_s: float) -> Quota:
        scope = self._keys.scope(key)
        if (quota := self._quotas.get(scope)) is None:
            quota = self._quotas[scope] = Quota(self._settings, now_s)
        return quota

    def _read(self, call: Call) -> Question:
        api = APIS.get(call.path)
        if api is None and call.path != MODELS_PATH:
            raise Rejected(unknown_url(call.method, call.path))
        if api is None or call.method != "POST":
            raise Rejected(wrong_method(call.method, call.path))
        question = read_question(api, call.body)
        if self._settings.models and question.model not in self._settings.models:
            raise Rejected(unknown_model(question.model))
        return question

    def _admit(self, call: Call, quota: Quota, now_s: float) -> Visit:
        question, fingerprint = self._read(call), fingerprint_bytes(call.path, call.body)
        tokens = self._output_tokens(question, fingerprint)
        try:
            quota.spend(question.model, question.input_tokens + tokens, now_s)
        except Rejected:
            self.ledger.throttled += 1
            raise
        self._keys.serve(call.key)
        attempt = self.ledger.next_attempt(fingerprint)
        return Visit(question, fingerprint, attempt, tokens, self._fault(question, fingerprint, attempt), call.key)

    def _output_tokens(self, question: Question, fingerprint: bytes) -> int:
        """What the model writes before it is cut short by `max_tokens`."""
        if question.api not in STREAMING:
            return 0
        chance = uniform(self._settings.seed, "tokens", fingerprint)
        drawn = lognormal(self._settings.output_tokens, self._settings.tokens_sigma, chance)
        return (max(1, round(drawn)) + self._settings.reasoning_tokens) * len(question.inputs)

    def _fault(self, question: Question, fingerprint: bytes, attempt: int) -> InjectedFault:
        try:
            scripted = scripted_fault(question.inputs[-1], attempt)
        except UsageError as error:
            raise Rejected(Rejection(400, str(error), code="invalid_fault")) from None
        return scripted or drawn_fault(self._settings.faults, self._settings.seed, fingerprint, attempt) or NO_FAULT

    def _refuse(self, fault: InjectedFault, quota: Quota, now_s: float, stream: bool = False) -> Reply:
        self.ledger.faults += 1
        status = fault.status or 200
        headers = self._headers(fault, quota, now_s)
        if fault.raw is not None:
            kind = JSON_TYPE if fault.raw.lstrip().startswith(("{", "[", '"')) else TEXT_TYPE
            return Reply(status, headers, fault.raw.encode(), content_type=kind, fault=fault)
        if fault.body == "html":
            return Reply(status, headers, error_page(status), content_type=HTML_TYPE, fault=fault)
        if fault.body == "text":
            return Reply(status, headers, PLAIN_TEXT, content_type=TEXT_TYPE, fault=fault)
        rejection = usual_rejection(status, fault.code, fault.message, fault.type)
        if stream and status < 300:
            events = [encode_event(rejection.as_object())]
            return Reply(status, headers, events=events, fault=fault)
        return Reply(status, headers, spoil_body(rejection.body(), fault), fault=fault)

    def _answer(self, visit: Visit, quota: Quota, now_s: float) -> Reply:
        question, fault = visit.question, visit.fault
        self.ledger.faults += fault != NO_FAULT
        chance = uniform(self._settings.seed, "latency", visit.fingerprint, visit.attempt)
        answer = self._compose(visit)
        if fault.body == "no_choices":
            question, answer = replace(question, inputs=()), replace(answer, texts=())
        quota.hold()
        events = None
        if question.stream and fault.body != "whole":
            events = disturb_events(spoil_events(encode_events(question, answer), fault), question, fault)
        return Reply(
            fault.status or 200,
            self._headers(fault, quota, now_s),
            b"" if events is not None else spoil_body(encode_answer(question, answer), fault),
            events,
            latency_s=lognormal(self._settings.latency_ms, self._settings.latency_sigma, chance) / 1000,
            fault=fault,
            charge=Charge(visit.fingerprint, answer.input_tokens, answer.output_tokens, visit.key),
            quota=quota,
        )

    def _headers(self, fault: InjectedFault, quota: Quota, now_s: float) -> dict[str, str]:
        if wait_s := fault.wait_s():
            quota.ask_to_wait(wait_s, now_s)
        return quota.headers(now_s) | fault.headers(self._clock.unix_s())

    def _compose(self, visit: Visit) -> Answer:
        question, finish = visit.question, visit.fault.finish
        tokens, answers = visit.output_tokens, len(question.inputs)
        if question.max_tokens is not None and tokens > question.max_tokens * answers:
            tokens, finish = question.max_tokens * answers, finish or "length"
        return Answer(
            id=visit.fingerprint.hex(),
            created=int(self._clock.unix_s()),
            model=question.model,
            texts=tuple(echo(text, tokens // answers) for text in question.inputs),
            input_tokens=question.input_tokens,
            output_tokens=tokens,
            reasoning_tokens=min(tokens, self._settings.reasoning_tokens),
            finish=finish or "stop",
        )
