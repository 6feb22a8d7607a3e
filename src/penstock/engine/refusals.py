"""What to tell a person when no key is left that the provider lets in."""

import time
from collections.abc import Sequence

from penstock.engine.scope import Lane, Scope
from penstock.errors import RunPaused
from penstock.models import Failure, Fault
from penstock.policy.advice import advise
from penstock.redaction import printable_line

MEND_ONE = "One that is mended is enough."
DAY_S = 12 * 3600.0
"""Waits from here on are told with their date."""

OF_NO_KEY = frozenset({"model_not_found", "certificate", "redirect"})
"""Codes of refusals that would meet any key."""


def paused_by(
    reason: str, hint: str, failure: Failure, lane: Lane, refusals: Sequence[tuple[Scope, Failure]]
) -> RunPaused:
    """The pause that a failure means, with every key that is out and the provider's words for it."""
    if failure.fault is Fault.ACCOUNT and len(refusals) > 1:
        words = "\n".join(
            f"  {_name(scope.lane)}: {sentence(said.message)} {_with_key_hint(advise(said), said, scope.lane, False)}"
            for scope, said in refusals
        )
        return RunPaused(f"No key is left for {lane.model}: {len(refusals)} are out.\n{words}", MEND_ONE)
    return RunPaused(reason, _with_key_hint(hint, failure, lane))


def _name(lane: Lane) -> str:
    return f"{lane.endpoint.name}, {lane.key.label}" if lane.key.label else lane.endpoint.name


def out_words(scope: Scope, failure: Failure, others: Sequence[Scope], out_s: float) -> str:
    """What a person is told when a key, or a model at an endpoint, goes out while others go on."""
    lane = scope.lane
    what = f"{lane.model} at {lane.endpoint.name}" if failure.code == "model_not_found" else _name(lane)
    names = _name(others[0].lane) if len(others) == 1 else f"{len(others)} others"
    go = "goes on" if len(others) == 1 else "go on"
    return f"{what} is out: {sentence(failure.message)} {names} {go}; it is tried again in {_minutes(out_s)}."


def status_words(scope: Scope, now_s: float) -> str:
    """What binds a scope that is out."""
    failure = scope.said(now_s)
    said = printable_line(failure.message).rstrip(".") if failure else "refused"
    return f"out: {said}, tried again in {_minutes(scope.out_s(now_s))}"


def asked_to_wait(message: str, asked_s: float, now_unix_s: float) -> str:
    """The reason of a pause that the provider asks for: until when, by the clock and in the zone of this machine."""
    form = "%H:%M:%S" if asked_s < DAY_S else "%Y-%m-%d %H:%M:%S"
    until = time.strftime(form, time.localtime(now_unix_s + asked_s))
    return f"The provider asks to wait until {until}: {message}"


def sentence(message: str) -> str:
    """A provider's words on one line, with an end."""
    said = printable_line(message)
    return said if said.endswith((".", "!", "?", "。")) else f"{said}."


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"


def _with_key_hint(hint: str, failure: Failure, lane: Lane, names_key: bool = True) -> str:
    """The hint, with the place of the key where the provider refuses it, or where it is one of several."""
    if failure.status == 401 and lane.key.secret is None:
        return f"No key was sent. Set one with: export {lane.endpoint.key_from or 'OPENAI_API_KEY'}=…"
    if not names_key:
        return hint
    several = len(lane.endpoint.keys) > 1
    if failure.status == 401 or (several and failure.fault is Fault.ACCOUNT and failure.code not in OF_NO_KEY):
        return f"{hint} {'It' if failure.status == 401 else 'The key'} came from {lane.key.label}."
    return hint
