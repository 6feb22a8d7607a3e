"""Every API that a run can call, by name."""

import re

from penstock.apis.chat_completions import ChatCompletions
from penstock.apis.completions import Completions
from penstock.apis.embeddings import Embeddings
from penstock.apis.moderations import Moderations
from penstock.apis.protocol import Api
from penstock.apis.responses import Responses

APIS: dict[str, Api] = {
    "chat": ChatCompletions(),
    "completions": Completions(),
    "responses": Responses(),
    "embeddings": Embeddings(),
    "moderations": Moderations(),
}

_PATH = re.compile(r"/?(?:v[0-9]+/)?([a-z/]+?)/?")


def api_for_path(path: str) -> Api | None:
    """The API of an OpenAI Batch line's `url`: "/v1/chat/completions" or "chat/completions"."""
    found = _PATH.fullmatch(path)
    return next((api for api in APIS.values() if found and api.path == found[1]), None)
