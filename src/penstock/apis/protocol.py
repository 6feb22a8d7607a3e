"""What an API of the OpenAI family promises: encode a request, decode a response, open no socket."""

from typing import Any, Protocol

from penstock.models import Failure, Response


class Api(Protocol):
    """One kind of endpoint path, such as chat completions."""

    name: str
    """Its entry in `apis.APIS`: "chat", "completions", "responses", "embeddings", "moderations"."""
    path: str
    """Relative to the base URL, such as "chat/completions"."""

    def encode(self, row: dict[str, Any], prompt: str | None, system: str | None) -> dict[str, Any]:
        """The API's own fields of the body: everything but `model` and the parameters.

        `prompt` is the rendered prompt, None where the row brings its own input (`messages`, `input`, `prompt`).
        Raises `ValueError`, in words for the user, when neither is there.
        """
        ...

    def decode(self, body: bytes, request: bytes = b"") -> Response | Failure:
        """Read the body of a 2xx response to `request`, the body that was sent.

        Where `request` is empty, as for an answer that was checked once before, it is not asked how much it must hold.
        A `Failure` (`AMBIGUOUS`, or what an `error` inside means) for anything that is not a complete answer.
        """
        ...
