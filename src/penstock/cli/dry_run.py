"""`penstock run --dry-run`: what would be sent, and what it would come to. Nothing is sent and nothing is written."""

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from penstock.cli.display import print_facts
from penstock.cli.runs import open_run, run_folders
from penstock.endpoints import missing_key
from penstock.engine.estimate import output_limit
from penstock.engine.intake import MAX_CHUNK
from penstock.engine.requests import Renderer, to_task
from penstock.errors import RunChanged, UsageError
from penstock.journal.reader import JournalReader
from penstock.launch import refuse_no_model, refuse_own_input, run_folder, run_sync, sink_options, with_prompt
from penstock.models import Request, Task, Usage
from penstock.observe.words import count, money
from penstock.options import SHAPES_REQUEST, RunOptions, load_config
from penstock.pools import Pools, resolve_pools
from penstock.pricing import Pricing
from penstock.redaction import printable, printable_line
from penstock.sinks.protocol import Sink
from penstock.sinks.registry import make_sinks
from penstock.sources.protocol import Source
from penstock.sources.registry import make_source
from penstock.tokens import estimate_tokens

REQUESTS_SHOWN = 3
BODY_CHARS = 2000
ERRORS_SHOWN = 5

TEXT_FIELDS = ("messages", "input", "prompt", "instructions")
"""Members of a body that hold what a model reads."""
_NOT_READ = frozenset({"role", "type", "url", "data", "file_data", "id", "detail"})


def dry_run(source: str, options: RunOptions) -> None:
    """Show the first requests, the rows that cannot be used, and an estimate of tokens and cost.

    Raises what `run` would raise before it sends anything; only a missing key is a warning.
    """
    config = load_config()
    options = with_prompt(options)
    folder = run_folder(source, options)
    opened = make_source(source)
    pools = resolve_pools(options.endpoint, options.base_url, os.environ, config, need_key=False)
    sinks = make_sinks(options.output, sink_options(options))
    refuse_own_input(opened.name, sinks)
    if not options.fresh:
        _refuse_other_run(folder, options, sinks)
    run_sync(lambda: refuse_no_model(source, options))
    preview = Preview(Renderer(options), Pricing.from_config(config), pools)
    run_sync(lambda: _read(opened, options, preview))
    _print(preview, folder, options)
    for endpoint in pools.endpoints:
        for note in endpoint.notes:
            print(f"\nwarning: {note}")
        if endpoint.key_missing:
            print(f"\nwarning: {missing_key(endpoint)}")
    print("\nNothing was sent and nothing was written.")


class Preview:
    """What the rows come to, folded one task at a time in constant memory."""

    def __init__(self, renderer: Renderer, pricing: Pricing, pools: Pools) -> None:
        self.pricing = pricing
        self.pools = pools
        self.first: list[tuple[Task, Request]] = []
        self.rows = 0
        self.unusable = 0
        self.errors: list[str] = []
        self.input_tokens = 0
        self.output_tokens = 0
        self.unbounded = 0
        self.cost = 0.0
        self.models: dict[str, bool] = {}
        """Every model asked, and whether its price is known."""
        self._renderer = renderer
        # A private database that SQLite moves to disk once it is large, and deletes.
        self._keys = sqlite3.connect("")
        self._keys.execute("CREATE TABLE keys (key TEXT PRIMARY KEY, row INTEGER) WITHOUT ROWID")

    def add(self, task: Task) -> None:
        """Count one task."""
        self.rows += 1
        try:
            self._refuse_second_use(task)
            request = self._renderer.render(task)
        except ValueError as error:
            self.unusable += 1
            if len(self.errors) < ERRORS_SHOWN:
                self.errors.append(f"{task.where}: {printable_line(str(error))}")
            return
        if len(self.first) < REQUESTS_SHOWN:
            self.first.append((task, request))
        self._estimate(request)

    def close(self) -> None:
        """Let go of the keys. Safe to call twice."""
        self._keys.close()

    def _refuse_second_use(self, task: Task) -> None:
        taken = self._keys.execute("INSERT OR IGNORE INTO keys VALUES (?, ?)", (task.key, task.index + 1)).rowcount
        if not taken and task.error is None:
            (row,) = self._keys.execute("SELECT row FROM keys WHERE key = ?", (task.key,)).fetchone()
            raise ValueError(f"the key {task.key!r} was used before, by row {row}")

    def _estimate(self, request: Request) -> None:
        body = msgspec.json.decode(request.body)
        read = sum(estimate_tokens(text) for field in TEXT_FIELDS for text in _texts(body.get(field)))
        written, _ = output_limit(request.body)
        self.input_tokens += read
        self.output_tokens += written or 0
        self.unbounded += written is None
        route = self.pools.routes(request.model)[0]
        usage = Usage(read, output_tokens=written or 0)
        cost = self.pricing.cost(route.model, usage, route.endpoint.base_url, route.endpoint.price_multiplier)
        self.models[request.model] = cost is not None
        self.cost += cost or 0.0


async def _read(source: Source, options: RunOptions, preview: Preview) -> None:
    try:
        await source.open(None)
        while wanted := MAX_CHUNK if options.limit is None else min(MAX_CHUNK, options.limit - preview.rows):
            chunk = await source.read(wanted)
            if chunk is None:
                return
            for index, row in enumerate(chunk.rows, preview.rows):
                preview.add(to_task(row, index, options.key))
    finally:
        preview.close()
        await source.aclose()


def _texts(value: Any) -> Iterator[str]:
    """Every text in a part of a body that a model reads: not its roles and types, not its pictures."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        for name, member in value.items():
            if name not in _NOT_READ:
                yield from _texts(member)


def _refuse_other_run(folder: Path, options: RunOptions, sinks: list[Sink]) -> None:
    own: set[str] = set()
    if folder in run_folders(str(folder.parent)):
        with open_run(folder) as reader:
            own = set(reader.cursors())
            _refuse_changes(folder.name, reader, options)
    _refuse_foreign_files(own, sinks)


def _refuse_changes(run: str, reader: JournalReader, options: RunOptions) -> None:
    if not reader.totals().accepted:
        return
    before: dict[str, Any] = {"stream": False} | (reader.recall("request") or {})
    changed = [name for name in SHAPES_REQUEST if before.get(name) != getattr(options, name)]
    if changed:
        raise RunChanged(
            f"The run {run!r} exists, and its requests were built differently: {', '.join(changed)}.",
            "Go on with the old options, give this one a name of its own with --name, or begin anew with --fresh.",
        )


def _refuse_foreign_files(own: set[str], sinks: list[Sink]) -> None:
    for sink in sinks:
        path = sink.path
        if path is not None and sink.name not in own and path.exists() and path.stat().st_size:
            raise UsageError(
                f"{path} exists and is not this run's.",
                "Give another output, move the file away, or use --fresh to overwrite it.",
            )


def _print(preview: Preview, folder: Path, options: RunOptions) -> None:
    for number, (task, request) in enumerate(preview.first, 1):
        print(f"Request {number}, from {printable(task.where)}:")
        route = preview.pools.routes(request.model)[0]
        print(f"POST {route.endpoint.base_url or '(the embedded model)'}/{request.path}")
        print(f"{_shown(request.body if route.model == request.model else _asking_for(route.model, request.body))}\n")
    usable = preview.rows - preview.unusable
    facts = [("rows", f"{count(preview.rows)}, of which {count(usable)} can be used")]
    facts += [("", error) for error in preview.errors]
    if preview.unusable > len(preview.errors):
        facts.append(("", f"… and {count(preview.unusable - len(preview.errors))} more"))
    if usable:
        facts += [("input", f"about {count(preview.input_tokens)} tokens"), ("output", _output(preview, usable))]
        facts.append(("cost", _cost(preview)))
    facts += [("results", "standard output" if output == "-" else output) for output in options.output]
    facts.append(("run", str(folder)))
    print_facts(facts)


def _asking_for(model: str, body: bytes) -> bytes:
    return msgspec.json.encode(msgspec.json.decode(body) | {"model": model})


def _shown(body: bytes) -> str:
    text = printable(msgspec.json.format(body).decode())
    return text if len(text) <= BODY_CHARS else f"{text[:BODY_CHARS]}\n… and {count(len(text) - BODY_CHARS)} characters"


def _output(preview: Preview, usable: int) -> str:
    if preview.unbounded == usable:
        return "unknown: no max_tokens is given (--param max_tokens=…)"
    rest = f", and unknown for {count(preview.unbounded)} without max_tokens" if preview.unbounded else ""
    return f"at most {count(preview.output_tokens)} tokens{rest}"


def _cost(preview: Preview) -> str:
    unknown = [model for model, priced in preview.models.items() if not priced]
    words = []
    if len(unknown) < len(preview.models):
        amount = money(preview.cost, preview.pricing.currency)
        words.append(
            f"about {amount} for the input, and the output" if preview.unbounded else f"at most about {amount}"
        )
    if unknown:
        words.append(f"no price known for {', '.join(unknown[:ERRORS_SHOWN])}")
    return "; ".join(words)
