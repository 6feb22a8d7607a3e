"""`penstock run --stream`: the answers, their times, and what is no answer."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet
import pytest

from penstock.simulator import SimulatorSettings, running

if TYPE_CHECKING:
    from tests.cli.conftest import Cli, WriteTasks

    from penstock.simulator import BackgroundSimulator

APIS = ("chat", "completions", "responses")


def lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def without_times(line: dict[str, Any]) -> dict[str, Any]:
    """What does not depend on the moment."""
    moment = ("ttft_ms", "tokens_per_s", "latency_ms", "queue_ms", "finished_at")
    return {name: value for name, value in line.items() if name not in moment}


@pytest.mark.parametrize(("api", "more"), [*((api, ()) for api in APIS), ("chat", ("--processes", "2"))])
def test_streamed_answers_are_the_same_answers(
    cli: Cli, folder: Path, write_tasks: WriteTasks, api: str, more: tuple[str, ...]
) -> None:
    """In every field, and with the time to their first token besides."""
    prompts = {f"k{n}": f"word {n}" for n in range(20)} | {"short": "[[fault:finish=length]]"}
    write_tasks(folder / "tasks.jsonl", prompts)
    with running(SimulatorSettings(latency_ms=100)) as sim:
        words = ["run", "tasks.jsonl", "--base-url", sim.base_url, "-m", "m", "--api", api]
        assert cli(*words, "-o", "whole.jsonl").code == 0
        ended = cli(*words, "-o", "streamed.jsonl", "--stream", *more)
        assert ended.code == 0
    assert re.search(r"streamed +first token after [\d.]+ m?s, then [\d,.]+ tokens/s \(medians\)", ended.err)

    whole, streamed = lines(folder / "whole.jsonl"), lines(folder / "streamed.jsonl")
    assert list(map(without_times, streamed)) == list(map(without_times, whole))
    assert all(line["ttft_ms"] > 0 for line in streamed)
    assert not any("ttft_ms" in line or "tokens_per_s" in line for line in whole)


def test_every_output_has_the_times(cli: Cli, folder: Path, write_tasks: WriteTasks) -> None:
    """The tables have their columns always, the lines where they were measured; `show` says them."""
    write_tasks(folder / "tasks.jsonl", {"a": "one"})
    with running(SimulatorSettings(latency_ms=100)) as sim:
        words = ["run", "tasks.jsonl", "--base-url", sim.base_url, "-m", "m", "--stream", "--name", "job"]
        assert cli(*words, "-o", "out.jsonl", "-o", "out.csv", "-o", "out.parquet").code == 0

    (line,) = lines(folder / "out.jsonl")
    times = (line["ttft_ms"], line["tokens_per_s"])
    with (folder / "out.csv").open(encoding="utf-8-sig", newline="") as file:
        (row,) = csv.DictReader(file)
    (record,) = pyarrow.parquet.read_table(folder / "out.parquet").to_pylist()
    assert 0 < times[0] <= line["latency_ms"]
    assert (float(row["ttft_ms"]), float(row["tokens_per_s"])) == times
    assert (record["ttft_ms"], record["tokens_per_s"]) == times
    assert f"then {times[1]:,.1f} tokens/s" in cli("show", "job", "a").out
    assert "streamed  first token after" in cli("status", "job").out

    assert cli("export", "job", "-o", "again.jsonl").code == 0
    assert lines(folder / "again.jsonl") == [line]


def test_a_batch_line_gets_its_ordinary_answer(cli: Cli, folder: Path, sim: BackgroundSimulator) -> None:
    """One that asks for a stream itself, and one that cannot stream, in OpenAI's own form."""
    chat = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
    batch = [
        {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": chat},
        {"custom_id": "b", "method": "POST", "url": "/v1/embeddings", "body": {"model": "m", "input": "Hi"}},
    ]
    (folder / "batch.jsonl").write_text("".join(json.dumps(line) + "\n" for line in batch))
    words = ["run", "batch.jsonl", "--base-url", sim.base_url, "--format", "openai-batch", "-o", "out.jsonl"]
    assert cli(*words, "--stream").code == 0

    first, second = (line["response"]["body"] for line in lines(folder / "out.jsonl"))
    assert first["object"] == "chat.completion"
    assert first["choices"][0]["message"]["content"].startswith("You said: Hi")
    assert first["usage"]["completion_tokens"] == 64
    assert second["data"][0]["object"] == "embedding"


FAULTS = {
    "cut": "cut_after=5",
    "missing": "finish=missing",
    "unsaid": "finish=unsaid",
    "reset": "reset=answer",
    "error": "error_after=5,code=server_error,message=Lost it",
    "html": "body=html",
    "broken": "body=bad_json",
    "empty": "body=empty",
}


@pytest.mark.parametrize("api", APIS)
def test_a_stream_that_breaks_off_is_no_answer(
    cli: Cli, folder: Path, sim: BackgroundSimulator, write_tasks: WriteTasks, api: str
) -> None:
    """However it does; what had come stands in the failed line, and nothing of it among the answers."""
    write_tasks(folder / "tasks.jsonl", {name: f"Once [[fault:{fault}]]" for name, fault in FAULTS.items()})
    words = ["run", "tasks.jsonl", "--base-url", sim.base_url, "-m", "m", "--api", api, "--ambiguous", "never"]
    assert cli(*words, "-o", "out.jsonl", "--stream", "--max-attempts", "1", "--concurrency", "8").code == 1

    failures = {line["key"]: line["_failure"] for line in lines(folder / "out.failed.jsonl")}
    assert set(failures) == set(FAULTS)
    assert (folder / "out.jsonl").read_text() == ""
    begun = {"cut", "missing", "unsaid", "reset", "error", "broken"}
    assert all(failures[name]["excerpt"].startswith("You") for name in begun)
    assert "Lost it" in failures["error"]["message"]
    assert failures["cut"]["code"] == "stream_cut"


@pytest.mark.parametrize("fault", ["cut_after=5,times=1", "body=whole", "keep_alives=50", "drip_per_s=100000"])
def test_what_mends_itself_is_answered(
    cli: Cli, folder: Path, sim: BackgroundSimulator, write_tasks: WriteTasks, fault: str
) -> None:
    """A cut stream at the second attempt, a provider that does not stream at once."""
    write_tasks(folder / "tasks.jsonl", {"a": f"Hi [[fault:{fault}]]"})
    words = ["run", "tasks.jsonl", "--base-url", sim.base_url, "-m", "m", "-o", "out.jsonl", "--stream"]
    assert cli(*words).code == 0
    (line,) = lines(folder / "out.jsonl")
    assert line["attempts"] == 1 + ("times" in fault)
    assert ("ttft_ms" in line) is (fault != "body=whole")


@pytest.mark.parametrize("api", ["embeddings", "moderations"])
@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_what_cannot_stream_is_wrong_usage(
    cli: Cli, folder: Path, sim: BackgroundSimulator, write_tasks: WriteTasks, api: str, more: tuple[str, ...]
) -> None:
    """Before anything is sent."""
    write_tasks(folder / "tasks.jsonl", {"a": "Hi"})
    ended = cli("run", "tasks.jsonl", "--base-url", sim.base_url, "-m", "m", "--api", api, "--stream", *more)
    assert ended.code == 2
    assert "--stream does not go with" in ended.err


def test_a_run_is_streamed_or_is_not(cli: Cli, folder: Path, sim: BackgroundSimulator, write_tasks: WriteTasks) -> None:
    """It shapes the request: a run that exists refuses the change."""
    write_tasks(folder / "tasks.jsonl", {"a": "Hi"})
    words = ["run", "tasks.jsonl", "--base-url", sim.base_url, "-m", "m", "-o", "out.jsonl"]
    assert cli(*words).code == 0
    ended = cli(*words, "--stream")
    assert ended.code == 2
    assert "stream" in ended.err
