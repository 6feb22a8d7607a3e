"""What each observer writes when it is fed the events of a run."""

import io
import subprocess
import sys

import msgspec
import pytest
from rich.console import Console

from penstock.events import Ending, Event, Finished, Money, Notice, ScopeStatus, Snapshot, Started
from penstock.models import Totals, Usage
from penstock.observe.observers import QuietObserver, make_observer
from penstock.observe.progress import LiveProgress, panel, title
from penstock.observe.rates import RateMeter

AGAIN = "penstock run tasks.jsonl -o out.jsonl"

STARTED = Started(
    run="demo",
    source="tasks.jsonl",
    outputs=("out.jsonl",),
    endpoint="openai",
    base_url="https://api.openai.com/v1",
    settled=200,
)
NOTICE = Notice("tasks.jsonl:17 is not\x1b[2J JSON", "warning")
FINISHED = Finished(
    run="demo", ending=Ending.FINISHED, totals=Totals(accepted=9, ok=9), elapsed_s=9, home=".penstock/demo"
)


def snapshot(elapsed_s: float, total: int | None = 12_000, binds: str = "slots") -> Snapshot:
    """A fresh run with some failures that does forty tasks a second."""
    settled = int(elapsed_s * 40)
    return Snapshot(
        elapsed_s=elapsed_s,
        totals=Totals(
            accepted=settled, ok=settled - 5, failed=5, usage=Usage(input_tokens=settled, output_tokens=settled), cost=2
        ),
        total=total,
        before=0,
        in_flight=198,
        waiting=7,
        limit=200,
        binds=binds,
        responses=settled,
    )


MONEY = Money("USD", 2.0, 0.42, 0.1, 31.0, 50.0)


def scopes(count: int) -> tuple[ScopeStatus, ...]:
    """Scopes of which the later ones have more in flight."""
    return tuple(ScopeStatus("e", f"key {n}", "m", 60, n, 600, None, "rpm 600") for n in range(1, count + 1))


def unpriced(shown: Snapshot) -> Snapshot:
    """The same where no price is known."""
    return msgspec.structs.replace(shown, totals=msgspec.structs.replace(shown.totals, cost=0.0, unpriced=395))


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Always."""
        return True


class Broken(io.StringIO):
    """A pipe whose reader is gone."""

    def write(self, text: str) -> int:
        """Fail as a pipe does."""
        raise BrokenPipeError


class BrokenTerminal(Broken, Terminal):
    """A terminal that was closed."""


def observe(options: str, stream: io.StringIO, *events: Event) -> str:
    """What an observer with these flags ("json", "quiet" or "") wrote to `stream`."""
    observer = make_observer(
        json=options == "json", quiet=options == "quiet", again=AGAIN, stderr=stream, stdout=stream
    )
    for event in events:
        observer(event)
    observer.close()
    return stream.getvalue()


def test_a_pipe_gets_one_plain_line_per_event() -> None:
    """Start, notices and progress are whole lines without control characters; the last words come last."""
    written = observe("", io.StringIO(), STARTED, NOTICE, snapshot(5, 900), snapshot(10, 900), FINISHED)

    assert written.splitlines()[:4] == [
        "run demo: tasks.jsonl -> out.jsonl, asking openai (https://api.openai.com/v1), 200 settled before",
        "warning: tasks.jsonl:17 is not[2J JSON",
        "[5.0 s] 195 of 900 done, 5 failed, 198 in flight, 40 req/s, 80 tokens/s, cost $2.00, 18 s left; limit: slots",
        "[10 s] 395 of 900 done, 5 failed, 198 in flight, 40 req/s, 80 tokens/s, cost $2.00, 12 s left; limit: slots",
    ]
    assert written.splitlines()[4].startswith("Finished in 9.0 s: 9 done")


def test_a_line_without_a_known_total_promises_nothing() -> None:
    """While the length of the source is unknown there is neither a total nor a time left."""
    written = observe("", io.StringIO(), snapshot(5, total=None))

    assert written.startswith("[5.0 s] 195 done, 5 failed")
    assert "left" not in written


def test_a_line_tells_the_money() -> None:
    """Spent and the budget, then what is reserved, unknown and projected."""
    written = observe("", io.StringIO(), msgspec.structs.replace(snapshot(5), money=MONEY))

    assert ", cost $2.00 of $50.00 (reserved $0.4200, unknown $0.1000, projected $31.00), " in written


def test_without_a_price_tokens_are_counted() -> None:
    """And no money is shown."""
    free = Money("USD", 0.0, 0.0, 0.0, None)
    written = observe("", io.StringIO(), msgspec.structs.replace(unpriced(snapshot(5)), money=free))

    assert ", 200 input and 200 output tokens, " in written
    assert "$" not in written


def test_json_lines_decode_to_the_events() -> None:
    """Every event comes back as it was, one per line, and nothing else is written."""
    told = msgspec.structs.replace(snapshot(2), money=MONEY, scopes=scopes(2))
    events: list[Event] = [STARTED, NOTICE, snapshot(1), told, FINISHED]

    written = observe("json", io.StringIO(), *events)

    assert [msgspec.json.decode(line, type=Event) for line in written.splitlines()] == events


def test_json_events_go_to_stdout_and_nothing_to_stderr() -> None:
    """A program reads the events from standard output alone."""
    stderr, stdout = io.StringIO(), io.StringIO()
    make_observer(json=True, quiet=False, again=AGAIN, stderr=stderr, stdout=stdout)(FINISHED)

    assert stdout.getvalue()
    assert stderr.getvalue() == ""


def test_quiet_says_only_the_last_words() -> None:
    """Nothing before the end, not even warnings."""
    written = observe("quiet", io.StringIO(), STARTED, NOTICE, snapshot(1), FINISHED)

    assert written.splitlines()[0] == "Finished in 9.0 s: 9 done, 0 failed."


@pytest.mark.parametrize("options", ["", "json", "quiet"])
def test_a_reader_that_went_away_does_not_stop_the_run(options: str) -> None:
    """A broken pipe silences the observer and raises nothing."""
    assert observe(options, Broken(), STARTED, snapshot(1), FINISHED) == ""


def test_letters_the_stream_lacks_are_escaped() -> None:
    """A stream in a narrow encoding gets escapes, not an exception."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    make_observer(json=False, quiet=False, again=AGAIN, stderr=stream, stdout=stream)(Notice("naïve 你好"))

    assert raw.getvalue() == b"info: na\\xefve \\u4f60\\u597d\n"


def live_text(width: int, *events: Event) -> str:
    """The text of everything drawn on a terminal of this width, without colours and movements."""
    console = Console(file=io.StringIO(), force_terminal=True, width=width, height=25, record=True)
    observer = LiveProgress(console, AGAIN)
    for event in events:
        observer(event)
    observer.close()
    return console.export_text()


def panel_text(width: int, shown: Snapshot) -> str:
    """One panel as plain text, without blanks at the ends of its lines."""
    console = Console(file=io.StringIO(), width=width, record=True)
    console.print(panel(title(STARTED), shown, RateMeter().update(shown), width))
    return "\n".join(line.rstrip() for line in console.export_text().splitlines())


def test_the_panel_fits_sixty_columns() -> None:
    """Labels and numbers stand in two aligned pairs, and the bar above them shows progress and time left."""
    assert panel_text(60, snapshot(10)).splitlines() == [
        "demo · tasks.jsonl → openai, 200 settled before",
        "━                                       3 %  4 min 50 s left",
        "done      395 of 12,000       failed    5",
        "in flight 198 of 200          waiting   7",
        "requests  40 /s               tokens    80 /s",
        "cost      $2.00               elapsed   10 s",
        "limit     slots",
    ]


def test_the_panel_tells_the_money() -> None:
    """The budget beside the cost, and the rest on a line of its own."""
    drawn = panel_text(76, msgspec.structs.replace(snapshot(10), money=MONEY)).splitlines()

    assert drawn[5:] == [
        "cost      $2.00 of $50.00             elapsed   10 s",
        "money     reserved $0.4200, unknown $0.1000, projected $31.00",
        "limit     slots",
    ]


def test_the_panel_counts_tokens_where_no_price_is_known() -> None:
    """In the place of the cost."""
    drawn = panel_text(76, unpriced(snapshot(10)))

    assert "used      800 tokens" in drawn
    assert "cost" not in drawn


def test_the_panel_shows_what_binds_each_of_several_scopes() -> None:
    """The busiest first, and no more than fit beside the numbers; a lone one is told by the limit of the run."""
    several = panel_text(76, msgspec.structs.replace(snapshot(10), scopes=scopes(6))).splitlines()
    lone = panel_text(76, msgspec.structs.replace(snapshot(10), scopes=scopes(1)))

    assert several[7:] == [
        "scopes    e · key 6 · m: 6 of 60 in flight, 600 rpm; limit: rpm 600",
        "          e · key 5 · m: 5 of 60 in flight, 600 rpm; limit: rpm 600",
        "          e · key 4 · m: 4 of 60 in flight, 600 rpm; limit: rpm 600",
        "          e · key 3 · m: 3 of 60 in flight, 600 rpm; limit: rpm 600",
        "          … and 2 more",
    ]
    assert "key 1" not in lone


@pytest.mark.parametrize("width", [30, 40, 60, 80, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    """Whatever the width, nothing wraps by accident and the reason for the limit stays readable."""
    binds = "waiting 12 s: the provider asked to"
    drawn = panel_text(width, msgspec.structs.replace(snapshot(10, binds=binds), money=MONEY, scopes=scopes(6)))

    assert max(len(line) for line in drawn.splitlines()) <= min(width, 76)
    assert binds in " ".join(drawn.split())


def test_the_title_names_run_source_and_endpoint() -> None:
    """The panel says what is running, and how much was settled before."""
    assert "demo · tasks.jsonl → openai, 200 settled before" in live_text(80, STARTED, snapshot(1))


def test_without_a_known_total_there_is_no_bar() -> None:
    """A source of unknown length shows counts only."""
    drawn = live_text(80, STARTED, snapshot(10, total=None))

    assert "%" not in drawn
    assert "done      395 " in drawn


def test_the_last_words_replace_the_panel() -> None:
    """The panel is erased, the cursor is back, and the last words end the output."""
    console = Console(file=io.StringIO(), force_terminal=True, width=80, height=25)
    observer = LiveProgress(console, AGAIN)
    for event in (STARTED, snapshot(10), FINISHED):
        observer(event)
    observer.close()

    file = console.file
    assert isinstance(file, io.StringIO)
    erase, show_cursor = "\x1b[2K", "\x1b[?25h"
    ending = file.getvalue().rpartition(erase)[2]
    assert show_cursor in file.getvalue()
    assert ending.startswith("Finished in 9.0 s: 9 done, 0 failed.\n")


def test_a_notice_stays_above_the_panel() -> None:
    """A warning is a line of its own, without what could steer the terminal."""
    assert "warning: tasks.jsonl:17 is not[2J JSON\n" in live_text(80, STARTED, NOTICE, snapshot(1))


def test_words_of_others_are_no_markup() -> None:
    """Square brackets in a message are shown as they are."""
    assert "limit     [red]slow[/red] down" in live_text(80, STARTED, snapshot(1, binds="[red]slow[/red] down"))


def test_a_terminal_gets_the_live_display() -> None:
    """Without other wishes a terminal on stderr is drawn on."""
    observer = make_observer(json=False, quiet=False, again=AGAIN, stderr=Terminal(), stdout=io.StringIO())

    assert isinstance(observer, LiveProgress)


def test_results_on_the_terminal_are_not_drawn_over() -> None:
    """With answers on standard output and that a terminal, only the last words are added."""
    stream = Terminal()
    observer = make_observer(json=False, quiet=False, again=AGAIN, stderr=stream, stdout=Terminal())
    for event in (msgspec.structs.replace(STARTED, outputs=("-",)), snapshot(1), FINISHED):
        observer(event)

    assert stream.getvalue().startswith("Finished in 9.0 s: 9 done, 0 failed.\n")


def test_a_terminal_that_went_away_does_not_stop_the_run() -> None:
    """A terminal that was closed silences the display and raises nothing."""
    stream = BrokenTerminal()
    observer = make_observer(json=False, quiet=False, again=AGAIN, stderr=stream, stdout=io.StringIO())
    for event in (STARTED, NOTICE, snapshot(1), FINISHED):
        observer(event)
    observer.close()

    assert stream.getvalue() == ""


def test_quiet_wins_on_a_terminal() -> None:
    """--quiet draws nothing."""
    observer = make_observer(json=False, quiet=True, again=AGAIN, stderr=Terminal(), stdout=Terminal())

    assert isinstance(observer, QuietObserver)


def test_rich_is_imported_for_a_terminal_only() -> None:
    """Commands in a pipe start without it."""
    code = (
        "import sys; from penstock.observe.observers import make_observer; "
        "make_observer(json=False, quiet=False, again='', stderr=sys.stderr, stdout=sys.stdout); "
        "print('rich' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout == "False\n"


def test_a_total_that_is_an_estimate_is_told_as_one() -> None:
    """In the lines and in the panel."""
    shown = msgspec.structs.replace(snapshot(10), total_is_estimate=True)
    assert "395 of about 12,000 done" in observe("", io.StringIO(), shown)
    assert "395 of about 12,000" in panel_text(60, shown)
