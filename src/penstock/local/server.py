"""The process that holds the embedded model: `python -m penstock.local.server MODEL_FILE`.

It says on standard output, in one line of JSON (`Ready`), where it listens or why it cannot, and lives until its
standard input closes.
"""

import os
import sys
from typing import Any

import msgspec

MODEL_NAME = "SmolLM2-135M-Instruct"

SLOTS = 4
"""Answers generated side by side; further requests wait in the server."""
CONTEXT_TOKENS = 2048
"""Prompt and answer of one request together."""
MAX_THREADS = 4
"""A model this small gains nothing from more, and threads beyond a container's share of the cores stall each other."""

_SILENT = -1


class Ready(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the server says once: its base URL up to and with `/v1`, or the error that keeps it from serving."""

    base_url: str = ""
    error: str | None = None


def thread_count() -> int:
    """Threads to compute with: never more than the cores this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MAX_THREADS)


def serve(model_file: str) -> None:
    """Serve `model_file` until standard input closes."""
    try:
        server = _listen(model_file)
    except (ImportError, RuntimeError) as error:
        _say(Ready(error=str(error)))
        return
    _say(Ready(base_url=f"{server.listening_address}/v1"))
    sys.stdin.buffer.read()
    # Destroying the server while it answers never returns; the process has nothing to save.
    os._exit(0)


def _listen(model_file: str) -> Any:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = model_file
    params.model_alias = {MODEL_NAME}
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_parallel = SLOTS
    params.n_ctx = SLOTS * CONTEXT_TOKENS
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = thread_count()
    params.verbosity = _SILENT
    params.ui = False
    return xllamacpp.Server(params)


def _say(ready: Ready) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(ready) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    serve(sys.argv[1])
