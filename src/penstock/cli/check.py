"""`penstock check`: what is wrong with a key, a base URL or a model, and how to mend it."""

import os
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from penstock.cli.option_flags import PANELS, given_options, with_option_flags

if TYPE_CHECKING:
    from penstock.endpoints import Endpoint
    from penstock.options import RunOptions
    from penstock.pools import Pools

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
    With `--model` it makes one call of one token, which is all that can cost something. Where there are several keys or
    endpoints each of them is tried. Exit code 0 when all of it can be used, 1 when not.
    """
    from penstock.launch import run_sync
    from penstock.options import load_config, resolve_options
    from penstock.pools import resolve_pools

    options = resolve_options({"timeout_s": timeout, **given_options(flags)})
    pools = resolve_pools(options.endpoint, options.base_url, os.environ, load_config(), need_key=False)
    usable = run_sync(lambda: _check_all(pools, options))
    print("\nIt can be used." if usable else "\nIt cannot be used like this.")
    return 0 if usable else 1


async def _check_all(pools: "Pools", options: "RunOptions") -> bool:
    """Every endpoint that a run with these options could ask."""
    from penstock.launch import serving

    usable = True
    async with serving(pools) as served:
        for number, (endpoint, asking) in enumerate(_to_ask(served, options)):
            if number:
                print()
            usable = await _check(endpoint, asking) and usable
    return usable


def _to_ask(pools: "Pools", options: "RunOptions") -> list[tuple["Endpoint", "RunOptions"]]:
    """The endpoints, each with options that name the model as it is called there."""
    import msgspec

    if options.model is None:
        return [(endpoint, options) for endpoint in pools.endpoints]
    routes = pools.routes(options.model)
    return [(route.endpoint, msgspec.structs.replace(options, model=route.model)) for route in routes]


async def _check(endpoint: "Endpoint", options: "RunOptions") -> bool:
    from penstock.cli.probes import probe

    usable = True
    async for finding in probe(endpoint, options):
        _print(finding)
        usable = usable and finding.good is not False
    return usable


def _print(finding: Any) -> None:
    from penstock.redaction import printable

    print(f"{MARKS[finding.good]} {printable(finding.text)}", flush=True)
    for line in printable(finding.hint or "").splitlines():
        print(f"    {line}", flush=True)


with_option_flags(check, only=("model", "api", "endpoint", "base_url", "ca_file", "connect_timeout_s"))
