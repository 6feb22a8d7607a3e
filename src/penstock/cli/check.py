"""`penstock check`: what is wrong with a key, a base URL or a model, and how to mend it."""

import os
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from penstock.cli.option_flags import PANELS, given_options, with_option_flags

if TYPE_CHECKING:
    from penstock.endpoints import Endpoint
    from penstock.options import RunOptions

MARKS = {True: "✓", False: "✗", None: "·"}


def check(
    *,
    timeout: Annotated[
        float,
        Parameter(help="Seconds one call may take in all.", metavar="SECONDS", group=PANELS["Flow"], show_default="60"),
    ] = 60.0,
    **flags: Any,
) -> int:
    """Find out what is wrong with a key, a base URL or a model, and how to mend it.

    Tries in turn: the form of the key, the connection, the base URL with and without `/v1`, and the list of models.
    With `--model` it makes one call of one token, which is all that can cost something. Exit code 0 when the endpoint
    can be used, 1 when not.
    """
    from penstock.endpoints import resolve_endpoint
    from penstock.launch import run_sync
    from penstock.options import load_config, resolve_options

    options = resolve_options({"timeout_s": timeout, **given_options(flags)})
    endpoint = resolve_endpoint(options.endpoint, options.base_url, os.environ, load_config(), need_key=False)
    usable = run_sync(lambda: _check(endpoint, options))
    print("\nIt can be used." if usable else "\nIt cannot be used like this.")
    return 0 if usable else 1


async def _check(endpoint: "Endpoint", options: "RunOptions") -> bool:
    from penstock.cli.probes import probe
    from penstock.launch import serving

    usable = True
    async with serving(endpoint) as served:
        async for finding in probe(served, options):
            _print(finding)
            usable = usable and finding.good is not False
    return usable


def _print(finding: Any) -> None:
    from penstock.redaction import printable

    print(f"{MARKS[finding.good]} {printable(finding.text)}", flush=True)
    for line in printable(finding.hint or "").splitlines():
        print(f"    {line}", flush=True)


with_option_flags(check, only=("model", "api", "endpoint", "base_url", "ca_file", "connect_timeout_s"))
