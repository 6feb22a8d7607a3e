"""From what a person asks for to a run: source, sinks, endpoint and transport by name. Both mouths, command line and
Python, come through here."""

import asyncio
import math
import os
import re
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from concurrent.futures import Future, wait
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from penstock.clock import Clock, SystemClock
from penstock.endpoints import LOCAL, Endpoint, Key
from penstock.engine.connections import Connections
from penstock.engine.dispatcher import Dispatcher
from penstock.engine.flight import Executor
from penstock.engine.run import Plan, execute
from penstock.engine.scope import Lane
from penstock.errors import RunPaused, UsageError
from penstock.events import Finished, Notice, Observer
from penstock.models import Row
from penstock.options import RunOptions, load_config
from penstock.pools import Pools, resolve_pools
from penstock.pricing import Pricing
from penstock.sinks.protocol import Sink, SinkOptions
from penstock.sinks.registry import make_sinks
from penstock.sources.protocol import Source
from penstock.sources.registry import make_source
from penstock.transport.http import HttpTransport
from penstock.transport.open_files import raise_open_files
from penstock.transport.settings import TransportSettings

if TYPE_CHECKING:
    from penstock.engine.processes.executor import ProcessExecutor

T = TypeVar("T")


async def launch(
    source: Any,
    options: RunOptions,
    *,
    sinks: Sequence[Sink] = (),
    observers: Sequence[Observer] = (),
    handle_signals: bool = False,
    retry_failures: bool = False,
) -> Finished:
    """Do a run over `source`: a path, URL or `-`, or rows; None to work on failed tasks only.

    Raises `UsageError` before anything is sent.
    """
    config = load_config()
    options = with_prompt(options)
    folder = run_folder(source, options)
    opened = None if source is None else make_source(source)
    pools = resolve_pools(options.endpoint, options.base_url, os.environ, config)
    all_sinks = [*sinks, *make_sinks(options.output, sink_options(options))]
    if opened is not None and isinstance(source, str | os.PathLike):
        refuse_own_input(opened.name, all_sinks)
    await refuse_no_model(source, options)
    options = _with_concurrency_possible(options, observers)
    pricing = Pricing.free() if _is_local(pools) else Pricing.from_config(config)
    _refuse_unpriced_budget(options, pools, pricing)
    for endpoint in pools.endpoints:
        _warn(observers, endpoint.notes)
    if options.model and pricing.lacks_rate(options.model):
        why, hint = pricing.why_unknown(options.model)
        _warn(observers, [f"{why}. {hint}"])
    async with serving(pools) as served:
        connections = Connections(lambda endpoint, key: make_transport(endpoint, options, key))
        connections.open(served.endpoints)
        plan = Plan(
            folder=folder,
            options=options,
            source=opened,
            sinks=all_sinks,
            pools=served,
            connections=connections,
            reload_pools=lambda: served.reload_keys(os.environ, load_config()),
            pricing=pricing,
            observers=observers,
            retry_failures=retry_failures,
            handle_signals=handle_signals,
            make_executor=executor_for(options, pools.endpoints),
            remember={} if retry_failures else {"options": msgspec.to_builtins(options)},
        )
        return await execute(plan)


def sink_options(options: RunOptions) -> SinkOptions:
    """What the options mean for every sink."""
    return SinkOptions(options.format, options.order, overwrite=options.fresh, fsync=options.durability == "full")


def make_transport(endpoint: Endpoint, options: RunOptions, key: Key | None = None) -> HttpTransport:
    """Connections to an endpoint, as the options want them, with its first key unless another is given."""
    return HttpTransport(_transport_settings(endpoint, options, key or endpoint.keys[0]))


def _transport_settings(endpoint: Endpoint, options: RunOptions, key: Key) -> TransportSettings:
    most = options.max_concurrency if options.concurrency == "auto" else int(options.concurrency)
    return TransportSettings(
        base_url=endpoint.base_url,
        api_key=key.secret,
        timeout_s=options.timeout_s,
        connect_timeout_s=options.connect_timeout_s,
        idle_timeout_s=options.idle_timeout_s,
        max_response_bytes=options.max_response_mb * 1_000_000,
        concurrency=most,
        ca_file=options.ca_file,
    )


def executor_for(options: RunOptions, endpoints: Sequence[Endpoint]) -> Callable[[Dispatcher], Executor] | None:
    """Makes what makes the calls of a run; None where this process does and nothing else ever will."""
    if options.processes != "auto":
        count = options.processes
        return (
            None
            if count == 1
            else lambda dispatcher: make_workers(count, options, endpoints, dispatcher, dispatcher.pause, SystemClock())
        )
    from penstock.engine.processes.automatic import AutomaticExecutor, workers_for

    workers = workers_for(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    if workers < 1:
        return None
    return lambda dispatcher: AutomaticExecutor(
        dispatcher.executor,
        lambda on_trouble: make_workers(workers, options, endpoints, dispatcher, on_trouble, SystemClock()),
        SystemClock(),
        lambda: dispatcher.in_flight,
        dispatcher.on_warning,
        dispatcher.pause,
    )


def make_workers(
    count: int,
    options: RunOptions,
    endpoints: Sequence[Endpoint],
    dispatcher: Dispatcher,
    on_trouble: Callable[[RunPaused], None],
    clock: Clock,
) -> "ProcessExecutor":
    """Processes that make the calls of a run, which are told how by the same settings as this one."""
    from penstock.engine.processes.environment import worker_environment
    from penstock.engine.processes.executor import Hooks, ProcessExecutor
    from penstock.engine.processes.seat import Terms

    def settings_of(lane: Lane) -> TransportSettings:
        return _transport_settings(lane.endpoint, options, lane.key)

    terms = Terms(worker_environment(os.environ, endpoints), options.timeout_s, clock)
    return ProcessExecutor(count, settings_of, Hooks(dispatcher.fail, dispatcher.on_warning, on_trouble), terms)


@asynccontextmanager
async def serving(pools: Pools) -> AsyncIterator[Pools]:
    """The pools, with the embedded model started behind its endpoint where one of them is that."""
    local = next((endpoint for endpoint in pools.endpoints if endpoint.name == LOCAL and not endpoint.base_url), None)
    if local is None:
        yield pools
        return
    from penstock.local.model import LocalModel

    model = LocalModel()
    await asyncio.to_thread(model.start)
    try:
        yield pools.with_endpoint(msgspec.structs.replace(local, base_url=model.base_url))
    finally:
        await asyncio.to_thread(model.stop)


def _is_local(pools: Pools) -> bool:
    return all(endpoint.name == LOCAL for endpoint in pools.endpoints)


def _refuse_unpriced_budget(options: RunOptions, pools: Pools, pricing: Pricing) -> None:
    """A budget can only be kept where it is known what a call may cost."""
    if options.budget is None or not options.model:
        return
    for route in pools.routes(options.model):
        if pricing.worst_case(route.model, 1, 1, route.endpoint.base_url) is None:
            why, hint = pricing.why_unknown(route.model)
            raise UsageError(f"--budget cannot be kept. {why}, at {route.endpoint.name}.", hint)


def run_name(source: Any, outputs: Sequence[str]) -> str:
    """The name of a run that was given none: from its source and its first output, the same for the same command."""
    stem = "stdin" if source == "-" else _stem(str(source)) if isinstance(source, str | Path) else "rows"
    return stem if not outputs else f"{stem}-to-{'stdout' if outputs[0] == '-' else _stem(outputs[0])}"


def run_folder(source: Any, options: RunOptions) -> Path:
    """Where the run lives. A name that leads elsewhere is refused: --fresh deletes what stands there."""
    name = options.name or run_name(source, options.output)
    if name in (".", "..") or Path(name).name != name:
        raise UsageError(f"{name!r} is no name for a run.", "A name has no / in it; --home says where runs live.")
    return Path(options.home) / name


def run_sync(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Do asynchronous work from synchronous code; in a thread of its own where a loop runs already (a notebook)."""
    return _run_beside_loop(work) if _is_loop_running() else _run_on_loop(work)


def _is_loop_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _run_beside_loop(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    outcome: Future[T] = Future()
    started: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = []

    async def cancellable() -> T:
        task = asyncio.current_task()
        assert task is not None
        started.append((asyncio.get_running_loop(), task))
        return await work()

    def fill() -> None:
        try:
            outcome.set_result(_run_on_loop(cancellable))
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=fill, name="penstock-run").start()
    try:
        # Not `join`: a thread whose join was interrupted cannot be waited for again.
        return outcome.result()
    except BaseException:
        if not outcome.done():  # Ctrl-C, or the notebook's stop button: the run must not go on unseen
            for loop, task in started:
                with suppress(RuntimeError):  # it has just ended
                    loop.call_soon_threadsafe(task.cancel)
            wait([outcome])
        raise


def _run_on_loop(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    try:
        import uvloop
    except ImportError:
        return asyncio.run(work())
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work())


def _stem(path: str) -> str:
    name = re.sub(r"[^\w.-]+", "-", Path(path).name).strip("-.")
    return name.split(".", 1)[0].rstrip("-") or "run"


def with_prompt(options: RunOptions) -> RunOptions:
    """The options with the template of `prompt_file` in `prompt`. Raises `UsageError` where it cannot be read."""
    if options.prompt_file is None:
        return options
    if options.prompt is not None:
        raise UsageError("Both --prompt and --prompt-file are given.", "Give one of them.")
    try:
        prompt = Path(options.prompt_file).read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--prompt-file {options.prompt_file}: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise UsageError(f"--prompt-file {options.prompt_file} is not UTF-8 text.") from None
    return msgspec.structs.replace(options, prompt=prompt, prompt_file=None)


def _with_concurrency_possible(options: RunOptions, observers: Sequence[Observer]) -> RunOptions:
    """Each worker has open files of its own, as many as this process may have."""
    processes = 1 if options.processes == "auto" else options.processes
    if options.concurrency == "auto":
        most = processes * raise_open_files(math.ceil(options.max_concurrency / processes))
        return msgspec.structs.replace(options, max_concurrency=min(options.max_concurrency, most))
    wanted = int(options.concurrency)
    possible = processes * raise_open_files(math.ceil(wanted / processes))
    if possible >= wanted:
        return options
    message = (
        f"This machine allows too few open files for {wanted} calls at once; using {possible}. "
        "Raise the limit with ulimit -n to go higher."
    )
    _warn(observers, [message])
    return msgspec.structs.replace(options, concurrency=possible)


def _warn(observers: Sequence[Observer], messages: Iterable[str]) -> None:
    for message in messages:
        for observer in observers:
            observer(Notice(message, "warning"))


async def refuse_no_model(source: Any, options: RunOptions) -> None:
    """Refuse a file of which nothing could be sent: no model in the options, and none in its first row.

    What can be read only once, such as a pipe, is not looked into.
    """
    if options.model or source == "-" or not isinstance(source, str | os.PathLike) or "://" in str(source):
        return
    row = await _first_row(make_source(source))
    if row is None or row.error is not None:
        return
    body = row.data.get("body")
    if not (row.data.get("model") or (isinstance(body, dict) and body.get("model"))):
        raise UsageError("No model is named.", "Give --model, or a `model` field in the rows.")


async def _first_row(source: Source) -> Row | None:
    try:
        await source.open(None)
        chunk = await source.read(1)
    finally:
        await source.aclose()
    return chunk.rows[0] if chunk else None


def refuse_own_input(source: Any, sinks: Sequence[Sink]) -> None:
    """An output that is the source would empty it."""
    if not isinstance(source, str | os.PathLike):
        return
    for sink in sinks:
        for place in (sink.path, sink.failed_path):
            if place is not None and os.path.realpath(place) == os.path.realpath(source):
                raise UsageError(f"{place} is the source, and would be written as well.", "Give another output.")
