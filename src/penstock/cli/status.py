"""`penstock status`: how runs stand, read from disk."""

import time
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from penstock.cli.runs import Home, find_folder, home_of, run_folders

if TYPE_CHECKING:
    from penstock.cli.run_status import Output, RunStatus

HEADINGS = ("run", "state", "done", "failed", "pending", "cost", "last change")


def status(
    run: Annotated[str | None, Parameter(help="Name of a run to show in detail; without it all are listed.")] = None,
    /,
    *,
    home: Home = None,
    json: Annotated[bool, Parameter(help="Print JSON.", negative=(), show_default=False)] = False,
) -> None:
    """Show every run, or one in detail.

    Everything is read from disk: the run need not be running. One that is says besides what is in flight, what limits
    it now, and which limits changed and why.
    """
    from penstock.cli.run_status import read_status

    home = home_of(home)
    if run is not None:
        found = _as_it_says(read_status(find_folder(home, run)))
        _print_json(found) if json else _print_details(found)
        return
    every = [read_status(folder) for folder in run_folders(home)]
    if json:
        _print_json([_as_it_says(found) for found in every])
    elif every:
        _print_table(every)
    else:
        print(f"There are no runs in {home}. Begin one with: penstock run")


def _as_it_says(run: "RunStatus") -> "RunStatus":
    from penstock.cli.live_status import with_live
    from penstock.cli.run_status import with_money_of

    run = with_live(run)
    return with_money_of(run, run.live)


def _print_json(value: object) -> None:
    import msgspec

    print(msgspec.json.format(msgspec.json.encode(value)).decode())


def _print_table(runs: list["RunStatus"]) -> None:
    from penstock.cli.display import print_table
    from penstock.observe.words import cost, count

    rows = [
        (
            run.run,
            run.state,
            count(run.totals.ok + run.totals.partial),
            count(run.totals.failed),
            count(run.pending),
            cost(run.totals),
            _ago(run.changed_at),
        )
        for run in runs
    ]
    print_table(HEADINGS, rows, numbers=("done", "failed", "pending", "cost"))


def _print_details(run: "RunStatus") -> None:
    from penstock.cli.display import print_facts
    from penstock.cli.live_status import live_facts
    from penstock.observe.words import count, streamed, unknown

    totals = run.totals
    facts = [("run", run.folder), ("state", f"{_state(run)}, last change {_ago(run.changed_at)}")]
    if run.reason:
        facts.append(("why", run.reason))
    done = count(totals.ok + totals.partial)
    facts.append(("tasks", f"{done} done, {count(totals.failed)} failed, {count(run.pending)} pending"))
    facts += _troubles(run)
    facts += _costs(run)
    facts.append(("attempts", count(totals.attempts)))
    if times := streamed(totals):
        facts.append(("streamed", times))
    if totals.unknown:
        facts.append(("unknown", unknown(totals)))
    facts += [("results", _reach(output, done != "0")) for output in run.outputs]
    facts += live_facts(run)
    facts += [(label, command) for label, command in (("go on", run.go_on), ("retry", run.retry)) if command]
    print_facts(facts)


def _costs(run: "RunStatus") -> list[tuple[str, str]]:
    """What was spent for how many tokens, and the money beside it."""
    from penstock.observe.words import beside_spent, count, of_budget, used

    facts = [("cost", f"{of_budget(run.totals, run.money)} for {used(run.totals)}")]
    if run.money and (beside := beside_spent(run.money)):
        facts.append(("", ", ".join(beside)))
    if run.totals.unpriced:
        facts.append(("", f"no price is known for {count(run.totals.unpriced)} of the answers"))
    return facts


def _state(run: "RunStatus") -> str:
    from penstock.cli.run_status import State

    return "killed: it never ended" if run.state is State.KILLED else run.state


def _troubles(run: "RunStatus") -> list[tuple[str, str]]:
    """What failed and what stopped short, the most frequent first."""
    from penstock.observe.last_words import EXPLANATIONS
    from penstock.observe.words import count
    from penstock.redaction import printable_line

    faults = [(number, fault, EXPLANATIONS.get(fault, "")) for fault, number in run.totals.faults.items()]
    partials = [
        (number, "partial", f"answers stopped short: {printable_line(why)}")
        for why, number in run.totals.partials.items()
    ]
    ranked = sorted(faults, reverse=True) + sorted(partials, reverse=True)
    return [("", f"{count(number)} {name}: {words}") for number, name, words in ranked if number]


def _reach(output: "Output", answered: bool) -> str:
    from penstock.observe.words import count

    name = "standard output" if output.name == "-" else output.name
    if not answered:
        return f"{name}: no answers yet"
    if output.delivered >= output.results:
        return f"{name} has them all"
    return f"{name} has {count(output.delivered)} of {count(output.results)}"


def _ago(unix_s: float) -> str:
    from penstock.observe.words import duration

    seconds = max(0.0, time.time() - unix_s)
    return "just now" if seconds < 1 else f"{duration(seconds)} ago"
