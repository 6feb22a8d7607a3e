"""The command `penstock`: finds the command's module, and turns what happens into words and an exit code.

0 all succeeded · 1 finished with failures · 2 wrong usage · 3 paused and resumable · 130 interrupted and resumable
"""

import gc
import os
import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError, Group

from penstock.errors import PenstockError
from penstock.version import __version__

COMMANDS = {
    "Do the work": {
        "run": "Send every row of SOURCE to a model and keep every answer.",
        "retry": "Send the failed tasks of RUN again, with another model or endpoint if asked.",
        "ctl": "Pause, resume, limit or stop a run while it works.",
    },
    "Look into runs": {
        "status": "Show every run, or one in detail.",
        "show": "Show one task of a run: its row, its attempts and its answer.",
        "export": "Write every result of a run to other outputs, at any time.",
        "verify": "Recompute from disk that nothing was lost and nothing delivered twice.",
        "prune": "Delete the records of runs that are no longer needed.",
    },
    "Try and check": {
        "demo": "Do a small job on the embedded model: no key, no network, no cost.",
        "check": "Find out what is wrong with a key, a base URL or a model, and how to mend it.",
        "sim": "Serve a simulated provider until Ctrl-C, for load tests and failure drills that cost nothing.",
    },
}
"""Every command with its summary, under its heading.

Each is a module of this package with a function of the same name, imported when it is called; the summary is the
first line of the function's docstring.
"""

COLLECTOR_THRESHOLDS = (50_000, 20, 50)
"""Nothing here makes cycles by the task, and looking for them every 700 objects took a tenth of a run's time."""

EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


def make_app(named: str | None = None) -> App:
    """The command line, with every command in its place and none of them imported.

    `named` is the command that is going to be called: it speaks for itself, the others are only listed.
    """
    app = App(
        name="penstock",
        help="Run very many language-model API calls: every answer kept, none bought twice.",
        help_epilogue=None if named else "Each command explains itself, as in: penstock run --help",
        # Markdown rewraps the paragraphs of docstrings, and takes a tenth of a second to import.
        help_format="markdown" if named else "plaintext",
        version=__version__,
        help_on_error=False,
        group_commands=Group("Other", sort_key=len(COMMANDS)),
    )
    for place, (heading, commands) in enumerate(COMMANDS.items()):
        group = Group(heading, sort_key=place)
        for rank, (name, summary) in enumerate(commands.items()):
            listed = None if name == named else summary
            app.command(f"penstock.cli.{name}:{name}", name=name, group=group, sort_key=rank, help=listed)
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit with its code."""
    gc.set_threshold(*COLLECTOR_THRESHOLDS)
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    app = make_app(named=next((name for name in arguments[:1] if not name.startswith("-")), None))
    try:
        code = app(arguments, exit_on_error=False, result_action="return_value")
    except CycloptsError:
        code = EXIT_USAGE
    except PenstockError as error:
        print(f"penstock: {error}", file=sys.stderr)
        code = error.exit_code
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    sys.exit(code if isinstance(code, int) else 0)
