"""A provider that is not ours and never the bottleneck: nginx, which answers every request with the same chat answer.

It answers after 0, 0.1, 1 or 2 seconds with 1 kB or 20 kB, in the clear and over TLS, and writes down when each request
came and went, so that every contender's flow is read from the same clock, outside of it.
"""

import math
import resource
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import trustme
from benchmarks.answers import chat_answer, streamed_answer
from benchmarks.arrivals import Arrivals, read_arrivals

NEEDED = "apt-get install nginx libnginx-mod-http-ndk libnginx-mod-http-echo"
MODULES = Path("/usr/lib/nginx/modules")
MODULE_FILES = ("ndk_http_module.so", "ngx_http_echo_module.so")
STARTS_WITHIN_S = 10.0
LATENCIES_S = (0.0, 0.1, 1.0, 2.0)
ANSWERS_KB = (1, 20)
STREAM_PLACE, STREAM_PIECES = "/stream", 100
FLUSHED_AFTER_S = 0.05
WORD_BYTES = 2_000
"""nginx takes no longer word in its configuration than 4,096 bytes."""

CONFIGURATION = """
%(modules)s
worker_processes 1;
worker_rlimit_nofile %(files)d;
daemon off;
pid nginx.pid;
error_log stderr;
events { worker_connections %(files)d; }
http {
    log_format arrivals '$msec $request_time $status $request_length $bytes_sent';
    access_log arrivals arrivals buffer=64k flush=%(flush_ms)dms;
    keepalive_requests 100000000;
    client_body_buffer_size 8m;
    client_max_body_size 50m;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    default_type application/json;
    ssl_certificate certificate.pem;
    ssl_certificate_key key.pem;
    server {
        listen 127.0.0.1:%(port)d backlog=8192;
        listen 127.0.0.1:%(tls_port)d ssl backlog=8192;
%(locations)s
    }
}
"""


class Provider:
    """The running server: where it listens, whom its clients must trust, and what it has answered."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes], port: int, tls_port: int) -> None:
        self._log = folder / "arrivals"
        self._ports = {False: port, True: tls_port}
        self.pid = process.pid
        self.ca_file = folder / "ca.pem"
        self.at_once = self.base_url(0.0)
        self.in_a_second = self.base_url(1.0)
        self.streamed = f"http://127.0.0.1:{port}{STREAM_PLACE}/v1"

    def base_url(self, latency_s: float, answer_kb: int = 1, *, tls: bool = False) -> str:
        """The base URL under which every request is answered so late and with so much."""
        scheme = "https" if tls else "http"
        return f"{scheme}://127.0.0.1:{self._ports[tls]}{_place(latency_s, answer_kb)}/v1"

    def mark(self) -> int:
        """The place in the log from which `arrivals` reads what comes after this moment."""
        return self._settled_size()

    def arrivals(self, mark: int) -> Arrivals:
        """What was answered since `mark`. To be called when nothing is in flight any more."""
        self._settled_size()
        return read_arrivals(self._log, mark)

    def _settled_size(self) -> int:
        """The size of the log, once nginx has written into it all that it still held back."""
        size = -1
        while size != (size := self._log.stat().st_size):
            time.sleep(2 * FLUSHED_AFTER_S)
        return size


def is_installed() -> bool:
    """Whether nginx and its two modules stand where Debian puts them."""
    return _nginx() is not None and all((MODULES / name).exists() for name in MODULE_FILES)


@contextmanager
def serving(folder: Path) -> Iterator[Provider]:
    """The server, for as long as the block lasts; its files stand in `folder`."""
    folder.mkdir(parents=True)
    port, tls_port = _free_ports(2)
    _write_certificates(folder)
    (folder / "nginx.conf").write_text(_configuration(port, tls_port))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([str(_nginx()), "-p", str(folder), "-c", "nginx.conf"], stderr=log)
    try:
        _wait_until_listening(process, port)
        yield Provider(folder, process, port, tls_port)
    finally:
        process.terminate()
        process.wait()


def _nginx() -> str | None:
    return shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")


def _place(latency_s: float, answer_kb: int) -> str:
    return f"/{latency_s * 1000:.0f}ms/{answer_kb}kb"


def _configuration(port: int, tls_port: int) -> str:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return CONFIGURATION % {
        "modules": "\n".join(f"load_module {MODULES / name};" for name in MODULE_FILES),
        "files": 20_000 if hard == resource.RLIM_INFINITY else min(hard, 20_000),
        "flush_ms": FLUSHED_AFTER_S * 1000,
        "port": port,
        "tls_port": tls_port,
        "locations": "\n".join(
            [*(_location(latency_s, kb) for latency_s in LATENCIES_S for kb in ANSWERS_KB), _stream_location()]
        ),
    }


def _location(latency_s: float, answer_kb: int) -> str:
    waits = f"echo_sleep {latency_s}; " if latency_s else ""
    says = " ".join(f"echo -n '{word}';" for word in _words(chat_answer(answer_kb * 1000)))
    return f"        location {_place(latency_s, answer_kb)}/ {{ echo_read_request_body; {waits}{says} }}"


def _stream_location() -> str:
    """Every event in a write of its own, as a model's words come."""
    events = [_words(event)[0] + "\\n\\n" for event in streamed_answer(STREAM_PIECES)]
    says = " ".join(f"echo -n '{event}'; echo_flush;" for event in events)
    return f"        location {STREAM_PLACE}/ {{ default_type text/event-stream; echo_read_request_body; {says} }}"


def _words(answer: bytes) -> list[str]:
    text = answer.decode()
    parts = [text[start : start + WORD_BYTES] for start in range(0, len(text), WORD_BYTES)]
    return [part.replace("\\", "\\\\").replace("'", "\\'") for part in parts]


def _write_certificates(folder: Path) -> None:
    authority = trustme.CA()
    server = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    server.private_key_pem.write_to_path(folder / "key.pem")
    for blob in server.cert_chain_pems:
        blob.write_to_path(folder / "certificate.pem", append=True)


def _free_ports(count: int) -> list[int]:
    taken = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(one.getsockname()[1]) for one in taken]
    for one in taken:
        one.close()
    return ports


def _wait_until_listening(process: subprocess.Popen[bytes], port: int) -> None:
    for _ in range(math.ceil(STARTS_WITHIN_S / 0.1)):
        with suppress(subprocess.TimeoutExpired):
            raise RuntimeError(f"nginx ended with {process.wait(0.1)}; see its log")
        with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
    raise RuntimeError("nginx does not listen; see its log")
