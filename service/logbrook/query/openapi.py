"""The OpenAPI document, made from the routes and the types of their answers."""

from typing import Any

import msgspec

from logbrook import __version__
from logbrook.query.answers import ErrorAnswer
from logbrook.query.parameters import described
from logbrook.query.routes import ROUTES, Export, Filter, Nothing, Route

_ERRORS = {
    400: "The request can't be understood; `error.message` says what was expected, `error.position` where.",
    403: "A page of another site sent the request.",
    404: "There is no such thing.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    422: "The query went past a limit of time, memory or rows.",
    429: "The quota is used up; Retry-After says when to come back.",
    503: "Not now: ClickHouse or this service is busy or down; Retry-After says when to come back.",
}
_ALWAYS = (400, 403, 422, 429, 503)


def document() -> dict[str, Any]:
    """The document for this version of the service."""
    types = [route.answer for route in ROUTES] + [route.parameters for route in ROUTES if route.method == "POST"]
    _, components = msgspec.json.schema_components([*types, ErrorAnswer], ref_template="#/components/schemas/{name}")
    paths: dict[str, Any] = {route.path: {route.method.lower(): _operation(route)} for route in ROUTES}
    paths["/v1/tail"] = {
        "get": _stream("Matching events as they arrive: server-sent events.", Filter, "text/event-stream")
    }
    paths["/v1/export"] = {"get": _stream("All matches, newest first.", Export, "application/x-ndjson", "text/csv")}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Logbrook", "version": __version__, "description": "Logs, read-only: search, count, follow."},
        "paths": paths,
        "components": {"schemas": components},
    }


def _operation(route: Route) -> dict[str, Any]:
    in_url = Nothing if route.method == "POST" else route.parameters
    operation = _operation_of(route.summary, described(in_url, route.path), (*_ALWAYS, *route.statuses))
    answer = {"application/json": {"schema": {"$ref": f"#/components/schemas/{route.answer.__name__}"}}}
    operation["responses"]["200"] = {"description": (route.answer.__doc__ or "").strip(), "content": answer}
    if route.method == "POST":
        body = {"application/json": {"schema": {"$ref": f"#/components/schemas/{route.parameters.__name__}"}}}
        operation["requestBody"] = {"required": True, "content": body}
        operation["responses"]["415"] = _error(415)
    return operation


def _stream(summary: str, parameters: type[msgspec.Struct], *media_types: str) -> dict[str, Any]:
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
    schema = {"$ref": "#/components/schemas/ErrorAnswer"}
    return {"description": _ERRORS[status], "content": {"application/json": {"schema": schema}}}
