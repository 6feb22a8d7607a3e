"""`penstock.run` and `penstock.stream` against a simulated provider."""

import asyncio
import json
import os
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

import penstock
from penstock import Fault, Result, RunPaused, Status, UsageError
from penstock.engine.answers import answer_of
from penstock.journal.folder import JOURNAL_FILE
from penstock.journal.reader import JournalReader
from penstock.options import RunOptions
from penstock.simulator import BackgroundSimulator, SimulatorSettings, running

KEY = "sk-simulated-key-1"
REJECTED = "[[fault:status=400]]"
STALL = "[[fault:stall=head]]"
HARD_LIMIT_S = 60.0


@pytest.fixture(scope="module")
def sim() -> Iterator[BackgroundSimulator]:
    """A provider that answers at once and needs no key."""
    with running() as simulator:
        yield simulator


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sim: BackgroundSimulator) -> Path:
    """A folder to stand in; without anybody's options, and with the simulator as the usual provider."""
    for name in os.environ:
        if name.upper().startswith(("OPENAI_", "PENSTOCK_")) or name.upper().endswith(("_PROXY", "_API_KEY")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("OPENAI_BASE_URL", sim.base_url)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(source: Any, **options: Any) -> list[Result]:
    """A run with a model."""
    return penstock.run(source, **({"model": "m"} | options))


async def collect(source: Any, **options: Any) -> list[Result]:
    """Every result of a stream, as it comes."""
    return [result async for result in penstock.stream(source, **({"model": "m"} | options))]


def homes(folder: Path) -> list[Path]:
    """The runs that are kept."""
    return sorted((folder / ".penstock").iterdir()) if (folder / ".penstock").exists() else []


async def later(rows: list[Any]) -> AsyncIterator[Any]:
    """Rows that are made on the way."""
    for row in rows:
        await asyncio.sleep(0)
        yield row


@pytest.mark.parametrize("make", [list, tuple, iter, later], ids=["list", "tuple", "iterator", "async iterator"])
def test_strings_are_prompts(make: Any) -> None:
    """From any iterable; the results stand in the order of the rows."""
    results = run(make(["one", "two", "three"]))
    assert [result.data["prompt"] for result in results] == ["one", "two", "three"]
    assert [result.key for result in results] == ["0", "1", "2"]
    assert all("one" in str(result.text) for result in results[:1])


def test_dicts_are_rows_for_the_prompt() -> None:
    """With their own keys, models and parameters."""
    rows = [{"id": "a", "text": "x"}, {"id": "b", "text": "y", "model": "large", "params": {"max_tokens": 5}}]
    results = run(rows, prompt="Say {{ text }}")
    assert [(result.key, result.model) for result in results] == [("a", "m"), ("b", "large")]
    assert results[1].status is Status.PARTIAL


def test_results_keep_the_order_of_the_rows_and_failures_are_among_them(sim: BackgroundSimulator) -> None:
    """Whoever zips them with the rows gets what belongs together."""
    prompts = ["[[fault:delay_ms=100]]", REJECTED, "", "quick", "[[fault:finish=length]]"]
    results = run(prompts, concurrency=5)
    assert [result.index for result in results] == [0, 1, 2, 3, 4]
    assert [result.status for result in results] == ["ok", "failed", "failed", "ok", "partial"]
    assert results[1].failure is not None
    assert results[1].failure.fault is Fault.REJECTED
    assert results[2].failure is not None
    assert results[2].failure.code == "bad_row"


def test_no_rows_are_no_results(folder: Path) -> None:
    """And no error."""
    assert run([]) == []
    assert asyncio.run(collect([])) == []
    assert homes(folder) == []


def test_a_path_is_read_as_on_the_command_line(folder: Path) -> None:
    """As text or as a path; and so are outputs and other options that name files."""
    (folder / "tasks.jsonl").write_text('{"id": "a", "text": "x"}\n')
    (folder / "prompt.txt").write_text("Say {{ text }}")
    for source in ("tasks.jsonl", Path("tasks.jsonl")):
        results = run(source, prompt_file=Path("prompt.txt"), output=Path(f"{type(source).__name__}.jsonl"))
        assert [result.key for result in results] == ["a"]
    assert [json.loads(path.read_text())["key"] for path in folder.glob("*.jsonl") if path.stem != "tasks"] == ["a"] * 2


def test_it_works_inside_a_running_loop() -> None:
    """A notebook has one."""

    async def notebook() -> list[Result]:
        return run(["a", "b"])

    assert [result.status for result in asyncio.run(notebook())] == ["ok", "ok"]


@pytest.mark.parametrize("source", ["no-such-file.jsonl", 5, {"a": 1}, b"bytes"])
def test_errors_are_the_same_inside_a_running_loop(source: Any) -> None:
    """Raised where the call stands, not in another thread."""

    async def notebook() -> None:
        run(source)

    with pytest.raises(UsageError):
        asyncio.run(notebook())
    with pytest.raises(UsageError):
        run(source)


def test_an_interrupted_cell_stops_its_run(folder: Path, sim: BackgroundSimulator) -> None:
    """It does not go on unseen, spending money, in the thread that it got."""
    before = sim.bill().requests

    def interrupt() -> None:
        sim.wait_requests(before + 1)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    async def cell() -> None:
        run([STALL], name="cell")

    interrupter = threading.Thread(target=interrupt, daemon=True)
    interrupter.start()
    # Not `asyncio.run`: that handles the signal itself, which a notebook's loop does not.
    loop = asyncio.new_event_loop()
    try:
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(cell())
    finally:
        loop.close()
        interrupter.join()
    for thread in threading.enumerate():
        if thread.name == "penstock-run":
            thread.join(HARD_LIMIT_S)
            assert not thread.is_alive()
    reader = JournalReader(folder / ".penstock" / "cell" / JOURNAL_FILE, answer_of)
    assert (reader.totals().pending, reader.totals().unknown, reader.recall("session")) == (1, 1, None)
    reader.close()


def test_functions_get_every_result() -> None:
    """Plain and async ones, beside each other and beside a file."""
    plain: list[str] = []
    awaited: list[str] = []

    async def wait(result: Result) -> None:
        await asyncio.sleep(0)
        awaited.append(result.key)

    results = run(["a", REJECTED, "c"], output=[lambda result: plain.append(result.key), wait, "out.jsonl"])
    assert sorted(plain) == sorted(awaited) == [result.key for result in results] == ["0", "1", "2"]
    assert [json.loads(line)["key"] for line in Path("out.jsonl").read_text().splitlines()] == ["0", "2"]


def test_one_function_needs_no_list() -> None:
    """As one path needs none."""
    keys: list[str] = []
    run(["a"], output=lambda result: keys.append(result.key))
    assert keys == ["0"]


def test_functions_of_the_same_name_each_get_everything() -> None:
    """In a run that goes on, too: their places are kept apart."""
    broken = True
    first: list[str] = []
    second: list[str] = []

    def give_up(result: Result) -> None:
        if broken:
            raise ValueError("not now")
        second.append(result.key)

    def functions() -> list[Any]:
        return [lambda result: first.append(result.key), lambda result: give_up(result)]

    with pytest.raises(RunPaused, match="not now"):
        run(["a", "b"], output=functions(), name="two")
    broken = False
    run(["a", "b"], output=functions(), name="two")
    assert sorted(first) == sorted(second) == [*"01"]


def test_a_function_that_raises_pauses_the_run(folder: Path) -> None:
    """Nothing is lost: the run has a name to go on with, and the same result comes again."""

    def refuse(result: Result) -> None:
        raise ValueError("no table")

    with pytest.raises(RunPaused, match=r"no table[\s\S]* tasks are settled and kept") as caught:
        run(["a", "b"], output=refuse)
    (home,) = homes(folder)
    assert f"name={home.name!r}" in str(caught.value)
    again = run(["a", "b"], output=lambda result: None, name=home.name)
    assert sorted(result.key for result in again) == ["0", "1"]


def test_without_a_name_a_run_is_forgotten_when_it_ends_well(folder: Path) -> None:
    """Nothing piles up."""
    run(["a"])
    asyncio.run(collect(["a"]))
    assert homes(folder) == []


def test_with_a_name_it_is_kept_and_goes_on(sim: BackgroundSimulator, folder: Path) -> None:
    """All results come back; what was answered is not asked again."""
    run(["kept 1", "kept 2"], name="kept")
    before = sim.bill().requests
    results = run(["kept 1", "kept 2", "kept 3"], name="kept")
    assert [result.data["prompt"] for result in results] == ["kept 1", "kept 2", "kept 3"]
    assert sim.bill().requests == before + 1
    assert [home.name for home in homes(folder)] == ["kept"]


def test_fresh_rows_of_a_generator_are_not_lost(folder: Path) -> None:
    """Beginning anew begins to read them once."""
    run(["old"], name="again")
    results = run((prompt for prompt in ["a", "b"]), name="again", fresh=True)
    assert [result.data["prompt"] for result in results] == ["a", "b"]


def test_a_pause_keeps_the_answers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is raised with what to do; with the right key the same call gets the rest."""
    with running(SimulatorSettings(api_keys=(KEY,))) as strict:
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        run(["a"], name="money", base_url=strict.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong-key-12345")
        with pytest.raises(RunPaused, match="1 of 2 tasks are settled and kept") as caught:
            run(["a", "b"], name="money", base_url=strict.base_url)
        assert "Check the key" in str(caught.value)
        assert "sk-wrong-key-12345" not in str(caught.value)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        assert len(run(["a", "b"], name="money", base_url=strict.base_url)) == 2
        assert strict.bill().billed == 2


def test_a_paused_stream_raises_and_keeps_the_answers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What came, came; the name to go on with is in the message."""
    prompts = ["fine", "[[fault:status=402]]"]

    async def work() -> str:
        results = penstock.stream(prompts, model="m", concurrency=1)
        first = await anext(results)
        with pytest.raises(RunPaused, match="1 of 2 tasks"):
            await anext(results)
        return first.key

    assert asyncio.run(work()) == "0"
    (home,) = homes(folder)
    assert home.name.startswith("python-")


@pytest.mark.parametrize("call", [run, lambda source, **options: asyncio.run(collect(source, **options))])
def test_an_unknown_option_is_refused_with_the_list(call: Any, folder: Path) -> None:
    """Every name that there is, so that the right one is among them."""
    with pytest.raises(UsageError, match="There is no option 'max_in_flight'") as caught:
        call(["a"], max_in_flight=5)
    assert all(name in str(caught.value.hint) for name in RunOptions.__struct_fields__)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"concurrency": 0}, "--concurrency"),
        ({"param": [1]}, "--param"),
        ({"output": 5}, "5 is no kind of output"),
        ({"output": "out.xyz"}, "no kind of output"),
        ({"name": "../elsewhere"}, "no name for a run"),
        ({"endpoint": "nowhere"}, "There is no endpoint 'nowhere'"),
    ],
)
def test_a_bad_value_is_refused_before_anything_is_sent(
    sim: BackgroundSimulator, options: dict[str, Any], words: str
) -> None:
    """In the words of the command line."""
    before = sim.bill().requests
    with pytest.raises(UsageError, match=words):
        run(["a"], **options)
    assert sim.bill().requests == before


def test_a_stream_gives_each_result_as_it_comes() -> None:
    """Not in the order of the rows, but in that of the answers."""
    results = asyncio.run(collect(["[[fault:delay_ms=300]]", "quick"], concurrency=2))
    assert {result.index for result in results} == {0, 1}
    assert results == sorted(results, key=lambda result: result.finished_at)


def test_a_stream_gives_the_first_result_before_the_last_is_answered() -> None:
    """Though another one never comes."""

    async def work() -> None:
        async with aclosing(penstock.stream(["quick", STALL], model="m", concurrency=2)) as results:
            first = await asyncio.wait_for(anext(results), HARD_LIMIT_S)
            assert first.index == 0

    asyncio.run(work())


def test_a_stream_that_is_left_early_cleans_up(folder: Path) -> None:
    """The calls in flight are given up there and then, no task stays, and nothing is kept of a run without a name."""

    async def work() -> None:
        before = asyncio.all_tasks()
        async with aclosing(penstock.stream(later(["a"] * 50 + [STALL] * 50), model="m", concurrency=20)) as results:
            async for _ in results:
                break
        assert asyncio.all_tasks() == before

    asyncio.run(asyncio.wait_for(work(), HARD_LIMIT_S))
    assert homes(folder) == []


def test_results_that_the_consumer_never_had_come_again(sim: BackgroundSimulator) -> None:
    """Left early and begun again under its name, a stream owes what it had answered but not handed over."""
    prompts = [f"owed {i}" for i in range(30)]

    async def first_of_them() -> str:
        before = sim.bill().requests
        async with aclosing(penstock.stream(prompts, model="m", name="owed")) as results:
            first = await anext(results)
            await asyncio.to_thread(sim.wait_requests, before + 30)
        return first.key

    async def rest() -> list[str]:
        return [result.key async for result in penstock.stream(prompts, model="m", name="owed")]

    had = asyncio.run(asyncio.wait_for(first_of_them(), HARD_LIMIT_S))
    came = asyncio.run(asyncio.wait_for(rest(), HARD_LIMIT_S))
    assert {had, *came} == {str(i) for i in range(30)}
    assert len(came) == len(set(came))


def test_a_finished_stream_owes_nothing() -> None:
    """Begun again it ends at once, without a result."""
    assert len(asyncio.run(collect(["a", "b"], name="done"))) == 2
    assert asyncio.run(collect(["a", "b"], name="done")) == []


def test_an_exception_of_the_consumer_stops_the_stream(folder: Path) -> None:
    """And is the one that is seen."""

    async def work() -> None:
        async with aclosing(penstock.stream(["a", STALL], model="m", concurrency=2)) as results:
            async for _ in results:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asyncio.run(asyncio.wait_for(work(), HARD_LIMIT_S))


def test_a_slow_consumer_gets_everything(sim: BackgroundSimulator) -> None:
    """The run goes on without it: all is answered before it asks for the second result."""

    async def work() -> int:
        before = sim.bill().requests
        count = 0
        async for _ in penstock.stream((f"slow {i}" for i in range(500)), model="m", concurrency=50):
            if count == 0:
                await asyncio.to_thread(sim.wait_requests, before + 500)
            count += 1
        return count

    assert asyncio.run(asyncio.wait_for(work(), HARD_LIMIT_S)) == 500


def test_two_streams_at_once_do_not_mix() -> None:
    """Each has its own run."""

    async def work() -> tuple[list[Result], list[Result]]:
        return await asyncio.gather(collect(["a"] * 20), collect(["b"] * 20))

    for results, prompt in zip(asyncio.run(asyncio.wait_for(work(), HARD_LIMIT_S)), "ab", strict=True):
        assert [result.data["prompt"] for result in results] == [prompt] * 20
