"""The command that goes on with a run, made from what its journal remembers."""

import os
import shlex
from pathlib import Path
from typing import Any

import msgspec

from penstock.journal.reader import JournalReader
from penstock.observe.last_words import begin_anew, with_larger
from penstock.options import Option, options

_OTHER_EXTENSIONS = {"jsonl": ("ndjson",)}


def go_on_command(folder: Path, reader: JournalReader) -> str | None:
    """What goes on with the run; None where its rows came from standard input or from a Python program."""
    kept: dict[str, Any] | None = reader.recall("options")
    source = _source_of(reader.recall("source") or {})
    if kept is None or source is None:
        return None
    known = {"name": folder.name, "home": str(folder.parent)}
    flags = [word for option in options() for word in _flag(option, (kept | known).get(option.field))]
    ending, command = reader.recall("ending") or {}, shlex.join(["penstock", "run", source, *flags])
    return begin_anew(command) if ending.get("anew") else with_larger(command, ending.get("larger"))


def _flag(option: Option, value: Any) -> list[str]:
    if option.field == "fresh" or value is None or msgspec.to_builtins(option.default) == value:
        return []
    if option.field == "param":
        return [word for name, part in value.items() for word in ("--param", f"{name}={_as_json(part)}")]
    if option.field == "output":
        return [word for output in value for word in ("--output", output)]
    return [option.flag, f"{value:.15g}" if isinstance(value, float) else str(value)]


def _as_json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _source_of(identity: dict[str, Any]) -> str | None:
    """The SOURCE that leads to this identity again."""
    from penstock.sources.files import without_compression

    if "path" not in identity:
        return None
    path, kind = identity["path"], identity["kind"]
    near = os.path.relpath(path)
    path = path if near.startswith("..") else near
    extension = Path(without_compression(path)).suffix[1:].lower()
    if kind == "folder" or extension in (kind, *_OTHER_EXTENSIONS.get(kind, ())):
        return str(path)
    return f"{kind}:{path}"
