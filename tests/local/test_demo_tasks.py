"""The demo's rows are usable as they are."""

from penstock.local.demo_tasks import DEMO_PARAMS, DEMO_TASKS


def test_every_row_asks_something() -> None:
    """A row has a prompt or messages that hold its text, never both."""
    for row in DEMO_TASKS:
        assert ("prompt" in row) != ("messages" in row)
        asked = row["prompt"] if "prompt" in row else row["messages"][-1]["content"]
        assert row["text"] in asked


def test_ids_are_unique() -> None:
    """An id is the task's key."""
    ids = [row["id"] for row in DEMO_TASKS]
    assert len(set(ids)) == len(ids) >= 12


def test_shown_turns_end_with_the_user() -> None:
    """Examples alternate, and the last word is the question."""
    for row in DEMO_TASKS:
        roles = [message["role"] for message in row.get("messages", [])]
        assert roles == ["user", "assistant"] * (len(roles) // 2) + ["user"] * (len(roles) % 2)
        assert not roles or roles[-1] == "user"


def test_answers_are_short() -> None:
    """The demo ends in seconds on two cores."""
    assert DEMO_PARAMS["max_tokens"] <= 60
