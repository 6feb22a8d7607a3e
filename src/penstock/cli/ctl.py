"""`penstock ctl`: telling a run what to do while it works."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from penstock.cli.runs import Home, RunName, find_folder, home_of
from penstock.errors import UsageError

if TYPE_CHECKING:
    from penstock.control.commands import Command

Action = Literal["pause", "resume", "set", "keys", "drain", "stop"]


def ctl(
    run: RunName,
    action: Annotated[Action, Parameter(help="What the run is to do.")],
    /,
    *values: Annotated[str, Parameter(help="For set: NAME=VALUE, once or more. For keys: reload.")],
    home: Home = None,
) -> None:
    """Pause, resume, limit or stop a run while it works.

    - `pause`: send nothing new. Calls in flight land, and the process stays and waits.
    - `resume`: send again.
    - `set`: keep other limits, one or several: `concurrency=N` or `auto`, `max-concurrency=N`, `rpm=N`, `tpm=N`,
      `budget=AMOUNT`. The last three take `none` too.
    - `keys reload`: read the API keys again, and try those that were out.
    - `drain`: end as at the first Ctrl-C, when the calls in flight have finished.
    - `stop`: end as at the second Ctrl-C. Calls in flight are given up and may be billed.

    After `drain` and `stop` the exit code of the run is 130, and the same command goes on with it.
    """
    commands = parse_commands(action, values)
    folder = find_folder(home_of(home), run)
    _require_live(folder)
    from penstock.control.client import order

    for command in commands:
        print(order(folder, command))


def parse_commands(action: Action, values: Sequence[str]) -> "list[Command]":
    """What the words of the command line mean. Raises `UsageError`: all of them are good, or none is sent."""
    from penstock.control.commands import Drain, Pause, ReloadKeys, Resume, Stop, parse_setting

    if action == "set":
        if not values:
            raise UsageError("set needs what is to be set.", "Such as: penstock ctl RUN set concurrency=50 rpm=600")
        settings = [parse_setting(value) for value in values]
        # A ceiling first: within the one before, concurrency=auto would drop to it.
        return [*sorted(settings, key=lambda setting: setting.name != "max_concurrency")]
    if action == "keys":
        if list(values) != ["reload"]:
            raise UsageError("keys needs what is to be done with them.", "It is: penstock ctl RUN keys reload")
        return [ReloadKeys()]
    if values:
        raise UsageError(f"{action} takes nothing more: {' '.join(values)!r} is too much.")
    plain: dict[str, Command] = {"pause": Pause(), "resume": Resume(), "drain": Drain(), "stop": Stop()}
    return [plain[action]]


def _require_live(folder: Path) -> None:
    from penstock.journal.lock import is_locked

    if is_locked(folder):
        return
    from penstock.cli.run_status import read_status

    go_on = read_status(folder).go_on
    raise UsageError(
        f"No process works on the run {folder.name!r}, so there is nothing to control.",
        f"Options are given when it goes on: {go_on}" if go_on else f"See how it stands: penstock status {folder.name}",
    )
