"""The parameters of a request: the fields of a struct, read from the URL by their types, documented from them."""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from logbrook.query.refusals import BadRequestError

Declared = TypeVar("Declared", bound=msgspec.Struct)


def read(declared: type[Declared], given: list[tuple[str, str]]) -> Declared:
    """The values of a request's parameters. Raises RejectedError for one that is unknown, repeated or does not fit."""
    known = {each.encode_name: each.type for each in msgspec.structs.fields(declared)}
    values: dict[str, Any] = {}
    for name, text in given:
        if name not in known:
            message = f"{name[:64]!r} is not a parameter here; use one of: {', '.join(known) or 'none'}"
            raise BadRequestError("unknown_parameter", message, parameter=name[:64])
        if name in values:
            raise BadRequestError("repeated_parameter", f"{name} is given twice", parameter=name)
        try:
            values[name] = msgspec.convert(text, known[name], strict=False)
        except msgspec.ValidationError:
            expected = _expected(msgspec.json.schema(known[name]))
            raise BadRequestError("bad_parameter", f"{name}: expected {expected}", parameter=name) from None
    return msgspec.convert(values, declared)


def _expected(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return "one of " + ", ".join(schema["enum"])
    if schema["type"] == "boolean":
        return "true or false"
    if "pattern" in schema:
        return f"at most 100 characters, as in {schema['examples'][0]!r}: {schema['pattern']}"
    return f"a whole number from {schema['minimum']} to {schema['maximum']}"


def described(declared: type[msgspec.Struct], path: str) -> list[dict[str, Any]]:
    """The parameters as OpenAPI has them; those that the path names are part of it."""
    return [_described(each, in_path=f"{{{each.encode_name}}}" in path) for each in msgspec.structs.fields(declared)]


def _described(field: msgspec.structs.FieldInfo, *, in_path: bool) -> dict[str, Any]:
    schema = msgspec.json.schema(field.type)
    described: dict[str, Any] = {
        "name": field.encode_name,
        "in": "path" if in_path else "query",
        "description": schema.pop("description"),
        "schema": schema,
    }
    if in_path:
        described["required"] = True
    elif field.default != "":
        schema["default"] = field.default
    if examples := schema.pop("examples", None):
        described["example"] = examples[0]
    return described
