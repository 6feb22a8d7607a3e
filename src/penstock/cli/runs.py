"""Finding runs on disk, for the commands that look into them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from penstock.errors import UsageError
from penstock.options import resolve_options

if TYPE_CHECKING:
    from penstock.journal.reader import JournalReader

RunName = Annotated[str, Parameter(help="Name of the run, as `penstock status` lists it.")]
Home = Annotated[str | None, Parameter(help="Folder that holds the runs; .penstock by default.", metavar="FOLDER")]


def home_of(given: str | None) -> str:
    """The folder that holds the runs, from the flag or from where else options are set."""
    return resolve_options({"home": given}).home


def run_folders(home: str) -> list[Path]:
    """The folders of every run under `home`, by name."""
    from penstock.journal.folder import JOURNAL_FILE

    return sorted(path.parent for path in Path(home).glob(f"*/{JOURNAL_FILE}"))


def find_folder(home: str, name: str) -> Path:
    """The folder of the run with this name. Raises `UsageError`, naming the runs that there are."""
    folders = {folder.name: folder for folder in run_folders(home)}
    if name not in folders:
        raise UsageError(
            f"There is no run {name!r} in {home}.",
            f"Runs there: {', '.join(folders) or 'none'}. --home names another folder.",
        )
    return folders[name]


@contextmanager
def find_run(home: str, name: str) -> Iterator["JournalReader"]:
    """A reader of the run with this name. Raises `UsageError`, naming the runs that there are."""
    with open_run(find_folder(home, name)) as reader:
        yield reader


@contextmanager
def open_run(folder: Path) -> Iterator["JournalReader"]:
    """A reader of the run in this folder. Raises `JournalError` where its journal cannot be read."""
    from penstock.engine.delivery import reader_of

    reader = reader_of(folder)
    try:
        yield reader
    finally:
        reader.close()
