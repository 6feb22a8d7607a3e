"""Whose turn it is: by model, retries by their budget, fresh tasks last."""

from penstock.engine.queues import Line, Queues
from penstock.engine.verdicts import Wait
from penstock.engine.work import Work
from penstock.models import Attempt, Fault, Request, Task


def task(index: int, model: str = "m") -> Task:
    """A fresh task."""
    return Task(str(index), index, b"{}", {"model": model}, f"row {index}")


def work(index: int, model: str = "m", fault: Fault | None = None) -> Work:
    """A task that was sent, and failed so."""
    sent = Work(task(index, model), Request("chat", "chat/completions", b"{}", model), 0.0)
    if fault is not None:
        sent.record(Attempt("e", 0.0, 1.0, fault), 0.0)
    return sent


def queues(*tasks: Task) -> Queues:
    """Queues with these fresh tasks."""
    found = Queues(lambda task: task.data["model"])
    found.add(tasks, 0.0)
    return found


def order(line: Line) -> list[int]:
    """Everybody in a line, by their turn."""
    indexes = []
    while (found := line.pop(fresh=True)) is not None:
        indexes.append(found.task.index if isinstance(found, Work) else found[0].index)
    return indexes


def test_models_stand_in_lines_of_their_own() -> None:
    """One that is held back holds back no other."""
    lines = queues(task(0, "a"), task(1, "b"), task(2, "a")).lines()
    assert [order(line) for line in lines] == [[0, 2], [1]]


def test_back_off_comes_before_fresh_ones_when_it_is_over() -> None:
    """And not an instant earlier, in the order of their ends."""
    found = queues(task(9))
    found.back_off(work(1, fault=Fault.OVERLOADED), 5.0)
    found.back_off(work(2, fault=Fault.OVERLOADED), 3.0)
    found.rouse(2.9)
    assert (found.next_due_s(), found.waiting) == (3.0, 2)
    found.rouse(5.0)
    assert order(found.lines()[0]) == [2, 1, 9]


def test_retries_that_may_not_go_hold_no_fresh_task_back() -> None:
    """Nor one that the provider never worked on."""
    found = queues(task(9))
    for index, fault in enumerate((Fault.OVERLOADED, Fault.THROTTLED, Fault.AMBIGUOUS)):
        found.back_off(work(index, fault=fault), 0.0)
    found.rouse(0.0)
    line = found.lines()[0]
    assert not line.hold(work(7, fault=Fault.OVERLOADED), Wait(10.0, "task"))
    assert order(line) == [1, 9]
    assert order(found.lines()[0]) == [7, 0, 2]


def test_everybody_is_counted_once() -> None:
    """In back-off, in line, and fresh; and the line that is held counts as not free."""
    found = queues(task(0, "a"), task(1, "b"), task(2, "b"))
    found.back_off(work(3, "a", Fault.OVERLOADED), 0.0)
    found.back_off(work(4, "a", Fault.OVERLOADED), 9.0)
    found.rouse(0.0)
    assert (found.fresh, found.waiting, len(list(found.works()))) == (3, 2, 2)
    found.lines()[1].held = True
    assert (found.free, found.fresh) == (1, 3)
    assert bool(found)


def test_one_model_is_never_counted_as_held() -> None:
    """Its own limit is what the window is for."""
    found = queues(task(0), task(1))
    found.lines()[0].held = True
    assert found.free == 2
