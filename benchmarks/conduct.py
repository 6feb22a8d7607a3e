"""How HTTP clients behave when a call goes wrong or is given up.

Whether a request was sent decides whether it may be sent again without paying twice, so what matters in an error is
whether it tells that truth.
"""

import json
import socket
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import msgspec
from benchmarks.bench import environment
from benchmarks.environments import python_of
from benchmarks.faults import close, cut, going_wrong, never_accepting, read_request, refusing, reset, silence
from benchmarks.provider import Provider
from benchmarks.results import Table

CLIENTS = ("pyreqwest", "wreq", "pyqwest", "aiohttp")
ENDS_WITHIN_S = 60
CLOSES_WITHIN_S = 2.0

SAYS_UNSENT = {
    "pyreqwest": {"ConnectError", "ConnectTimeoutError"},
    "wreq": {"ConnectionError", "ProxyConnectionError", "TlsError"},
    "pyqwest": {"ConnectionError"},
    "aiohttp": {"ClientConnectorError", "ConnectionTimeoutError"},
}
"""The classes that, by their documentation, mean that no connection was made. A subclass means the same."""
SAYS_SENT = {
    "pyreqwest": {"ReadError", "WriteError", "ReadTimeoutError", "WriteTimeoutError", "DecodeError"},
    "wreq": {"ConnectionResetError", "BodyError", "DecodingError"},
    "pyqwest": {"ReadError", "WriteError", "RemoteProtocolError", "ConnectionResetError"},
    "aiohttp": {"ServerDisconnectedError", "ClientPayloadError", "SocketTimeoutError", "ClientResponseError"},
}
"""The classes that mean that there was a connection. They win over the others, whose subclasses some are."""
CONNECT_CAUSE = "client error (Connect)"
NOTE = (
    "✔ says truly whether the request was sent, ✗ says the opposite, ? does not say. It is the class of the error that "
    "is judged; “(causes: ✔)” where pyreqwest's list of causes tells what its class does not."
)


class Fault(msgspec.Struct, frozen=True):
    """One way to go wrong, whether the request has been sent by then, and which limit of time is a short one."""

    name: str
    sent: bool
    serving: Callable[[], AbstractContextManager[str]]
    short: str = "total_s"


def conduct(server: Provider) -> Table:
    """A line for each fault, and for giving up, a column for each client."""
    lines = []
    for fault in _faults(server):
        with fault.serving() as url:
            told = {client: _probe(client, url, fault.short) for client in CLIENTS}
        cells = [_judge(client, told[client], sent=fault.sent) for client in CLIENTS]
        lines.append([fault.name, "sent" if fault.sent else "not sent", *cells])
    lines.append(["cancelled before the answer", "sent", *map(_cancelled, CLIENTS)])
    return Table("HTTP clients: what they say and do when things go wrong", ["what", "truth", *CLIENTS], lines, NOTE)


def says_sent(client: str, told: dict[str, Any]) -> bool | None:
    """What the class of an error says, or none where it says nothing."""
    classes = set(told["classes"])
    if classes & SAYS_SENT[client]:
        return True
    return False if classes & SAYS_UNSENT[client] else None


def _faults(server: Provider) -> list[Fault]:
    untrusted = server.base_url(0.0, tls=True) + "/chat/completions"
    return [
        Fault("connection refused", False, refusing),
        Fault("connecting takes too long", False, never_accepting, "connect_s"),
        Fault("certificate not trusted", False, lambda: nullcontext(untrusted)),
        Fault("reset after the request", True, partial(going_wrong, reset)),
        Fault("closed after the request", True, partial(going_wrong, close)),
        Fault("body cut short", True, partial(going_wrong, cut)),
        Fault("no answer within the time of the call", True, partial(going_wrong, silence)),
        Fault("no answer within the time of a read", True, partial(going_wrong, silence), "read_s"),
    ]


def _probe(client: str, url: str, short: str) -> dict[str, Any]:
    command = [*_command(client, url), "--short", short]
    done = subprocess.run(command, capture_output=True, check=True, env=environment(), timeout=ENDS_WITHIN_S)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def _judge(client: str, told: dict[str, Any], *, sent: bool) -> str:
    says = says_sent(client, told)
    mark = "?" if says is None else "✔" if says == sent else "✗"
    cell = f"{mark} `{told['classes'][0]}`"
    if mark != "✔" and told["causes"]:
        unsent = any(CONNECT_CAUSE in cause for cause in told["causes"])
        cell += f" (causes: {'✗' if unsent == sent else '✔'})"
    return cell


def _cancelled(client: str) -> str:
    """Whether a cancelled call closes its connection while its process lives on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(ENDS_WITHIN_S)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1/chat/completions"
        process = subprocess.Popen(
            [*_command(client, url), "--cancelled"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment()
        )
        try:
            connection, _ = listener.accept()
            with connection:
                read_request(connection)
                assert process.stdin is not None
                process.stdin.write(b"\n")
                process.stdin.flush()
                return "✔ closes the connection" if _is_closed(connection) else "✗ leaves the call running"
        finally:
            process.kill()
            process.communicate()


def _is_closed(connection: socket.socket) -> bool:
    connection.settimeout(CLOSES_WITHIN_S)
    try:
        return connection.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionResetError:
        return True


def _command(client: str, url: str) -> list[str]:
    return [str(python_of("clients")), "-m", "benchmarks.clients.probe", client, url]
