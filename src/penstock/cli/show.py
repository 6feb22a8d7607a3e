"""`penstock show`: one task from row to answer."""

import sys
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from penstock.cli.runs import Home, RunName, find_run, home_of
from penstock.errors import UsageError
from penstock.redaction import printable, printable_line

if TYPE_CHECKING:
    from penstock.journal.reader import JournalReader
    from penstock.models import Attempt, Result, Task

KEYS_SHOWN = 3


def show(
    run: RunName,
    key: Annotated[str, Parameter(help="Key of the task, as in the outputs.", allow_leading_hyphen=True)],
    /,
    *,
    body: Annotated[
        bool, Parameter(help="Print the answer's body alone, byte for byte.", negative=(), show_default=False)
    ] = False,
    home: Home = None,
) -> None:
    """Show one task of a run: its row, its attempts and its answer."""
    with find_run(home_of(home), run) as reader:
        task, result = _find(reader, run, key)
    if body:
        _print_body(key, result)
    else:
        _print_task(task, result)


def _find(reader: "JournalReader", run: str, key: str) -> "tuple[Task, Result | None]":
    if (found := reader.find(key)) is not None:
        return found
    known = [repr(settled.result.key) for settled in reader.after(0, KEYS_SHOWN)]
    hint = f"Its keys look like {', '.join(known)}." if known else "Nothing of it is settled yet."
    raise UsageError(f"The run {run!r} has no task {key!r}.", hint)


def _print_body(key: str, result: "Result | None") -> None:
    if result is None or not result.body:
        state = "is not settled yet" if result is None else "has failed"
        raise UsageError(f"There is no answer to print: the task {key!r} {state}.", "See it without --body.")
    sys.stdout.buffer.write(result.body)
    sys.stdout.buffer.flush()


def _print_task(task: "Task", result: "Result | None") -> None:
    from penstock.cli.display import print_facts

    print_facts([("task", f"{task.key} (row {task.index + 1}, {task.where})"), ("data", _pretty(task.raw))])
    if result is None:
        print_facts([("status", "pending: not settled yet")])
        return
    print_facts(_facts(result))
    if result.attempts:
        print()
        _print_attempts(result)
    answer = result.text if result.text is not None else _pretty(bytes(result.output or b""))
    if answer:
        print()
        print(printable(answer))


def _facts(result: "Result") -> list[tuple[str, str]]:
    from penstock.cli.display import took
    from penstock.observe.words import count, money

    usage, failure = result.usage, result.failure
    facts = [("status", f"{result.status} ({result.finish_reason})" if result.finish_reason else result.status)]
    if failure is not None:
        about = [f"HTTP {failure.status}" if failure.status else "", failure.code or ""]
        facts.append(("fault", ", ".join(part for part in (failure.fault, *about) if part)))
        facts.append(("message", failure.message))
        facts += [("body", failure.excerpt)] if failure.excerpt else []
    if result.model:
        facts.append(("model", result.model))
    if result.body:
        facts.append(("tokens", f"{count(usage.input_tokens)} input, {count(usage.output_tokens)} output"))
    if result.body or result.cost is not None:
        facts.append(("cost", "no price is known" if result.cost is None else money(result.cost, result.currency)))
    if result.ttft_ms is not None:
        facts.append(("stream", _streamed(result)))
    if result.attempts:
        facts.append(("time", f"{took(result.latency_ms)}, after {took(result.queue_ms)} in the queue"))
    return facts


def _streamed(result: "Result") -> str:
    from penstock.cli.display import took

    words = f"first token after {took(result.ttft_ms or 0.0)}"
    return words if result.tokens_per_s is None else f"{words}, then {result.tokens_per_s:,.1f} tokens/s"


def _print_attempts(result: "Result") -> None:
    from penstock.cli.display import print_table, took
    from penstock.sinks.lines import iso_utc

    rows = [
        (
            iso_utc(attempt.started_at),
            " · ".join(part for part in (attempt.endpoint, attempt.key, attempt.model) if part),
            took(attempt.latency_ms),
            _outcome(attempt),
            _spent(attempt, result.currency),
            printable_line(attempt.message or ""),
        )
        for attempt in result.attempts
    ]
    headings = ("attempt", "endpoint", "took", "outcome", "cost", "message")
    print_table(headings, rows, numbers=("took", "cost"))


def _outcome(attempt: "Attempt") -> str:
    words = "answered" if attempt.fault is None else f"{attempt.fault} {attempt.http_status or ''}".rstrip()
    return f"{words} (second copy)" if attempt.hedge else words


def _spent(attempt: "Attempt", currency: str) -> str:
    """What an attempt cost, or may have cost; nothing where nothing is known to be billed."""
    from penstock.observe.words import money

    if attempt.cost is not None:
        return money(attempt.cost, currency)
    return f"at most {money(attempt.unknown_cost, currency)}" if attempt.unknown_cost else ""


def _pretty(json: bytes) -> str:
    import msgspec

    return msgspec.json.format(json).decode() if json else ""
