"""`penstock show`: one task from row to answer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Cli

pytestmark = pytest.mark.usefixtures("mixed_run")


def test_an_answered_task_shows_row_attempts_and_text(cli: Cli) -> None:
    """With tokens, and where the row stands."""
    ended = cli("show", "job", "a")
    assert ended.code == 0
    for words in ("a (row 2, tasks.jsonl:2)", '"prompt": "one"', "ok (stop)", "64 output", "answered", "You said: one"):
        assert words in ended.out


def test_a_failed_task_shows_the_words_of_the_provider(cli: Cli) -> None:
    """And its class of fault."""
    ended = cli("show", "job", "bad")
    assert ended.code == 0
    assert "rejected, HTTP 400" in ended.out
    assert "The request could not be understood." in ended.out


def test_body_is_the_answer_byte_for_byte(cli: Cli) -> None:
    """And nothing else."""
    ended = cli("show", "job", "a", "--body")
    assert ended.code == 0
    answer = json.loads(ended.raw)
    assert answer["choices"][0]["message"]["content"].startswith("You said: one")
    assert ended.raw == json.dumps(answer, separators=(",", ":"), ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(("zzz",), "has no task 'zzz'.\nIts keys look like"), (("bad", "--body"), "the task 'bad' has failed")],
)
def test_what_is_not_there_is_wrong_usage(cli: Cli, arguments: tuple[str, ...], words: str) -> None:
    """The message helps to find what is."""
    ended = cli("show", "job", *arguments)
    assert ended.code == 2
    assert words in ended.err
