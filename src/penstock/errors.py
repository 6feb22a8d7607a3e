"""Everything that stops a *run*. A task's failure is a value (`models.Failure`), never one of these.

PenstockError
├── UsageError            what was asked for cannot be done; nothing was sent        exit 2
│   ├── SourceError       the source is missing, unreadable, or not what it was
│   ├── TemplateError     the prompt or system template does not compile
│   ├── RunChanged        the run exists, and its requests were built differently
│   ├── RunLocked         another process is working on this run
│   ├── JournalError      the journal is damaged, or newer than this program
│   └── MissingExtra      an optional package is not installed
└── RunPaused             the run cannot go on now; its tasks are pending             exit 3
    ├── SinkError         a sink does not accept results (disk full, database down)
    └── SourceBroken      the source stopped answering half-way
"""


class PenstockError(Exception):
    """The root: a message that says what happened and where, and a `hint` that says what to do next."""

    exit_code = 2

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class UsageError(PenstockError):
    """What was asked for cannot be done. Nothing was sent."""


class SourceError(UsageError):
    """The source is missing, unreadable, empty of sense, or not the one the run began with."""


class TemplateError(UsageError):
    """The prompt or the system template does not compile."""


class RunChanged(UsageError):
    """The run exists already and its requests were built from other options."""


class RunLocked(UsageError):
    """Another process is working on this run."""


class JournalError(UsageError):
    """The journal cannot be read: damaged, of another program, or of a newer version."""


class MissingExtra(UsageError):
    """An optional package is needed and not installed.

    Parameters: `need` says what wanted it ("Parquet files"), `extra` is the extra of penstock that brings it.
    """

    def __init__(self, need: str, extra: str) -> None:
        super().__init__(
            f"{need} need an optional package that is not installed.",
            f"Install it with: pip install 'penstock[{extra}]'",
        )


class RunPaused(PenstockError):
    """The run cannot go on now. Its tasks are pending, and the same command resumes it.

    `larger` is the option ("--budget") that must be given a larger value for that, None where the same will do; `anew`
    says that the same command would only fail more tasks, so that the run is better begun anew.
    """

    exit_code = 3

    def __init__(self, message: str, hint: str | None = None, larger: str | None = None, *, anew: bool = False) -> None:
        super().__init__(message, hint)
        self.larger = larger
        self.anew = anew


class SinkError(RunPaused):
    """A sink does not accept results."""


class SourceBroken(RunPaused):
    """The source stopped answering after the run had begun."""
