"""What an answer says: the text and output of a stored body."""

import msgspec

from penstock.apis.registry import APIS
from penstock.models import Response


def answer_of(api: str, body: bytes) -> tuple[str | None, msgspec.Raw | None]:
    """The text and the output of a body that was decoded once before; nothing where it no longer decodes."""
    outcome = APIS[api].decode(body) if api in APIS else None
    return (outcome.text, outcome.output) if isinstance(outcome, Response) else (None, None)
