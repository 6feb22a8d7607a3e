"""What a worker finds in its environment: no key of the run, and the driver's way to its modules."""

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from penstock.endpoints import Endpoint, split_keys


def worker_environment(environ: Mapping[str, str], endpoints: Iterable[Endpoint]) -> dict[str, str]:
    """The environment without the variables that hold a key of these endpoints, alone or among others."""
    secrets = {key.secret for endpoint in endpoints for key in endpoint.keys}
    kept = {
        name: value
        for name, value in environ.items()
        if not any(key.secret in secrets for key in split_keys(value, name))
    }
    return kept | {"PYTHONPATH": os.pathsep.join(module_folders(sys.path))}


def module_folders(path: Iterable[str]) -> list[str]:
    """Where modules are found. The folders of the script and of the user come last: no file there may shadow ours."""
    main = getattr(sys.modules.get("__main__"), "__file__", None)
    last = {os.path.realpath(Path.cwd())} | ({os.path.dirname(os.path.realpath(main))} if main else set())
    found = [each for each in dict.fromkeys(path) if os.path.isabs(each) and os.path.exists(each)]
    return sorted(found, key=lambda each: os.path.realpath(each) in last)
