"""Error bodies as the provider words them."""

from typing import Any

import msgspec


class Rejection(msgspec.Struct, frozen=True):
    """An error response in the making."""

    status: int
    message: str
    type: str = "invalid_request_error"
    code: str | None = None
    param: str | None = None

    def body(self) -> bytes:
        """The JSON of the error object."""
        return msgspec.json.encode(self.as_object())

    def as_object(self) -> dict[str, Any]:
        """The error object, as plain values."""
        detail = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return {"error": detail}


class Rejected(Exception):
    """Raised while a request is looked at, to answer it with an error."""

    def __init__(self, rejection: Rejection, headers: dict[str, str] | None = None) -> None:
        super().__init__(rejection.message)
        self.rejection = rejection
        self.headers = headers or {}


_USUAL = {
    400: Rejection(400, "The request could not be understood.", code="invalid_value"),
    401: Rejection(401, "Incorrect API key provided.", code="invalid_api_key"),
    402: Rejection(402, "Insufficient balance.", "insufficient_quota", "insufficient_quota"),
    403: Rejection(403, "Your request was not permitted.", "permission_error", "permission_denied"),
    404: Rejection(404, "The model does not exist or you do not have access to it.", code="model_not_found"),
    408: Rejection(408, "The request timed out.", "timeout", "timeout"),
    413: Rejection(413, "The request is too large.", code="request_too_large"),
    429: Rejection(429, "Rate limit reached.", "requests", "rate_limit_exceeded"),
    503: Rejection(503, "The engine is currently overloaded, please try again later.", "server_error", "overloaded"),
    529: Rejection(529, "Overloaded.", "overloaded_error", "overloaded"),
}


def usual_rejection(
    status: int, code: str | None = None, message: str | None = None, kind: str | None = None
) -> Rejection:
    """The error that belongs to `status`, with another code, message or type where one is given."""
    if (usual := _USUAL.get(status)) is None:
        name = "server_error" if status >= 500 or status < 400 else "invalid_request_error"
        usual = Rejection(status, "The server had an error while processing your request.", name, name)
    return Rejection(status, message or usual.message, kind or usual.type, code or usual.code)


def no_key() -> Rejection:
    """The request brings no key, and one is needed."""
    return Rejection(
        401,
        "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth "
        "(i.e. Authorization: Bearer YOUR_KEY).",
        code="invalid_api_key",
    )


def wrong_key(key: str) -> Rejection:
    """The key is not one of those let in; only its last characters are shown, as the provider does."""
    return Rejection(401, f"Incorrect API key provided: ****{key[-4:]}.", code="invalid_api_key")


def unknown_model(model: str) -> Rejection:
    """A list of models is set, and this one is not on it."""
    message = f"The model `{model}` does not exist or you do not have access to it."
    return Rejection(404, message, code="model_not_found", param="model")


def unknown_url(method: str, path: str) -> Rejection:
    """There is nothing at this path."""
    return Rejection(404, f"Invalid URL ({method} {path})", code="unknown_url")


def wrong_method(method: str, path: str) -> Rejection:
    """The path exists, for another method."""
    return Rejection(405, f"Not allowed to {method} on {path}.", code="method_not_supported")
