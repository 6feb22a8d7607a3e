"""What a user does with a file of tasks, from the first command to the last."""

from __future__ import annotations

import csv
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from penstock.simulator import SimulatorSettings, fingerprint, running

if TYPE_CHECKING:
    from tests.e2e.conftest import Penstock

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600, func_only=True)]

ROOT = Path(__file__).parents[2]


def lines_of(path: Path) -> list[dict[str, Any]]:
    """The objects in a file of JSON Lines."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_installed_package_is_tested_not_the_sources(penstock: Penstock) -> None:
    """The command imports what a wheel brought, in an environment of its own."""
    python = penstock.command.with_name("python")
    question = "import penstock, sys; print(penstock.__file__); print(*sys.path, sep='\\n')"
    answer = subprocess.run(
        [python, "-c", question], cwd=penstock.folder, env=penstock.environment, capture_output=True, check=True
    )
    package, *path = answer.stdout.decode().splitlines()

    assert Path(package).is_relative_to(penstock.command.parents[1])
    assert str(ROOT / "src") not in path


def test_a_table_of_ones_own(penstock: Penstock) -> None:
    """One command over a CSV file gives the same table with the answers beside the rows, and says where it is."""
    penstock.write("products.csv", "name,price\nLamp,12\n台灯,30\n")
    with running() as sim:
        ended = penstock.run(
            *("run", "products.csv", "--base-url", sim.base_url, "--model", "m"),
            *("--prompt", "Describe {{ name }} for {{ price }} yuan", "-o", "described.csv"),
        )

    with (penstock.folder / "described.csv").open(encoding="utf-8-sig", newline="") as file:
        described = list(csv.DictReader(file))
    assert ended.code == 0, ended.err
    assert "described.csv" in ended.err
    assert [(row["name"], row["price"], row["status"]) for row in described] == [
        ("Lamp", "12", "ok"),
        ("台灯", "30", "ok"),
    ]
    assert "Describe 台灯 for 30 yuan" in described[1]["text"]


def test_without_an_output_results_stand_beside_the_source_name(penstock: Penstock, rows: Callable[[int], str]) -> None:
    """`tasks.jsonl` gives `tasks.results.jsonl` in the folder one is in."""
    penstock.write("tasks.jsonl", rows(3))
    with running() as sim:
        penstock.run("run", "tasks.jsonl", "--base-url", sim.base_url, "--model", "m", "--prompt", "{{ text }}")

    assert len(lines_of(penstock.folder / "tasks.results.jsonl")) == 3


def test_rows_piped_in_are_answered_on_standard_output(penstock: Penstock, rows: Callable[[int], str]) -> None:
    """Nothing but results stands on standard output; what the run has to say goes to standard error."""
    with running() as sim:
        command = ["run", "-", "--base-url", sim.base_url, "--model", "m", "--prompt", "{{ text }}"]
        ended = penstock.run(*command, stdin=rows(20).encode())

    assert ended.code == 0, ended.err
    assert {json.loads(line)["key"] for line in ended.out.splitlines()} == {f"k{number}" for number in range(20)}
    assert "Finished" in ended.err


def test_results_stand_in_input_order_after_a_clean_finish(penstock: Penstock, rows: Callable[[int], str]) -> None:
    """However unevenly the answers came."""
    penstock.write("tasks.jsonl", rows(300))
    with running(SimulatorSettings(latency_ms=20, latency_sigma=1.0)) as sim:
        command = ["run", "tasks.jsonl", "--base-url", sim.base_url, "--model", "m", "--prompt", "{{ text }}"]
        penstock.run(*command, "-o", "ordered.jsonl")

    results = lines_of(penstock.folder / "ordered.jsonl")
    assert [result["index"] for result in results] == list(range(300))
    assert len({result["finished_at"] for result in results}) > 1


def test_a_finished_run_is_not_bought_again(penstock: Penstock, rows: Callable[[int], str]) -> None:
    """The same command once more sends nothing and leaves the output as it is."""
    penstock.write("tasks.jsonl", rows(30))
    with running() as sim:
        command = ["run", "tasks.jsonl", "--base-url", sim.base_url, "--model", "m", "--prompt", "{{ text }}"]
        penstock.run(*command, "-o", "out.jsonl")
        before = (penstock.folder / "out.jsonl").read_bytes()
        again = penstock.run(*command, "-o", "out.jsonl")

        assert again.code == 0
        assert (penstock.folder / "out.jsonl").read_bytes() == before
        assert sim.bill().requests == 30


def test_rows_added_to_the_source_are_all_that_is_sent(penstock: Penstock, rows: Callable[[int], str]) -> None:
    """A file that grew is gone on with from where it ended."""
    penstock.write("tasks.jsonl", rows(30))
    with running() as sim:
        command = ["run", "tasks.jsonl", "--base-url", sim.base_url, "--model", "m", "--prompt", "{{ text }}"]
        penstock.run(*command, "-o", "out.jsonl")
        penstock.write("tasks.jsonl", rows(40))
        penstock.run(*command, "-o", "out.jsonl")

        assert [line["index"] for line in lines_of(penstock.folder / "out.jsonl")] == list(range(40))
        assert sim.bill().requests == 40


def test_an_output_added_later_gets_everything(penstock: Penstock, rows: Callable[[int], str]) -> None:
    """A second output in the same command is filled from the beginning, without a single call."""
    penstock.write("tasks.jsonl", rows(30))
    with running() as sim:
        command = ["run", "tasks.jsonl", "--base-url", sim.base_url, "--model", "m", "--prompt", "{{ text }}"]
        penstock.run(*command, "-o", "out.jsonl")
        penstock.run(*command, "-o", "out.jsonl", "-o", "more.jsonl")

        assert (penstock.folder / "more.jsonl").read_bytes() == (penstock.folder / "out.jsonl").read_bytes()
        assert sim.bill().requests == 30


def test_a_changed_prompt_is_refused_with_the_difference(penstock: Penstock, rows: Callable[[int], str]) -> None:
    """Both prompts are shown, nothing is sent, and --fresh begins anew with the new one."""
    penstock.write("tasks.jsonl", rows(5))
    with running() as sim:
        command = ["run", "tasks.jsonl", "--base-url", sim.base_url, "--model", "m", "-o", "out.jsonl"]
        penstock.run(*command, "--prompt", "Praise {{ text }}")
        refused = penstock.run(*command, "--prompt", "Blame {{ text }}")

        assert refused.code == 2
        assert "Praise {{ text }}" in refused.err
        assert "Blame {{ text }}" in refused.err
        assert "--fresh" in refused.err
        assert sim.bill().requests == 5
        assert penstock.run(*command, "--prompt", "Blame {{ text }}", "--fresh").code == 0
        assert all("Blame" in line["text"] for line in lines_of(penstock.folder / "out.jsonl"))


def test_only_failures_are_tried_again(penstock: Penstock) -> None:
    """`penstock retry` buys what failed; its results take the place of the failures, in input order."""
    broken = "[[fault:status=400,times=1]]"
    tasks = [{"id": f"k{number}", "text": broken if number % 3 == 0 else "Word"} for number in range(9)]
    penstock.write("tasks.jsonl", "\n".join(map(json.dumps, tasks)))
    with running() as sim:
        command = ["run", "tasks.jsonl", "--base-url", sim.base_url, "--model", "m", "-o", "out.jsonl"]
        first = penstock.run(*command, "--prompt", "{{ text }} {{ id }}")
        failed = [line["key"] for line in lines_of(penstock.folder / "out.failed.jsonl")]
        second = penstock.run("retry", "tasks-to-out")

        assert (first.code, second.code) == (1, 0)
        assert failed == ["k0", "k3", "k6"]
        assert [line["key"] for line in lines_of(penstock.folder / "out.jsonl")] == [task["id"] for task in tasks]
        assert not (penstock.folder / "out.failed.jsonl").exists()
        assert sim.bill().requests == 9 + 3


def test_the_file_of_failures_is_a_source(penstock: Penstock) -> None:
    """Its rows are the failed ones, under their old keys and without what was said of the failure."""
    tasks = [{"id": f"k{number}", "text": "[[fault:status=400,times=1]]" if number % 2 else "x"} for number in range(6)]
    penstock.write("tasks.jsonl", "\n".join(map(json.dumps, tasks)))
    with running() as sim:
        options = ["--base-url", sim.base_url, "--model", "m", "--prompt", "{{ text }} {{ id }}"]
        penstock.run("run", "tasks.jsonl", *options, "-o", "out.jsonl")
        again = penstock.run("run", "out.failed.jsonl", *options, "-o", "again.jsonl")

        results = lines_of(penstock.folder / "again.jsonl")
        assert again.code == 0
        assert [result["key"] for result in results] == ["k1", "k3", "k5"]
        assert all("_failure" not in result["data"] for result in results)


def test_batch_lines_give_batch_output(penstock: Penstock) -> None:
    """OpenAI Batch input is sent as it stands and comes back as OpenAI Batch output, line for line."""
    body = {"model": "m", "messages": [{"role": "user", "content": "Hello"}], "temperature": 0}
    batch = {"custom_id": "one", "method": "POST", "url": "/v1/chat/completions", "body": body}
    penstock.write("batch.jsonl", json.dumps(batch))
    with running() as sim:
        ended = penstock.run(
            "run", "batch.jsonl", "--base-url", sim.base_url, "--format", "openai-batch", "-o", "answers.jsonl"
        )
        sent = fingerprint("/v1/chat/completions", json.dumps(body, separators=(",", ":")).encode())

        (answer,) = lines_of(penstock.folder / "answers.jsonl")
        assert ended.code == 0, ended.err
        assert (answer["custom_id"], answer["error"], answer["response"]["status_code"]) == ("one", None, 200)
        assert answer["response"]["body"]["choices"][0]["message"]["content"].startswith("You said: Hello")
        assert set(sim.bill().counts) == {sent}


def test_events_are_whole_lines_of_json(penstock: Penstock, rows: Callable[[int], str]) -> None:
    """With --json a program reads how the run went from standard output alone."""
    penstock.write("tasks.jsonl", rows(3))
    with running() as sim:
        command = ["run", "tasks.jsonl", "--base-url", sim.base_url, "--model", "m", "--prompt", "{{ text }}"]
        ended = penstock.run(*command, "--json", "-o", "out.jsonl")

    (finished,) = ended.events("finished")
    assert finished["totals"]["ok"] == 3
    assert len(ended.events("started")) == 1
    assert ended.err == ""


def test_an_answer_cut_short_is_kept_and_marked(penstock: Penstock) -> None:
    """It was paid for: it stands among the results as partial, with the reason."""
    penstock.write("tasks.jsonl", json.dumps({"text": "[[fault:finish=length]]"}))
    with running() as sim:
        command = ["run", "tasks.jsonl", "--base-url", sim.base_url, "--model", "m", "--prompt", "{{ text }}"]
        ended = penstock.run(*command, "-o", "out.jsonl")

    (result,) = lines_of(penstock.folder / "out.jsonl")
    assert ended.code == 0
    assert (result["status"], result["finish_reason"]) == ("partial", "length")
    assert "length" in ended.err
