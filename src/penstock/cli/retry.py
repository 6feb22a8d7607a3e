"""`penstock retry`: only what failed, in the same run."""

from typing import Any

from penstock.cli.launching import launch_from_terminal
from penstock.cli.option_flags import Json, Quiet, given_options, with_option_flags
from penstock.cli.runs import RunName, find_run, home_of
from penstock.options import resolve_options


def retry(run: RunName, /, *, json: Json = False, quiet: Quiet = False, **flags: Any) -> int:
    """Send the failed tasks of RUN again, with another model or endpoint if asked.

    The options are those of the run, but for those given here. New results take the place of the failures, in the
    journal and in the outputs.
    """
    given = given_options(flags)
    home = home_of(given.get("home"))
    with find_run(home, run) as reader:
        kept: dict[str, Any] = reader.recall("options") or {}
    if {"endpoint", "base_url"} & set(given):
        # They belong together: another endpoint's key must not be sent to the old base URL.
        kept = {name: value for name, value in kept.items() if name not in ("endpoint", "base_url")}
    options = resolve_options({**kept, **given, "home": home, "name": run, "fresh": False}, environ={}, config={})
    return launch_from_terminal(None, options, json=json, quiet=quiet)


with_option_flags(retry, without=("name", "fresh", "limit", "key"))
