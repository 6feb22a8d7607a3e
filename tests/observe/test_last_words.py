"""The last words of every ending."""

import msgspec
import pytest

from penstock.events import Ending, Finished
from penstock.models import Fault, Totals, Usage
from penstock.observe.last_words import EXPLANATIONS, last_words, with_larger

AGAIN = "penstock run tasks.jsonl -o out.jsonl"
TOTALS = Totals(
    accepted=100,
    ok=96,
    partial=1,
    failed=3,
    faults={"ambiguous": 1, "rejected": 2},
    partials={"length": 1},
    unknown=1,
    usage=Usage(input_tokens=12_000, output_tokens=3_400),
    cost=1.234,
)


def finished(
    ending: Ending, totals: Totals, home: str = ".penstock/demo", reason: str | None = None, hint: str | None = None
) -> Finished:
    """A run that wrote to one file."""
    return Finished(
        run="demo",
        ending=ending,
        totals=totals,
        elapsed_s=200,
        home=home,
        outputs=("out.jsonl",),
        failed_outputs=("out.jsonl.failed.jsonl",),
        reason=reason,
        hint=hint,
    )


def test_a_clean_finish_is_short() -> None:
    """Counts, cost, duration and places; nothing about failures, and nothing to do."""
    totals = Totals(accepted=100, ok=100, usage=Usage(input_tokens=12_000, output_tokens=3_400), cost=1.234)

    assert last_words(finished(Ending.FINISHED, totals), AGAIN).splitlines() == [
        "Finished in 3 min 20 s: 100 done, 0 failed.",
        "  cost      $1.23 for 12,000 input and 3,400 output tokens",
        "  results   out.jsonl",
        "  run       .penstock/demo",
    ]


def test_a_finish_with_failures_explains_each_class() -> None:
    """Every class of fault has its count and its sentence, the most frequent first, and the command to retry."""
    assert last_words(finished(Ending.FINISHED, TOTALS), AGAIN).splitlines() == [
        "Finished in 3 min 20 s: 97 done, 3 failed.",
        "        2 rejected    cannot succeed as they are; the same again will not help",
        "        1 ambiguous   no answer to trust came back; may have been billed",
        "        1 partial     answers stopped short: length",
        "  cost      $1.23 for 12,000 input and 3,400 output tokens",
        "  unknown   1 attempt may have been billed without an answer",
        "  results   out.jsonl",
        "  failures  out.jsonl.failed.jsonl",
        "  run       .penstock/demo",
        "To try what failed once more:",
        "  penstock retry demo",
    ]


def test_a_pause_says_why_and_what_to_do() -> None:
    """The reason, the hint and the exact command to go on."""
    said = last_words(finished(Ending.PAUSED, TOTALS, reason="The key is refused.", hint="Check it."), AGAIN)

    assert said.splitlines()[:3] == [
        "Paused after 3 min 20 s: 97 done, 3 failed, the rest pending.",
        "  The key is refused.",
        "  Check it.",
    ]
    assert said.splitlines()[-2:] == ["Nothing is lost. To go on:", f"  {AGAIN}"]


def test_an_interruption_says_how_to_go_on() -> None:
    """Ctrl-C ends with the same command."""
    said = last_words(finished(Ending.INTERRUPTED, TOTALS), AGAIN).splitlines()

    assert said[0] == "Interrupted after 3 min 20 s: 97 done, 3 failed, the rest pending."
    assert said[-1] == f"  {AGAIN}"


def test_a_run_elsewhere_is_retried_there() -> None:
    """The retry command names a home that is not the usual one."""
    said = last_words(finished(Ending.FINISHED, TOTALS, home="my runs/demo"), AGAIN)

    assert said.endswith("  penstock retry demo --home 'my runs'")


def test_unknown_prices_are_said() -> None:
    """A cost without known prices is not shown as nought."""
    said = last_words(finished(Ending.FINISHED, Totals(accepted=2, ok=2, unpriced=2)), AGAIN)

    assert "cost      unknown for 0 input and 0 output tokens; no price is known for 2 answers" in said


def test_what_may_have_been_billed_is_said_at_its_price() -> None:
    """At most so much, in the currency of the run."""
    totals = Totals(accepted=2, failed=2, unknown=2, unknown_cost=0.25, currency="CNY")

    assert "  unknown   2 attempts may have been billed without an answer, at most ¥0.2500" in last_words(
        finished(Ending.FINISHED, totals), AGAIN
    )


def test_foreign_words_cannot_steer_the_terminal() -> None:
    """A provider's message arrives without control characters and on one line."""
    said = last_words(finished(Ending.PAUSED, TOTALS, reason="no\x1b]0;owned\x07\nFinished: all well"), AGAIN)

    assert "\x1b" not in said
    assert "  no]0;owned Finished: all well" in said.splitlines()


def test_bad_rows_stand_apart_from_what_was_refused() -> None:
    """With the first few places; a retry is offered for the others only."""
    bad = msgspec.structs.replace(finished(Ending.FINISHED, TOTALS), bad_rows=1, examples=("a.jsonl:2: no\nJSON",))
    said = last_words(bad, AGAIN).splitlines()

    assert said[1:5] == [
        "        1 not sent    no request can be made of the row:",
        "          a.jsonl:2: no JSON",
        "        1 ambiguous   no answer to trust came back; may have been billed",
        "        1 rejected    cannot succeed as they are; the same again will not help",
    ]
    assert said[-3:] == [
        "Mend the bad rows in out.jsonl.failed.jsonl, then run that file as a source.",
        "To try what failed once more:",
        "  penstock retry demo",
    ]


def test_bad_rows_alone_are_not_retried() -> None:
    """The same rows would fail in the same way."""
    totals = Totals(accepted=5, ok=1, failed=4, faults={"rejected": 4})
    bad = msgspec.structs.replace(
        finished(Ending.FINISHED, totals), bad_rows=4, examples=("a:1: x", "a:2: x", "a:3: x")
    )
    said = last_words(bad, AGAIN)

    assert "          …" in said.splitlines()
    assert "retry" not in said
    assert "rejected" not in said


def test_an_empty_source_is_said() -> None:
    """Nothing done and nothing failed is explained."""
    assert "  The source has no rows." in last_words(finished(Ending.FINISHED, Totals()), AGAIN).splitlines()


@pytest.mark.parametrize("fault", Fault)
def test_every_fault_is_explained(fault: Fault) -> None:
    """No class of fault is left without a sentence, and each fits a terminal of 80 columns."""
    assert 0 < len(EXPLANATIONS[fault]) <= 80 - 22


def test_each_key_that_is_out_has_a_line_of_its_own() -> None:
    """With what was said of it."""
    reason = "No key is left for m: 2 are out.\n  a, KEY_A: no credit\n  a, KEY_B: no such key"
    lines = last_words(finished(Ending.PAUSED, TOTALS, reason=reason), AGAIN).splitlines()
    place = lines.index("  No key is left for m: 2 are out.")
    assert lines[place + 1 : place + 3] == ["    a, KEY_A: no credit", "    a, KEY_B: no such key"]


def test_after_a_used_up_budget_the_command_asks_for_a_larger_one() -> None:
    """The same command again would pause again at once."""
    spent = msgspec.structs.replace(finished(Ending.PAUSED, TOTALS, reason="used up"), larger="--budget")
    assert last_words(spent, "penstock run a.jsonl --budget 20 -o b.jsonl").splitlines()[-1] == (
        "  penstock run a.jsonl --budget …more… -o b.jsonl"
    )


@pytest.mark.parametrize(
    ("command", "larger"),
    [
        ("penstock run a --budget=0.5", "penstock run a --budget …more…"),
        ("penstock run a", "penstock run a --budget …more…"),
        ("penstock run a --budget 1 --name --budget-2", "penstock run a --budget …more… --name --budget-2"),
    ],
)
def test_a_larger_value_takes_the_place_of_the_old_one(command: str, larger: str) -> None:
    """However it was written, or where it came from the environment."""
    assert with_larger(command, "--budget") == larger
    assert with_larger(command, None) == command


def test_what_was_all_rejected_is_offered_to_another_model() -> None:
    """The same again will not help, and is not offered."""
    totals = Totals(accepted=5, ok=1, failed=4, faults={"rejected": 4})
    said = last_words(finished(Ending.FINISHED, totals), AGAIN)

    assert "once more" not in said
    assert said.splitlines()[-1] == "  penstock retry demo --model …other…"


def test_a_pause_that_the_same_command_would_not_mend_does_not_show_it() -> None:
    """A mistyped placeholder would reject twenty more."""
    paused = msgspec.structs.replace(finished(Ending.PAUSED, TOTALS, reason="all rejected"), anew=True)
    said = last_words(paused, AGAIN).splitlines()

    assert said[-1] == f"  {AGAIN} --fresh"
    assert not any("To go on" in line for line in said)


@pytest.mark.parametrize(
    ("retried", "succeeded", "bad_rows", "words"),
    [
        (5, 3, 0, "  Of 5 tasks that had failed 3 succeeded this time."),
        (1, 0, 0, "  Of 1 task that had failed 0 succeeded this time."),
        (3, 0, 3, "  Nothing was retried: no request can be made of the rows that failed."),
        (0, 0, 0, "  Nothing was retried: no task had failed."),
    ],
)
def test_a_retry_tells_what_came_of_it(retried: int, succeeded: int, bad_rows: int, words: str) -> None:
    """The counts of the whole run do not say it."""
    told = msgspec.structs.replace(
        finished(Ending.FINISHED, TOTALS), retried=retried, succeeded=succeeded, bad_rows=bad_rows
    )

    assert last_words(told, AGAIN).splitlines()[1] == words


def test_what_was_set_live_must_be_given_again() -> None:
    """The next process does not know it."""
    told = msgspec.structs.replace(finished(Ending.PAUSED, TOTALS), set_live=("budget", "rpm"))

    assert last_words(told, AGAIN).splitlines()[-1] == (
        "What penstock ctl set (budget, rpm) must be given again, as an option."
    )
