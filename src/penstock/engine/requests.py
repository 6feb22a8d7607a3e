"""From a row to a task with a key, and from a task to the request that is sent."""

from typing import Any
from urllib.parse import urlsplit

import msgspec

from penstock.apis.protocol import Api
from penstock.apis.registry import APIS, api_for_path
from penstock.apis.streams import ASSEMBLERS, stream_fields
from penstock.errors import UsageError
from penstock.models import Request, Row, Task
from penstock.options import RunOptions
from penstock.templates import Template

KEY_FIELDS = ("custom_id", "key", "id")

_encode_json = msgspec.json.Encoder().encode


def to_task(row: Row, index: int, key_field: str | None) -> Task:
    """The row as a task: its key from `key_field`, else from custom_id, key or id, else its index.

    A row that cannot be read has the key "#" and its index: a good row may have a number of its own.
    """
    key, error = _key_of(row.data, key_field)
    error = row.error or error
    if error is not None:
        key = f"#{index}"
    return Task(str(index) if key is None else key, index, row.raw, row.data, row.where, error)


def _key_of(data: dict[str, Any], key_field: str | None) -> tuple[str | None, str | None]:
    for field in (key_field,) if key_field else KEY_FIELDS:
        key = data.get(field)
        if type(key) is str and key:
            return key, None
        match key:
            case None:
                continue
            case bool() | float() | list() | dict() | "":
                return None, f"the key field {field!r} is neither text nor a whole number"
            case number:
                return str(number), None
    return None, f"the row has no field {key_field!r}, which --key names" if key_field else None


class Renderer:
    """Makes requests as the options say. Raises `UsageError` when a template does not compile, or no answer streams."""

    def __init__(self, options: RunOptions) -> None:
        if options.stream and options.api not in ASSEMBLERS:
            raise UsageError(
                f"--stream does not go with --api {options.api}: it answers in one piece.",
                f"Leave --stream out; what can be streamed: {', '.join(ASSEMBLERS)}.",
            )
        self._api = APIS[options.api]
        self._model = options.model
        self._stream = options.stream
        self._params = options.param
        self._prompt = Template(options.prompt, "--prompt") if options.prompt is not None else None
        self._system = Template(options.system, "--system") if options.system is not None else None

    def model_of(self, task: Task) -> str:
        """The model that a task will ask for, without rendering it; "" where that cannot be said."""
        body = task.data.get("body")
        model = body.get("model") if isinstance(body, dict) else task.data.get("model")
        return model if isinstance(model, str) else self._model or ""

    def render(self, task: Task) -> Request:
        """The request of a task. Raises `ValueError`, in words for the user, when the row does not give one."""
        if task.error is not None:
            raise ValueError(task.error)
        data = task.data
        if isinstance(data.get("body"), dict) and "url" in data:
            return self._batch_line(data)
        prompt = self._prompt.render(data) if self._prompt else None
        system = self._system.render(data) if self._system else None
        body = self._api.encode(data, prompt, system)
        if self._params:
            body.update(self._params)
        if data.get("params") is not None:
            body.update(_params_of(data))
        return self._request(self._api, body, data.get("model"))

    def _batch_line(self, data: dict[str, Any]) -> Request:
        """An OpenAI Batch line, taken as it is: the options only fill in what its body leaves out."""
        if data.get("method", "POST") != "POST":
            raise ValueError(f"the method of this Batch line is {data['method']!r}; only POST is sent")
        path = urlsplit(str(data["url"])).path
        if (api := api_for_path(path)) is None:
            raise ValueError(f"the url {data['url']!r} of this Batch line is not one that Penstock knows")
        return self._request(api, {**self._params, **data["body"]}, data["body"].get("model"))

    def _request(self, api: Api, body: dict[str, Any], model: Any) -> Request:
        """The request with a body that is this call's own."""
        model = model or self._model
        if not isinstance(model, str):
            raise ValueError("no model is named: give --model, or a `model` field in the row")
        if (stream := body.get("stream")) is None:
            stream = self._stream and api.name in ASSEMBLERS
        if stream and not self._stream:
            raise ValueError("`stream` is set; leave it out, or give --stream to have the answers streamed")
        if stream and api.name not in ASSEMBLERS:
            raise ValueError(f"`stream` is set; {api.name} have no stream, so leave it out")
        if stream:
            body = stream_fields(api.name, body)
        body["model"] = model
        return Request(api.name, api.path, _encode_json(body), model, bool(stream))


def _params_of(data: dict[str, Any]) -> dict[str, Any]:
    params = data["params"]
    if not isinstance(params, dict):
        raise ValueError("the row's `params` is not an object")
    return params
