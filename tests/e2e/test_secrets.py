"""Credentials reach no output: not the journal, not a file, not the screen, whatever the provider says back."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from penstock.simulator import SimulatorSettings, running

if TYPE_CHECKING:
    from tests.e2e.conftest import Ended, Penstock

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600, func_only=True)]

KEYS = {"with the usual prefix": "sk-canary0123456789abcdef", "of letters and digits": "canary0123456789abcdef"}


def places_of(secret: str, penstock: Penstock, ended: Ended) -> list[str]:
    """Where the secret was written: files of the folder, and what was printed."""
    written = {str(path): path.read_bytes() for path in penstock.folder.rglob("*") if path.is_file()}
    written |= {"standard output": ended.out.encode(), "standard error": ended.err.encode()}
    written.pop(str(penstock.folder / "penstock.toml"), None)
    return [place for place, content in written.items() if secret.encode() in content]


@contextmanager
def echoing(status: int, shape: str) -> Iterator[str]:
    """The base URL of a provider that says the caller's key back to him."""

    class Echo(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            body = shape.replace("KEY", self.headers["authorization"].removeprefix("Bearer ")).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
@pytest.mark.parametrize("place", ["environment", "penstock.toml"])
@pytest.mark.parametrize("display", ["--json", None])
def test_the_key_is_written_nowhere(penstock: Penstock, key: str, place: str, display: str | None) -> None:
    """In a run with answers, failures and a pause."""
    faults = ("status=400", "body=html,status=502", "status=401", "status=402")
    tasks = ["one", *(f"[[fault:{fault}]]" for fault in faults)]
    penstock.write("tasks.jsonl", "\n".join(json.dumps({"text": task}) for task in tasks))
    words = ["run", "tasks.jsonl", "--model", "m", "--prompt", "{{ text }}", "-o", "out.jsonl", "-o", "table.csv"]
    words += [display] if display else []
    with running(SimulatorSettings(api_keys=(key,))) as sim:
        if place == "environment":
            ended = penstock.run(*words, "--base-url", sim.base_url, environment={"OPENAI_API_KEY": key})
        else:
            penstock.write("penstock.toml", f'[endpoints.mine]\nbase_url = "{sim.base_url}"\napi_key = "{key}"\n')
            ended = penstock.run(*words, "--endpoint", "mine")

    assert ended.code == 3, ended.err
    assert places_of(key, penstock, ended) == []


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
@pytest.mark.parametrize(
    ("status", "shape"),
    [
        (400, '{"error": {"message": "Bad request of KEY", "code": "KEY"}}'),
        (401, '{"error": {"message": "Incorrect API key provided: KEY."}}'),
        (502, "<html><title>KEY</title>Bearer KEY</html>"),
        (200, '{"error": {"message": "no balance on KEY", "code": 402}}'),
        (200, "KEY"),
    ],
    ids=["rejected", "key refused", "a page", "an error under 200", "no JSON"],
)
def test_a_key_that_the_provider_says_back_is_written_nowhere(
    penstock: Penstock, key: str, status: int, shape: str
) -> None:
    """Whatever looks like a key or not, in whatever shape of error."""
    penstock.write("tasks.jsonl", '{"text": "one"}\n')
    with echoing(status, shape) as base_url:
        ended = penstock.run(
            *("run", "tasks.jsonl", "--base-url", base_url, "--model", "m", "--prompt", "{{ text }}"),
            *("-o", "out.jsonl", "--ambiguous", "never"),
            environment={"OPENAI_API_KEY": key},
        )

    assert ended.code in (1, 3), ended.err
    assert places_of(key, penstock, ended) == []


def test_a_password_in_a_base_url_is_refused_without_showing_it(penstock: Penstock) -> None:
    """Such a URL would stand in every display."""
    penstock.write("tasks.jsonl", '{"text": "one"}\n')
    url = "http://user:canary0123456789@127.0.0.1:9/v1"
    ended = penstock.run(
        "run", "tasks.jsonl", "--model", "m", "--prompt", "{{ text }}", environment={"OPENAI_BASE_URL": url}
    )

    assert ended.code == 2
    assert places_of("canary0123456789", penstock, ended) == []


def test_the_home_of_runs_is_closed_to_others(penstock: Penstock) -> None:
    """Rows and answers are nobody else's business."""
    penstock.write("tasks.jsonl", '{"text": "one"}\n')
    with running() as sim:
        penstock.run("run", "tasks.jsonl", "--base-url", sim.base_url, "--model", "m", "--prompt", "{{ text }}")

    (folder,) = (penstock.folder / ".penstock").iterdir()
    assert Path(folder).stat().st_mode & 0o077 == 0
