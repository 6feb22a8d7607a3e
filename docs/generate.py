"""Writes `docs/reference/` from the code; with `--check` only names the pages that are not current, and exits with 1.

What the code declares is read there, options and commands with their help. What it cannot say of itself, the meaning of
an output's fields, stands in tables below, and a field without a meaning is an error.
"""

import ast
import inspect
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import cyclopts
import msgspec

from penstock import errors, models
from penstock.cli.main import COMMANDS, make_app
from penstock.cli.option_flags import SHORT_FLAGS
from penstock.models import Attempt, Failure, Fault, Result, Status, Usage
from penstock.options import GROUPS, Option, options
from penstock.policy.faults import CODES, STATUSES
from penstock.sinks.lines import COLUMNS, encode_batch, encode_failed, encode_result
from penstock.sinks.parquet import VALUES

FOLDER = Path(__file__).parent / "reference"
GENERATED = "<!-- Written by docs/generate.py. Change the code, then run `make fix`. -->"

FIELDS = {
    "key": "The row's key: `custom_id`, `key` or `id`, the field that `--key` names, else its index as text.",
    "index": "The row's place in the source, from 0.",
    "status": "`ok`, or `partial` for an answer that stopped short.",
    "model": "The model that answered, as the provider names it.",
    "endpoint": "The endpoint's name, or its host and port for a base URL.",
    "text": "The answer's text; null where the API gives none (embeddings, moderations).",
    "output": "JSON beside or in place of text: vectors, moderation results, tool calls, several choices. Absent where "
    "there is none.",
    "finish_reason": "Why the model stopped, in the provider's word; of a partial answer `length`, `content_filter` or "
    "`refusal`.",
    "usage": "Tokens as the provider counted them: `input_tokens`, of which `cached_tokens`; `output_tokens`, of which "
    "`reasoning_tokens`.",
    "input_tokens": "Tokens of the request, as the provider counted them.",
    "cached_tokens": "Those of them that came from the provider's cache.",
    "output_tokens": "Tokens of the answer.",
    "reasoning_tokens": "Those of them that went into reasoning.",
    "cost": "What the task cost over all its attempts; null where no price is known.",
    "currency": "The currency of `cost`.",
    "latency_ms": "Time of the attempt that gave the answer, in ms.",
    "queue_ms": "Time from when the task was taken to its first attempt, in ms.",
    "ttft_ms": "With `--stream`: time from sending to the first token of that attempt, in ms. In a line it is absent "
    "where there is none, in a table empty.",
    "tokens_per_s": "With `--stream`: tokens of the answer per second from the first one on; [how it is reckoned]"
    "(../howto/streamed-answers.md#the-times). Absent or empty as `ttft_ms`, and where no tokens are counted or all "
    "came at once.",
    "attempts": "HTTP exchanges that the task took, those that were asked to wait included.",
    "finished_at": "When it was settled: ISO 8601, UTC, to the millisecond.",
    "data": "The row as it came.",
}
"""The meaning of every field of an answer."""

FAILURE_FIELDS = {
    "index": "The row's place in the source of the run that wrote the line, from 0.",
    "where": "Where the row stands in the source, as file:line.",
    "fault": "The class of the failure; see [errors](errors.md).",
    "message": "What happened: the provider's own words where it said any, on one line, without credentials.",
    "status": "HTTP status of the last attempt; null where there was no HTTP answer.",
    "code": "The provider's code for the error, or one of Penstock's own (below); null where there is none.",
    "attempts": "HTTP exchanges that the task took; 0 where no request could be made of the row.",
    "excerpt": "At most 500 characters of the last body, without tags and credentials; of a stream that broke off, of "
    "the answer that had come.",
    "finished_at": "When the task was given up: ISO 8601, UTC.",
}
"""The meaning of every member of `_failure`."""

BATCH_FIELDS = {
    "id": "`batch_req_` and the row's index.",
    "custom_id": "The task's key.",
    "response": "`status_code`, `request_id` (always empty: it is not known) and `body`, the provider's answer.",
    "error": "Always null for an answer.",
}
"""The meaning of every field of an OpenAI Batch line."""

OWN_CODES = {
    "bad_row": "No request could be made of the row; nothing was sent.",
    "timeout": "No complete answer within `--timeout`.",
    "idle_timeout": "No byte within `--idle-timeout`.",
    "stalled": "An answer that had begun dripped or stood still: less than 256 bytes in 30 seconds.",
    "reset": "The connection was closed or reset without an answer.",
    "short_body": "The answer broke off.",
    "garbage": "What came back is not HTTP.",
    "invalid_request": "The base URL and the API's path make no URL that can be sent; nothing was sent.",
    "client": "The HTTP client itself failed, in a way that no other code names.",
    "response_too_large": "The answer is larger than `--max-response`.",
    "not_an_answer": "A good status, and a body that is no answer: empty, HTML, broken JSON, no choices.",
    "no_finish_reason": "An answer that does not say that it is complete.",
    "stream_cut": "A stream ended, in good order, before the answer did.",
}
"""Codes that stand in no provider's list."""

CSV_FORM = """\
UTF-8 with a byte order mark. The row's own columns come first, then those of the table. Where the row has a column of
the same name, the result's gets `_result` behind its name. `text` holds `output` as JSON where there is no text. A cell
that a spreadsheet would run as a formula gets an apostrophe in front, and control characters are left out."""

PARQUET_FORM = """\
Typed columns; `finished_at` is a timestamp, and the row stands in `data` as JSON text. The file is written when the run
finishes."""

FAILED_FORM = """\
They stand beside the output, in `answers.failed.jsonl` for `answers.jsonl` and for `answers.csv`: the row as it came,
`key` where the row has no field of that name, and `_failure`. The file is a valid source: reading it takes `_failure`
away."""

BATCH_FORM = """\
With `--format openai-batch`, answers in `.jsonl` files and on standard output have the form of an OpenAI Batch output
file. Failed tasks keep the form above."""

ANSWER = Result(
    key="17",
    index=0,
    status=Status.OK,
    raw=b'{"id":17,"text":"It broke."}',
    where="tasks.jsonl:1",
    api="chat",
    model="gpt-4o-mini",
    endpoint="openai",
    body=b'{"choices":[]}',
    text="negative",
    finish_reason="stop",
    usage=Usage(12, 0, 1, 0),
    cost=0.0000024,
    latency_ms=412.0,
    queue_ms=3.1,
    attempts=(Attempt("openai", 1_767_254_400.0, 412.0),),
    finished_at=1_767_254_400.412,
)
FAILED = msgspec.structs.replace(
    ANSWER,
    status=Status.FAILED,
    failure=Failure(
        Fault.REJECTED, "This model's maximum context length is 128000 tokens.", 400, "context_length_exceeded"
    ),
)

RAISED = {
    "UsageError": "What was asked for cannot be done: a flag, a file, a key or a base URL is wrong.",
    "RunPaused": "The run cannot go on now, such as without credit. Its tasks are pending.",
}
"""What an exit code of the tree in `penstock.errors` stands for."""

CAUSES = """\
A provider's code, in any case of letters, decides first, then its words, then the HTTP status. Of the statuses that
are not in the table 3xx is `account`, 4xx `rejected`, and all else `ambiguous`."""

EXCEPTIONS = "What Python raises and the command prints. Each has a `message`, a `hint` and an `exit_code`."

OPTIONS_INTRO = """\
A value is taken from the flag, else from the environment variable, else from `[run]` in `penstock.toml`, else the
default holds. `penstock.toml` is read from the current folder. In Python the keyword is the name in the last column,
such as `penstock.run(rows, timeout_s=60)`.

In the environment `PENSTOCK_PARAM` is a JSON object, and `PENSTOCK_OUTPUT` names one output. In `penstock.toml` `param`
is a table, and `output` a string or a list."""


def options_page() -> str:
    """Every option, by group."""
    sections = [f"## {group}\n\n{_options_table(group)}" for group in GROUPS]
    return _page("Options", OPTIONS_INTRO, *sections)


def _options_table(group: str) -> str:
    rows = [
        (
            _flags(option),
            _code(option.variable),
            _code(option.key),
            _value(option.type),
            _default(option.default),
            option.help,
            _code(option.field),
        )
        for option in options()
        if option.group == group
    ]
    return _table(("Flag", "Variable", "TOML key", "Value", "Default", "What it means", "Python"), rows)


def cli_page() -> str:
    """Every command with what it takes."""
    intro = "Exit codes are on the page [errors](errors.md). `penstock --version` prints the version."
    sections = [
        "\n\n".join([f"## {heading}", *(_command(make_app(name)[name], name) for name in commands)])
        for heading, commands in COMMANDS.items()
    ]
    return _page("Commands", intro, *sections)


def _command(app: cyclopts.App, name: str) -> str:
    arguments = list(app.assemble_argument_collection())
    positional = [argument for argument in arguments if not argument.name.startswith("-")]
    flags = [argument for argument in arguments if argument.name.startswith("-")]
    shared = {option.flag: option.help for option in options()}
    taken = [argument.name for argument in flags if argument.parameter.help == shared.get(argument.name)]
    own = [argument for argument in flags if argument.name not in taken]
    parts = [
        f"### penstock {name}",
        "```text\n" + _usage(name, positional, flags) + "\n```",
        inspect.cleandoc(app.help),
    ]
    if positional or own:
        parts.append(_table(("Parameter", "Default", "What it means"), [_parameter(a) for a in positional + own]))
    if taken:
        parts.append(_taken(taken, list(shared)))
    return "\n\n".join(parts)


def _usage(name: str, positional: Sequence[cyclopts.Argument], flags: Sequence[cyclopts.Argument]) -> str:
    words = [_place(argument) for argument in positional]
    return " ".join(["penstock", name, *words, *(["[OPTIONS]"] if flags else [])])


def _place(argument: cyclopts.Argument) -> str:
    name = argument.name + ("..." if argument.field_info.kind is inspect.Parameter.VAR_POSITIONAL else "")
    return name if argument.required else f"[{name}]"


def _parameter(argument: cyclopts.Argument) -> tuple[str, str, str]:
    names = ", ".join(map(_code, argument.names))
    default = argument.field_info.default
    return names, "" if default is inspect.Parameter.empty else _default(default), argument.parameter.help or ""


def _taken(taken: Sequence[str], every: Sequence[str]) -> str:
    missing = [flag for flag in every if flag not in taken]
    if len(missing) < len(taken):
        but = f" but {', '.join(map(_code, missing))}" if missing else ""
        return f"It takes every [option](options.md){but}."
    return f"Of the [options](options.md) it takes {', '.join(map(_code, taken))}."


def output_page() -> str:
    """Every form in which a result is written."""
    answer, failed = encode_result(ANSWER).decode(), encode_failed(FAILED).decode()
    streamed = (msgspec.structs.replace(ANSWER.attempts[0], ttft_ms=96.5, tokens_per_s=41.2),)
    fullest = msgspec.structs.replace(ANSWER, output=msgspec.Raw(b"[]"), attempts=streamed)
    fields = msgspec.json.decode(encode_result(fullest))
    note = msgspec.json.decode(failed)["_failure"]
    batch = encode_batch(ANSWER).decode()
    return _page(
        "Output",
        "How results stand in files. Where the files are and how they grow: [files](../concepts/files.md).",
        f"## Answers in .jsonl\n\nOne object a line:\n\n```json\n{answer}\n```",
        _table(("Field", "What it is"), _described(fields, FIELDS)),
        f"## Answers in .csv and .tsv\n\n{CSV_FORM}",
        _table(("Column", "What it is"), _described(COLUMNS, FIELDS)),
        f"## Answers in .parquet\n\n{PARQUET_FORM}",
        _table(("Column", "What it is"), _described(VALUES, FIELDS)),
        f"## Failed tasks\n\n{FAILED_FORM}\n\n```json\n{failed}\n```",
        _table(("Member of `_failure`", "What it is"), _described(note, FAILURE_FIELDS)),
        "Penstock's own codes:",
        _table(("`code`", "What happened"), [(_code(code), meaning) for code, meaning in OWN_CODES.items()]),
        f"## OpenAI Batch lines\n\n{BATCH_FORM}\n\n```json\n{batch}\n```",
        _table(("Field", "What it is"), _described(msgspec.json.decode(batch), BATCH_FIELDS)),
    )


def _described(names: Iterable[str], meanings: dict[str, str]) -> list[tuple[str, str]]:
    return [(_code(name), meanings[name]) for name in names]


def errors_page() -> str:
    """Exit codes, and the classes of failure with what leads to them."""
    codes = [
        ("0", "Every task has an answer; partial answers count."),
        ("1", "The run finished, and some tasks failed."),
        *((str(getattr(errors, name).exit_code), meaning) for name, meaning in RAISED.items()),
        ("130", "Stopped by Ctrl-C or SIGTERM. What was settled is kept."),
    ]
    faults = [
        (_code(fault.value), meaning)
        for fault, meaning in zip(Fault, _docstrings(models.__file__, "Fault"), strict=True)
    ]
    tree = (errors.__doc__ or "").split("\n\n", 1)[1].strip()
    return _page(
        "Errors",
        "",
        "## Exit codes",
        _table(("Code", "What it means"), codes),
        "After 3 and 130 the same command goes on with the run. From `penstock verify` and `penstock check`, 1 means "
        "that something is wrong.",
        "## Classes of failure",
        "Every attempt that gives no answer gets one of these. What follows from each: "
        "[the life of a task](../concepts/life-of-a-task.md).",
        _table(("Fault", "What it means"), faults),
        f"## What leads to them\n\n{CAUSES}",
        _table(("Fault", "HTTP statuses", "Codes of providers"), list(_causes())),
        f"## Exceptions\n\n{EXCEPTIONS}\n\n```text\n{tree}\n```",
    )


def _causes() -> Iterable[tuple[str, str, str]]:
    for fault in Fault:
        statuses = ", ".join(str(status) for status, meaning in STATUSES.items() if meaning is fault)
        codes = ", ".join(_code(code) for code, meaning in CODES.items() if meaning is fault)
        if statuses or codes:
            yield _code(fault.value), statuses, codes


def _docstrings(path: str, name: str) -> list[str]:
    """What stands below each member of a class: Python itself forgets it."""
    tree = ast.parse(Path(path).read_text(encoding="utf-8"))
    body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
    texts = [
        node.value.value for node in body[1:] if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    ]
    return [str(text) for text in texts]


PAGES: dict[str, Callable[[], str]] = {
    "cli.md": cli_page,
    "errors.md": errors_page,
    "options.md": options_page,
    "output.md": output_page,
}


def main() -> None:
    """Write every page, or with `--check` fail where one is not as it would be written."""
    pages = {FOLDER / name: page() for name, page in PAGES.items()}
    stale = [path for path, text in pages.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if "--check" in sys.argv[1:]:
        for path in stale:
            sys.stdout.write(f"not current: {path.relative_to(FOLDER.parent.parent)}\n")
        sys.exit(1 if stale else 0)
    for path in stale:
        path.write_text(pages[path], encoding="utf-8")
        sys.stdout.write(f"wrote {path.relative_to(FOLDER.parent.parent)}\n")


def _page(title: str, *parts: str) -> str:
    return "\n\n".join(part for part in (GENERATED, f"# {title}", *parts) if part) + "\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines)


def _code(text: str) -> str:
    return f"`{text}`"


def _flags(option: Option) -> str:
    names = [option.flag, *([SHORT_FLAGS[option.field]] if option.field in SHORT_FLAGS else [])]
    return ", ".join(map(_code, names))


def _default(value: Any) -> str:
    if value is None or value is False or value in ((), {}):
        return ""
    shown = f"{value:g}" if isinstance(value, float) else " ".join(value) if isinstance(value, tuple) else str(value)
    return _code(shown)


def _value(annotation: Any) -> str:
    """A type and its limits in words."""
    if hasattr(annotation, "__metadata__"):
        return _value(annotation.__origin__) + "".join(_limit(meta) for meta in annotation.__metadata__)
    if get_origin(annotation) is Literal:
        return ", ".join(map(_code, get_args(annotation)))
    members = [member for member in get_args(annotation) if member is not type(None)]
    if members and get_origin(annotation) not in (tuple, dict):
        return " or ".join(_value(member) for member in members)
    plain = {str: "text", int: "whole number", float: "number", bool: "flag", dict: "NAME=VALUE", tuple: "text"}
    return plain[get_origin(annotation) or annotation]


def _limit(meta: msgspec.Meta) -> str:
    if meta.gt is not None:
        return f" > {meta.gt}"
    return f" ≥ {meta.ge}" if meta.le is None else f" {meta.ge} to {meta.le}"


if __name__ == "__main__":
    main()
