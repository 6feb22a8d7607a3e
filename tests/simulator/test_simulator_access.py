"""Keys, models, paths and methods."""

from collections.abc import Callable
from typing import Any

import pytest

from penstock.simulator import SimulatorSettings, running

Send = Callable[..., Any]
KEYS = ("secret-of-one", "secret-of-two")


@pytest.mark.parametrize("key", KEYS)
def test_a_listed_key_is_let_in(chat: Send, key: str) -> None:
    """Each of several."""
    with running(SimulatorSettings(api_keys=KEYS)) as sim:
        assert chat(sim, "hello", key=key).status == 200


@pytest.mark.parametrize("key", [None, "wrong-and-secret"])
def test_a_missing_or_wrong_key_is_refused(chat: Send, key: str | None) -> None:
    """With the provider's code; and the key is not repeated."""
    with running(SimulatorSettings(api_keys=KEYS)) as sim:
        answer = chat(sim, "hello", key=key)
        assert answer.status == 401
        assert answer.json()["error"]["code"] == "invalid_api_key"
        assert b"wrong-and-secret" not in answer.body
        assert sim.bill().billed == 0


def test_an_unknown_model_is_refused_where_a_list_is_set(send: Send, chat: Send) -> None:
    """And the list can be asked for."""
    with running(SimulatorSettings(models=("small", "large"))) as sim:
        answer = chat(sim, "hello")
        assert answer.status == 404
        assert answer.json()["error"]["code"] == "model_not_found"
        assert chat(sim, "hello", model="large").status == 200
        assert [model["id"] for model in send(sim, "/v1/models").json()["data"]] == ["small", "large"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v1/nothing", 404),
        ("GET", "/", 404),
        ("GET", "/v1/chat/completions", 405),
        ("POST", "/v1/models", 405),
    ],
)
def test_a_wrong_path_or_method_is_refused(send: Send, method: str, path: str, status: int) -> None:
    """As the real API does."""
    with running() as sim:
        answer = send(sim, path, {}, method=method)
        assert answer.status == status
        assert answer.json()["error"]["type"] == "invalid_request_error"


def test_a_query_does_not_change_the_path(send: Send) -> None:
    """Some gateways want one."""
    with running() as sim:
        assert send(sim, "/v1/models?limit=1").status == 200
