"""What to tell a person when no key is left that the provider lets in."""

from collections.abc import Sequence

from penstock.engine.scope import Lane, Scope
from penstock.errors import RunPaused
from penstock.models import Failure, Fault
from penstock.redaction import printable_line

OF_NO_KEY = frozenset({"model_not_found", "certificate", "redirect"})
"""Codes of refusals that would meet any key."""


def paused_by(
    reason: str, hint: str, failure: Failure, lane: Lane, refusals: Sequence[tuple[Scope, Failure]]
) -> RunPaused:
    """The pause that a failure means, with every key that is out and the provider's words for it."""
    if failure.fault is Fault.ACCOUNT and len(refusals) > 1:
        words = "\n".join(f"  {_name(scope.lane)}: {printable_line(said.message)}" for scope, said in refusals)
        reason = f"No key is left for {lane.model}: {len(refusals)} are out.\n{words}"
    return RunPaused(reason, _with_key_hint(hint, failure, lane))


def _name(lane: Lane) -> str:
    return f"{lane.endpoint.name}, {lane.key.label}" if lane.key.label else lane.endpoint.name


def _with_key_hint(hint: str, failure: Failure, lane: Lane) -> str:
    """The hint, with the place of the key where the provider refuses it, or where it is one of several."""
    if failure.status == 401 and lane.key.secret is None:
        return f"No key was sent. Set one with: export {lane.endpoint.key_from or 'OPENAI_API_KEY'}=…"
    several = len(lane.endpoint.keys) > 1
    if failure.status == 401 or (several and failure.fault is Fault.ACCOUNT and failure.code not in OF_NO_KEY):
        return f"{hint} {'It' if failure.status == 401 else 'The key'} came from {lane.key.label}."
    return hint
