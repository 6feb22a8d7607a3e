"""`penstock run`: a source of tasks in, every answer out."""

from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from penstock.cli.launching import launch_from_terminal
from penstock.cli.option_flags import DryRun, Json, Quiet, given_options, with_option_flags
from penstock.options import RunOptions, resolve_options


def _refuse_option(_type: object, source: str) -> None:
    if source.startswith("-") and source != "-":
        raise ValueError(f"There is no option {source}.")


Source = Annotated[
    str,
    Parameter(
        help="A .jsonl, .csv, .tsv, .txt or .parquet file, a folder of text files, or -.",
        # Or else "-" is taken for an option.
        allow_leading_hyphen=True,
        validator=_refuse_option,
    ),
]


def run(
    source: Source,
    /,
    *,
    dry_run: DryRun = False,
    json: Json = False,
    quiet: Quiet = False,
    **flags: Any,
) -> int:
    """Send every row of SOURCE to a model and keep every answer.

    Stopped or killed, the same command goes on where it was: nothing that was answered is asked again.

    An option can also stand in the environment, as `PENSTOCK_MODEL`, or under `[run]` in `penstock.toml`.
    """
    options = with_default_output(source, resolve_options(given_options(flags)))
    if dry_run:
        from penstock.cli.dry_run import dry_run as show_what_would_be_sent

        show_what_would_be_sent(source, options)
        return 0
    return launch_from_terminal(source, options, json=json, quiet=quiet)


def with_default_output(source: str, options: RunOptions) -> RunOptions:
    """Without `--output`, results go to a file named after the source, or for standard input to standard output."""
    if options.output:
        return options
    from penstock.launch import run_name

    return msgspec.structs.replace(options, output=("-" if source == "-" else f"{run_name(source, ())}.results.jsonl",))


with_option_flags(run)
