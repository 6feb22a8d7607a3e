"""`penstock sim`: a simulated provider for load tests and failure drills."""

import asyncio
import signal
from typing import Annotated

import uvloop
from cyclopts import Parameter
from cyclopts.validators import Number

from penstock.errors import UsageError
from penstock.simulator.bill import Bill
from penstock.simulator.faults import parse_fault_rate
from penstock.simulator.keys import parse_key_death
from penstock.simulator.outages import parse_outage
from penstock.simulator.server import Simulator
from penstock.simulator.settings import SimulatorSettings

_NOT_NEGATIVE = Number(gte=0)
_POSITIVE = Number(gt=0)


def sim(  # noqa: PLR0913 - every parameter is a flag
    *,
    port: Annotated[int, Parameter(help="Port to listen on; 0 takes any free one.")] = 8900,
    host: Annotated[str, Parameter(help="Address to listen on.")] = "127.0.0.1",
    seed: Annotated[int, Parameter(help="Seed of everything drawn by chance.")] = 0,
    latency_ms: Annotated[float, Parameter(help="Median time to an answer, in ms.", validator=_NOT_NEGATIVE)] = 0.0,
    latency_sigma: Annotated[
        float, Parameter(help="Spread of the latency: sigma of a log-normal distribution.", validator=_NOT_NEGATIVE)
    ] = 0.0,
    output_tokens: Annotated[int, Parameter(help="Median length of an answer, in tokens.", validator=_POSITIVE)] = 64,
    tokens_sigma: Annotated[
        float, Parameter(help="Spread of the length: sigma of a log-normal distribution.", validator=_NOT_NEGATIVE)
    ] = 0.0,
    rpm: Annotated[int | None, Parameter(help="Requests per minute and key.", validator=_POSITIVE)] = None,
    tpm: Annotated[int | None, Parameter(help="Tokens per minute and key.", validator=_POSITIVE)] = None,
    max_concurrency: Annotated[int | None, Parameter(help="Requests in flight per key.", validator=_POSITIVE)] = None,
    burst_s: Annotated[
        float,
        Parameter("--burst", help="Seconds' worth of the rate limits that may come at once.", validator=_POSITIVE),
    ] = 60.0,
    announce: Annotated[
        bool, Parameter(help="Tell what is left of the limits in x-ratelimit headers.", negative="--no-announce")
    ] = True,
    api_key: Annotated[
        list[str] | None, Parameter(help="Key to let in; without one, none is needed.", negative=())
    ] = None,
    key_death: Annotated[
        list[str] | None,
        Parameter(
            help="Key, its requests, and how it is refused then, such as sk-one:100:status=402; * is each one.",
            negative=(),
        ),
    ] = None,
    model: Annotated[
        list[str] | None, Parameter(help="Model that exists; without one, every model does.", negative=())
    ] = None,
    fault: Annotated[
        list[str] | None,
        Parameter(help="Share of attempts that fail and how, such as 0.05:status=503,retry_after=2.", negative=()),
    ] = None,
    outage: Annotated[
        list[str] | None,
        Parameter(
            help="When all fails, and how: 10-20:status=529 in seconds after the start, #100+5:status=503 from the "
            "100th request for 5 seconds, 50/20:status=503 after each 50 requests for 20.",
            negative=(),
        ),
    ] = None,
) -> None:
    """Serve a simulated provider until Ctrl-C, for load tests and failure drills that cost nothing.

    It answers chat completions, completions, responses, embeddings and moderations, limits and fails as it is told
    to, and prints at the end what a real provider would have charged. GET /bill shows that at any time, and POST
    /revive brings keys back that have died.

    A fault is name=value pairs with commas between. Names: status, code, type, message, retry_after, retry_after_ms,
    reset_requests, reset_tokens, header.NAME, body (html, text, error, empty, bad_json, bad_utf8, no_choices,
    oversized, bomb, deep, digits, no_http, whole), mb, finish, delay_ms, drip_per_s, stall (head, body), reset
    (before, after, answer), close (before, after), short_bytes, keep_alives, cut_after, error_after, times, raw. A
    single request can carry its own: put [[fault:status=503,times=2]] into its last user message.
    """
    settings = SimulatorSettings(
        seed=seed,
        latency_ms=latency_ms,
        latency_sigma=latency_sigma,
        output_tokens=output_tokens,
        tokens_sigma=tokens_sigma,
        rpm=rpm,
        tpm=tpm,
        max_concurrency=max_concurrency,
        burst_s=burst_s,
        announce=announce,
        api_keys=tuple(api_key or ()),
        key_deaths=tuple(map(parse_key_death, key_death or ())),
        models=tuple(model or ()),
        faults=tuple(map(parse_fault_rate, fault or ())),
        outages=tuple(map(parse_outage, outage or ())),
    )
    bill = uvloop.run(_serve(Simulator(settings, host=host, port=port), settings))
    print(f"\n{_describe(bill)}")


async def _serve(simulator: Simulator, settings: SimulatorSettings) -> Bill:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        async with simulator:
            print(_introduce(simulator.base_url, settings), flush=True)
            await stop.wait()
            return simulator.bill()
    except OSError as error:
        raise UsageError(f"The simulator cannot listen: {error.strerror or error}.", "Try another --port.") from None


def _introduce(base_url: str, settings: SimulatorSettings) -> str:
    model = settings.models[0] if settings.models else "sim"
    key = f"OPENAI_API_KEY={settings.api_keys[0]} " if settings.api_keys else ""
    return (
        f"A simulated provider listens at {base_url}\n\n"
        f"  {key}penstock run tasks.jsonl --base-url {base_url} --model {model} -o answers.jsonl\n\n"
        f"Its bill: {base_url.removesuffix('/v1')}/bill    Stop it with Ctrl-C."
    )


def _describe(bill: Bill) -> str:
    keys = [
        f"\nKey        {name}: {part.requests:,} received, {part.refused:,} refused, {part.billed:,} billed"
        for name, part in bill.keys.items()
    ]
    return (
        f"Requests   {bill.requests:,} received, at most {bill.max_in_flight:,} in flight\n"
        f"Refused    {bill.throttled:,} by a limit; {bill.faults:,} met a fault; "
        f"{bill.impolite:,} came before a Retry-After had run out\n"
        f"Billed     {bill.billed:,} answers, {bill.input_tokens:,} tokens in, {bill.output_tokens:,} tokens out\n"
        f"Twice      {bill.bought_twice:,} requests were billed more than once"
        + ("".join(keys) if len(keys) > 1 else "")
    )
