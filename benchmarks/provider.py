"""A provider that is never the bottleneck: nginx, which answers every request with the same chat answer of 1.1 kB."""

import json
import math
import resource
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

NEEDED = "apt-get install nginx libnginx-mod-http-ndk libnginx-mod-http-echo"
MODULES = Path("/usr/lib/nginx/modules")
MODULE_FILES = ("ndk_http_module.so", "ngx_http_echo_module.so")
STARTS_WITHIN_S = 10.0

ANSWER = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "x" * 840}, "finish_reason": "stop"},
        ],
        "usage": {"prompt_tokens": 10, "completion_tokens": 200, "total_tokens": 210},
    }
)

CONFIGURATION = """
%(modules)s
worker_processes 1;
worker_rlimit_nofile %(files)d;
daemon off;
pid nginx.pid;
error_log stderr;
events { worker_connections %(files)d; }
http {
    access_log off;
    keepalive_requests 100000000;
    client_body_buffer_size 64k;
    client_max_body_size 50m;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    default_type application/json;
    server {
        listen 127.0.0.1:%(port)d backlog=8192;
        location /at-once/ { echo_read_request_body; echo -n '%(answer)s'; }
        location /in-a-second/ { echo_read_request_body; echo_sleep 1; echo -n '%(answer)s'; }
    }
}
"""


class Provider:
    """Where the running server listens."""

    def __init__(self, port: int) -> None:
        self.at_once = f"http://127.0.0.1:{port}/at-once/v1"
        self.in_a_second = f"http://127.0.0.1:{port}/in-a-second/v1"


def is_installed() -> bool:
    """Whether nginx and its two modules stand where Debian puts them."""
    return _nginx() is not None and all((MODULES / name).exists() for name in MODULE_FILES)


@contextmanager
def serving(folder: Path) -> Iterator[Provider]:
    """The server, for as long as the block lasts; its files stand in `folder`."""
    folder.mkdir(parents=True)
    port = _free_port()
    (folder / "nginx.conf").write_text(_configuration(port))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([str(_nginx()), "-p", str(folder), "-c", "nginx.conf"], stderr=log)
    try:
        _wait_until_listening(process, port)
        yield Provider(port)
    finally:
        process.terminate()
        process.wait()


def _nginx() -> str | None:
    return shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")


def _configuration(port: int) -> str:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    modules = "\n".join(f"load_module {MODULES / name};" for name in MODULE_FILES)
    files = 20_000 if hard == resource.RLIM_INFINITY else min(hard, 20_000)
    return CONFIGURATION % {"modules": modules, "files": files, "port": port, "answer": ANSWER}


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def _wait_until_listening(process: subprocess.Popen[bytes], port: int) -> None:
    for _ in range(math.ceil(STARTS_WITHIN_S / 0.1)):
        with suppress(subprocess.TimeoutExpired):
            raise RuntimeError(f"nginx ended with {process.wait(0.1)}; see its log")
        with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
    raise RuntimeError("nginx does not listen; see its log")
