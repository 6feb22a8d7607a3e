"""What a run says when it ends: what came of it, where it is, what went wrong, and how to go on."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from penstock.events import Ending, Finished
from penstock.models import Fault, Totals
from penstock.observe.words import cost, count, duration, streamed, unknown, used
from penstock.options import RunOptions
from penstock.redaction import printable, printable_line

EXPLANATIONS: dict[str, str] = {
    Fault.THROTTLED: "the provider kept asking to wait",
    Fault.OVERLOADED: "the provider kept failing under its load",
    Fault.UNSENT: "the provider could not be reached; nothing was sent",
    Fault.AMBIGUOUS: "no answer to trust came back; may have been billed",
    Fault.REJECTED: "cannot succeed as they are; the same again will not help",
    Fault.PARTIAL: "the answer stopped short",
    Fault.ACCOUNT: "refused, while the same key was answered for others",
    Fault.LOCAL: "this machine failed: disk, open files or an output",
}
"""Every fault in words, as the end of "12 failed: …"."""

MORE = "…more…"
"""Stands for a larger value, that a person has to choose."""
OTHER = "…other…"
"""Stands for another value."""
_VERBS = {
    Ending.FINISHED: "Finished in",
    Ending.PAUSED: "Paused after",
    Ending.INTERRUPTED: "Interrupted after",
}


def last_words(finished: Finished, again: str) -> str:
    """The end of a run in plain text, without a newline at the end. `again` is the command that goes on with it."""
    sections = [
        [_headline(finished)],
        _retried(finished),
        _why(finished),
        _bad_rows(finished),
        _failures(finished),
        _partials(finished.totals),
        _facts(finished),
        _next(finished, again),
    ]
    return "\n".join(line for section in sections for line in section)


def retry_command(folder: Path) -> str:
    """What sends the failed tasks of the run in this folder again."""
    home = str(folder.parent)
    elsewhere = [] if home == RunOptions().home else ["--home", home]
    return shlex.join(["penstock", "retry", folder.name, *elsewhere])


def with_larger(command: str, option: str | None) -> str:
    """The command with a placeholder for the value of an option that has to be larger than it was."""
    if option is None:
        return command
    value = rf"{re.escape(option)}(?:=|\s+)\S+"
    if re.search(value, command):
        return re.sub(value, f"{option} {MORE}", command)
    return f"{command} {option} {MORE}"


def begin_anew(command: str) -> str:
    """The command that throws the run away and begins it again."""
    return f"{command} --fresh"


def how_to_retry(folder: Path, totals: Totals, bad_rows: int) -> tuple[str, str] | None:
    """When a retry may help, and its command; None where there is nothing that could be sent again."""
    sent = totals.failed - bad_rows
    if sent <= 0:
        return None
    if totals.faults.get(Fault.REJECTED, 0) - bad_rows >= sent:
        return "Another model may take what was rejected:", f"{retry_command(folder)} --model {OTHER}"
    return "To try what failed once more:", retry_command(folder)


def _headline(finished: Finished) -> str:
    totals = finished.totals
    counts = f"{count(totals.ok + totals.partial)} done, {count(totals.failed)} failed"
    rest = "" if finished.ending is Ending.FINISHED else ", the rest pending"
    return f"{_VERBS[finished.ending]} {duration(finished.elapsed_s)}: {counts}{rest}."


def _retried(finished: Finished) -> list[str]:
    """What came of the tasks that had failed, where they were all there was to do."""
    retried, totals = finished.retried, finished.totals
    if retried is None:
        return []
    if not retried:
        return ["  Nothing was retried: no task had failed."]
    if finished.ending is Ending.FINISHED and not finished.succeeded and finished.bad_rows == totals.failed:
        return ["  Nothing was retried: no request can be made of the rows that failed."]
    return [f"  Of {_many(retried, 'task')} that had failed {count(finished.succeeded)} succeeded this time."]


def _why(finished: Finished) -> list[str]:
    empty = finished.ending is Ending.FINISHED and not finished.totals.accepted
    words = ("The source has no rows." if empty else None, finished.reason, finished.hint)
    return [line for text in words if text for line in _lines(text)]


def _lines(text: str) -> Iterator[str]:
    """What was set on lines of its own, such as a key and what was said of it, stays there; other breaks are blanks."""
    first, *others = text.split("\n  ")
    yield f"  {printable_line(first)}"
    yield from (f"    {printable_line(other)}" for other in others)


def _facts(finished: Finished) -> list[str]:
    totals = finished.totals
    rows = [("cost", _cost(totals))]
    if times := streamed(totals):
        rows.append(("streamed", times))
    if totals.unknown:
        rows.append(("unknown", unknown(totals)))
    rows += [("results", output) for output in finished.outputs]
    rows += [("failures", output) for output in finished.failed_outputs if totals.failed]
    rows.append(("run", finished.home))
    return [f"  {label:<10}{printable(text)}" for label, text in rows]


def _cost(totals: Totals) -> str:
    unpriced = f"; no price is known for {_many(totals.unpriced, 'answer')}" if totals.unpriced else ""
    return f"{cost(totals)} for {used(totals)}{unpriced}"


def _many(number: int, noun: str) -> str:
    return f"{count(number)} {noun}" if number == 1 else f"{count(number)} {noun}s"


def _bad_rows(finished: Finished) -> list[str]:
    if not finished.bad_rows:
        return []
    examples = [f"{'':10}{printable_line(example)}" for example in finished.examples]
    more = ["          …"] if finished.bad_rows > len(examples) else []
    return [f"  {count(finished.bad_rows):>7} {'not sent':<11} no request can be made of the row:", *examples, *more]


def _failures(finished: Finished) -> list[str]:
    """One line per class of fault, the most frequent first."""
    faults = dict(finished.totals.faults)
    if finished.bad_rows:
        faults[Fault.REJECTED] -= finished.bad_rows
    ranked = sorted(faults.items(), key=lambda item: (-item[1], item[0]))
    return [
        f"  {count(number):>7} {fault:<11} {EXPLANATIONS.get(fault, '')}".rstrip() for fault, number in ranked if number
    ]


def _partials(totals: Totals) -> list[str]:
    ranked = sorted(totals.partials.items(), key=lambda item: (-item[1], item[0]))
    return [
        f"  {count(number):>7} {'partial':<11} answers stopped short: {printable_line(why)}" for why, number in ranked
    ]


def _next(finished: Finished, again: str) -> list[str]:
    if finished.anew:
        return ["To begin anew, once that is mended (what was settled is thrown away):", f"  {begin_anew(again)}"]
    if finished.ending is not Ending.FINISHED:
        lost = [f"What penstock ctl set ({', '.join(finished.set_live)}) must be given again, as an option."]
        return [
            "Nothing is lost. To go on:",
            f"  {with_larger(again, finished.larger)}",
            *(lost if finished.set_live else []),
        ]
    return [*_mend(finished), *_retry(finished)]


def _mend(finished: Finished) -> Iterator[str]:
    if finished.bad_rows and finished.failed_outputs:
        yield f"Mend the bad rows in {printable(finished.failed_outputs[0])}, then run that file as a source."
    elif finished.bad_rows:
        yield "Mend the bad rows, then run them as a source of their own."


def _retry(finished: Finished) -> Iterator[str]:
    if found := how_to_retry(Path(finished.home), finished.totals, finished.bad_rows):
        yield found[0]
        yield f"  {found[1]}"
