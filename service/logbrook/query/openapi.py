"""The OpenAPI document, made from the routes and the types of their answers."""

from typing import Any

import msgspec

from logbrook import __version__
from logbrook.query.answers import ErrorAnswer
from logbrook.query.parameters import described
from logbrook.query.routes import ROUTES, Export, Filter, Route
from logbrook.query.streams import FORMATS

_ERRORS = {
    400: "The request can't be understood; `error.message` says what was expected, `error.position` where.",
    401: "The caller is not identified.",
    403: "A page of another site sent the request, or the caller's role does not allow it.",
    404: "It does not exist, or it is not set up.",
    409: "It was changed meanwhile.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    422: "The query went past a limit of time, memory or rows.",
    429: "The quota is used up; Retry-After says when to come back.",
    503: "Not now: ClickHouse or this service is busy or down; Retry-After says when to come back.",
}
_ALWAYS = (400, 401, 403, 422, 429, 503)


def document() -> dict[str, Any]:
    """The document for this version of the service."""
    types = [route.declared[-1] for route in ROUTES] + [route.body for route in ROUTES if route.body]
    _, components = msgspec.json.schema_components([*types, ErrorAnswer], ref_template="#/components/schemas/{name}")
    paths: dict[str, Any] = {route.path: {} for route in ROUTES}
    for route in ROUTES:
        paths[route.path][route.method.lower()] = _operation(route)
    media_types = [each.media_type for each in FORMATS.values()]
    tail = _stream("Matching events as they arrive: server-sent events.", Filter, ["text/event-stream"])
    paths["/v1/tail"] = {"get": tail}
    paths["/v1/export"] = {"get": _stream("All matches, newest first.", Export, media_types)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Logbrook",
            "version": __version__,
            "description": "Logs: search, count, follow; saved views.",
        },
        "paths": paths,
        "components": {"schemas": components},
    }


def _operation(route: Route) -> dict[str, Any]:
    _, parameters, answer = route.declared
    operation = _operation_of(route.summary, described(parameters, route.path), (*_ALWAYS, *route.statuses))
    operation["responses"]["200"] = {"description": (answer.__doc__ or "").strip(), "content": _json(answer)}
    if route.body:
        operation["requestBody"] = {"required": True, "content": _json(route.body)}
        operation["responses"]["415"] = _error(415)
    return operation


def _stream(summary: str, parameters: type[msgspec.Struct], media_types: list[str]) -> dict[str, Any]:
    operation = _operation_of(summary, described(parameters, ""), _ALWAYS)
    content = {media_type: {"schema": {"type": "string"}} for media_type in media_types}
    operation["responses"]["200"] = {"description": "A stream.", "content": content}
    return operation


def _operation_of(summary: str, parameters: list[dict[str, Any]], statuses: tuple[int, ...]) -> dict[str, Any]:
    return {
        "summary": summary,
        "parameters": parameters,
        "responses": {str(status): _error(status) for status in statuses},
    }


def _error(status: int) -> dict[str, Any]:
    return {"description": _ERRORS[status], "content": _json(ErrorAnswer)}


def _json(kind: type[msgspec.Struct]) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{kind.__name__}"}}}
