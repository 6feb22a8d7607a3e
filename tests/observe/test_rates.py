"""Rates over a sliding window, fed with snapshots."""

import pytest

from penstock.events import Snapshot
from penstock.models import Totals, Usage
from penstock.observe.rates import RateMeter


def snapshot(elapsed_s: float, done: int, *, total: int | None = 1000, before: int = 0) -> Snapshot:
    """A run where every response settles a task and costs ten tokens."""
    return Snapshot(
        elapsed_s=elapsed_s,
        totals=Totals(accepted=done, ok=done, usage=Usage(input_tokens=6 * done, output_tokens=4 * done)),
        total=total,
        before=before,
        in_flight=1,
        waiting=0,
        limit=1,
        binds="concurrency 1",
        responses=done - before,
    )


def test_a_steady_run_shows_its_speed() -> None:
    """Five tasks a second are five requests and fifty tokens a second."""
    meter = RateMeter()
    rates = [meter.update(snapshot(second, 5 * second)) for second in range(1, 21)][-1]

    assert rates.responses_per_s == pytest.approx(5)
    assert rates.tokens_per_s == pytest.approx(50)
    assert rates.left_s == pytest.approx(900 / 5)


def test_the_first_snapshot_has_a_speed() -> None:
    """A fresh run began at nought, so one snapshot is enough."""
    assert RateMeter().update(snapshot(2, 10)).responses_per_s == pytest.approx(5)


def test_what_is_long_past_does_not_count() -> None:
    """A burst more than a window ago is no longer shown."""
    meter = RateMeter()
    meter.update(snapshot(1, 500))
    rates = [meter.update(snapshot(second, 500)) for second in range(2, 13)][-1]

    assert rates.responses_per_s == 0


def test_a_gap_longer_than_the_window_is_measured_across() -> None:
    """After a pause of the process the last snapshot still serves as the base."""
    meter = RateMeter()
    meter.update(snapshot(1, 100))

    assert meter.update(snapshot(101, 300)).responses_per_s == pytest.approx(2)


def test_work_of_earlier_processes_is_not_speed() -> None:
    """A resumed run starts at rest, then shows only its own work."""
    meter = RateMeter()
    first = meter.update(snapshot(1, 600, before=600))
    second = meter.update(snapshot(2, 610, before=600))

    assert (first.responses_per_s, first.tokens_per_s, first.left_s) == (0, 0, None)
    assert second.tokens_per_s == pytest.approx(100)
    assert second.left_s == pytest.approx(39)


def test_two_snapshots_of_one_moment_do_no_harm() -> None:
    """No time between two snapshots is no speed, not an error."""
    meter = RateMeter()
    meter.update(snapshot(1, 10, before=10))

    assert meter.update(snapshot(1, 20, before=10)).responses_per_s == 0


@pytest.mark.parametrize(("total", "left_s"), [(None, None), (10, 0.0)])
def test_time_left_is_told_only_when_known(total: int | None, left_s: float | None) -> None:
    """Without a known total nobody can tell; with everything settled there is none."""
    assert RateMeter().update(snapshot(2, 10, total=total)).left_s == left_s
