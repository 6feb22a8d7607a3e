"""Pools: the endpoints that can serve a model, and the models that may stand in for it."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from penstock.endpoints import Endpoint, Names, known_endpoints, resolve_endpoint, unknown_endpoint
from penstock.errors import UsageError
from penstock.options import CONFIG_FILE

ANY_MODEL = "*"
"""`[models."*"]` holds for models that have no table of their own, or no such entry in it."""


class Route(msgspec.Struct, frozen=True):
    """A way to have a model asked."""

    endpoint: Endpoint
    model: str
    """The name sent there."""
    tier: int
    """Lower ones are asked first; those of a fallback follow all of the asked model's."""
    asked: str
    """The model that is asked in this way: for a fallback, its own name."""


class ModelTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `[models.NAME]` may hold."""

    endpoints: Names | None = None
    fallback: Names | None = None
    """Models that may answer in its place, in order."""


class Origin(msgspec.Struct, frozen=True):
    """What an endpoint was resolved from; `name` is None for the usual one."""

    name: str | None = None
    base_url: str | None = None


class Pools:
    """The endpoints of a run, and the routes to every model.

    Parameters: `origins` has the endpoints' names in order, `anywhere` those for a model that names none.
    """

    def __init__(
        self,
        endpoints: Mapping[str, Endpoint],
        origins: Mapping[str, Origin],
        anywhere: tuple[str, ...],
        models: Mapping[str, ModelTable],
    ) -> None:
        self._endpoints = endpoints
        self._origins = origins
        self._anywhere = anywhere
        self._models = models
        self._routes: dict[str, tuple[Route, ...]] = {}

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """All of them; without the usual one where others are named and it has no key."""
        named = {name for table in self._models.values() for name in table.endpoints or ()}
        every = self._endpoints.values()
        return tuple(each for each in every if not named or each.name in named or not each.key_missing)

    def routes(self, model: str) -> tuple[Route, ...]:
        """The ways to have a model asked, at least one, in the order of their tiers."""
        if model not in self._routes:
            self._routes[model] = tuple(self._find_routes(model))
        return self._routes[model]

    def with_endpoint(self, endpoint: Endpoint) -> "Pools":
        """The same, with this endpoint for the one of its name."""
        return Pools({**self._endpoints, endpoint.name: endpoint}, self._origins, self._anywhere, self._models)

    def reload_keys(self, environ: Mapping[str, str], config: Mapping[str, Any]) -> "Pools":
        """The same endpoints with the keys that they have now. Raises `UsageError` as `resolve_pools` does."""
        endpoints = {
            name: _with_keys_of_now(endpoint, self._origins[name], environ, config)
            for name, endpoint in self._endpoints.items()
        }
        return Pools(endpoints, self._origins, self._anywhere, self._models)

    def _find_routes(self, model: str) -> Iterator[Route]:
        found: set[tuple[str, str]] = set()
        above = 0
        for asked in self._in_turn(model):
            endpoints = sorted(self._serving(asked, model), key=lambda endpoint: endpoint.priority)
            for endpoint in endpoints:
                sent = endpoint.models.get(asked, asked)
                if (endpoint.name, sent) not in found:
                    found.add((endpoint.name, sent))
                    yield Route(endpoint, sent, above + endpoint.priority, asked)
            above += endpoints[-1].priority

    def _in_turn(self, model: str) -> list[str]:
        """The model and those that may stand in for it, each with its own behind it."""
        fallback = self._fallback(model)
        if fallback is None and ANY_MODEL in self._models:
            fallback = self._models[ANY_MODEL].fallback
        following = [name for each in fallback or () for name in (each, *self._behind(each))]
        return list(dict.fromkeys([model, *following]))

    def _behind(self, model: str) -> list[str]:
        return [name for each in self._fallback(model) or () for name in (each, *self._behind(each))]

    def _fallback(self, model: str) -> tuple[str, ...] | None:
        table = self._models.get(model)
        return table.fallback if table is not None else None

    def _serving(self, model: str, in_place_of: str) -> list[Endpoint]:
        """Those that its table names, or `"*"`; a fallback without either is asked where the model it stands in for is.

        Nobody who names the endpoints of a model expects its prompts to go anywhere else.
        """
        tables = (self._models.get(name) for name in (model, ANY_MODEL, in_place_of))
        named = (table.endpoints for table in tables if table is not None and table.endpoints is not None)
        return [self._endpoints[name] for name in next(named, self._anywhere)]


def resolve_pools(
    name: str | None,
    base_url: str | None,
    environ: Mapping[str, str],
    config: Mapping[str, Any],
    *,
    need_key: bool = True,
) -> Pools:
    """The pools that these options and `[models]` mean. Raises `UsageError` as `resolve_endpoint` does.

    A `name`, or several with commas between, and a `base_url` hold for every model. Without them `[models.NAME]` and
    `[models."*"]` name the endpoints of a model, and where they name none it is the usual endpoint.
    """
    models = _model_tables(config)
    if name is not None or base_url is not None:
        models = {model: msgspec.structs.replace(table, endpoints=None) for model, table in models.items()}
        chosen = _chosen(name, base_url)
    else:
        chosen = [Origin(each) for each in models[ANY_MODEL].endpoints or ()] if ANY_MODEL in models else []
    chosen = chosen or [Origin()]
    named = [Origin(each) for table in models.values() for each in table.endpoints or ()]
    resolved = {}
    for origin in dict.fromkeys([*named, *chosen]):
        is_spare = bool(named) and origin == Origin()
        resolved[origin] = resolve_endpoint(
            origin.name, origin.base_url, environ, config, need_key=need_key and not is_spare
        )
    origins = {endpoint.name: origin for origin, endpoint in reversed(resolved.items())}
    endpoints = {endpoint.name: endpoint for endpoint in resolved.values()}
    return Pools(endpoints, origins, tuple(resolved[origin].name for origin in chosen), models)


def _chosen(name: str | None, base_url: str | None) -> list[Origin]:
    names = tuple(each.strip() for each in (name or "").split(",") if each.strip())
    if name and not names:
        raise UsageError(f"--endpoint {name!r} names no endpoint.", "Several have commas between them: a,b")
    if len(names) < 2:
        return [Origin(names[0] if names else None, base_url)]
    if base_url is not None:
        raise UsageError(
            f"--base-url is one address, and --endpoint names {len(names)} endpoints.",
            f"Give them addresses of their own under [endpoints] in {CONFIG_FILE}.",
        )
    _refuse_twice(names, "--endpoint")
    return [Origin(each) for each in names]


def _with_keys_of_now(
    endpoint: Endpoint, origin: Origin, environ: Mapping[str, str], config: Mapping[str, Any]
) -> Endpoint:
    need_key = not endpoint.key_missing
    now = resolve_endpoint(origin.name, origin.base_url, environ, config, need_key=need_key)
    return msgspec.structs.replace(
        endpoint, keys=now.keys, key_from=now.key_from, key_missing=now.key_missing, notes=now.notes
    )


# What is configured


def _place(model: str) -> str:
    return f'{CONFIG_FILE}: [models."{model}"]'


def _model_tables(config: Mapping[str, Any]) -> dict[str, ModelTable]:
    tables = {model: _model_table(model, table) for model, table in config.get("models", {}).items()}
    for model, table in tables.items():
        for name in table.endpoints or ():
            if name not in known_endpoints(config):
                raise unknown_endpoint(name, config, f"{_place(model)} endpoints: ")
        _refuse_circle(model, tables, (model,))
    return tables


def _model_table(model: str, given: Any) -> ModelTable:
    try:
        table = msgspec.convert(given, ModelTable)
    except msgspec.ValidationError as error:
        hint = 'It may hold endpoints and fallback. A name with a dot is put in quotes: [models."gpt-4.1"]'
        raise UsageError(f"{_place(model)}: {error}.", hint) from None
    if table.endpoints is None and table.fallback is None:
        raise UsageError(f"{_place(model)} is empty.", "It names endpoints = […], or fallback = […], or both.")
    _refuse_twice(table.endpoints or (), f"{_place(model)} endpoints")
    if ANY_MODEL in (table.fallback or ()):
        raise UsageError(f"{_place(model)} fallback: '*' is no model.", "Name the models that may answer instead.")
    return table


def _refuse_twice(names: tuple[str, ...], where: str) -> None:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"{where}: {twice!r} is named twice.", "Name each endpoint once; its weight says how often.")


def _refuse_circle(model: str, tables: Mapping[str, ModelTable], way: tuple[str, ...]) -> None:
    """Follow the fallbacks of the last model on the way; none may be on it already."""
    table = tables.get(way[-1])
    for name in (table.fallback if table is not None else None) or ():
        if name in way:
            circle = " → ".join((*way[way.index(name) :], name))
            raise UsageError(f"{_place(model)} fallback: it leads in a circle: {circle}.", "Take one of them out.")
        _refuse_circle(model, tables, (*way, name))
