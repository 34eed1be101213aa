"""An oracle for requests: every method of Google's REST APIs, from the discovery documents that the API client ships.

A request is looked up by product, verb and path; then its query and its body are held against the method's own
parameters and schemas, as Google does: it refuses unknown fields and values, and ignores what is output only.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import googleapiclient.discovery_cache  # type: ignore[import-untyped]

_DOCUMENTS = Path(googleapiclient.discovery_cache.__file__).parent / "documents"

# By the first part of a URL on the recording server: the documents with its methods.
PRODUCTS = {
    "artifactregistry": ("artifactregistry.v1",),
    "billingbudgets": ("billingbudgets.v1",),
    "certificatemanager": ("certificatemanager.v1",),
    "cloudbilling": ("cloudbilling.v1",),
    "cloudresourcemanager": ("cloudresourcemanager.v1", "cloudresourcemanager.v3"),
    "cloudscheduler": ("cloudscheduler.v1",),
    "compute": ("compute.beta",),
    "iam": ("iam.v1",),
    "iap": ("iap.v1",),
    "logging": ("logging.v2",),
    "managedkafka": ("managedkafka.v1",),
    "monitoring": ("monitoring.v3", "monitoring.v1"),
    "parametermanager": ("parametermanager.v1",),
    "pubsub": ("pubsub.v1",),
    "run": ("run.v2",),
    "secretmanager": ("secretmanager.v1",),
    "serviceusage": ("serviceusage.v1", "serviceusage.v1beta1"),
    "storage": ("storage.v1",),
}
_VERSION = re.compile(r"^/*(?:(?:v\d\w*|alpha|beta)/)+")
_NUMBERS: dict[str, tuple[type, ...]] = {"integer": (int,), "number": (int, float)}


@dataclass(frozen=True)
class Method:
    """One method of an API."""

    document: str
    id: str
    verb: str
    parameters: frozenset[str]
    request: dict[str, Any] | None
    response: str
    patterns: tuple[re.Pattern[str], ...]

    @property
    def action(self) -> str:
        """The last part of its id: insert, setIamPolicy."""
        return self.id.rpartition(".")[2]

    @property
    def answers_operation(self) -> bool:
        """Whether the outcome comes later."""
        return self.response.endswith("Operation")

    def problems(self, query: Mapping[str, str], body: Any) -> list[str]:
        """What Google would refuse in a request."""
        # Query parameters may be written as in JSON or as in protocol buffers (google.api.http's documentation).
        unknown = [name for name in query if _camel(name) not in self.parameters]
        found = [f"?{name} is not a parameter of {self.id}" for name in unknown]
        if body is not None and self.request is None:
            found.append(f"{self.id} takes no body")
        elif body is not None and self.request:
            found += list(_check(self.document, self.request, body, self.id))
        return found


def relative(path: str) -> str:
    """A path without the versions at its beginning, which are the client's matter: v1/projects/p as projects/p."""
    return _VERSION.sub("", path).strip("/")


def find(product: str, verb: str, path: str) -> Method | None:
    """The method of this version, else of another, with the most specific pattern; None if the product has none."""
    shortened, version = relative(path), path.strip("/").partition("/")[0]
    fitting = [
        (not document.endswith(f".{version}"), -len(pattern.pattern.replace("[^/]+", "").replace(".+", "")), method)
        for document in PRODUCTS.get(product, ())
        for method in _methods(document)
        if method.verb == verb
        for pattern in method.patterns
        if pattern.fullmatch(shortened)
    ]
    return min(fitting, key=lambda each: each[:2])[2] if fitting else None


@cache
def _load(document: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((_DOCUMENTS / f"{document}.json").read_text())
    return loaded


@cache
def _methods(document: str) -> list[Method]:
    def walk(resource: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield from resource.get("methods", {}).values()
        for inner in resource.get("resources", {}).values():
            yield from walk(inner)

    loaded = _load(document)
    common = set(loaded["parameters"])
    return [
        Method(
            document,
            each["id"],
            each["httpMethod"],
            frozenset(common | set(each.get("parameters", {}))),
            each.get("request"),
            each.get("response", {}).get("$ref", ""),
            tuple({_pattern(path) for path in (each["path"], each.get("flatPath", each["path"]))}),
        )
        for each in walk(loaded)
    ]


def _pattern(path: str) -> re.Pattern[str]:
    """`projects/{project}/{+name}`: a variable is one part of the path, with a plus any number of them."""
    parts = re.split(r"(\{\+?\w+\})", relative(path))
    regular = (
        "" if not part else re.escape(part) if part[0] != "{" else ".+" if part[1] == "+" else "[^/]+" for part in parts
    )
    return re.compile("".join(regular))


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _check(document: str, schema: dict[str, Any], value: Any, path: str) -> Iterator[str]:
    if "$ref" in schema:
        schema = _load(document)["schemas"][schema["$ref"]]
    kind = schema.get("type", "any")
    if value is None or kind == "any" or schema.get("readOnly"):
        return
    if kind == "array":
        if not isinstance(value, list):
            yield f"{path}: {value!r:.60} is not a list"
            return
        for index, each in enumerate(value):
            yield from _check(document, schema["items"], each, f"{path}[{index}]")
    elif kind == "object":
        yield from _check_object(document, schema, value, path)
    else:
        yield from _check_scalar(schema, value, path)


def _check_object(document: str, schema: dict[str, Any], value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path}: {value!r:.60} is not an object"
        return
    properties, others = schema.get("properties", {}), schema.get("additionalProperties")
    for name, inner in value.items():
        of_field = properties.get(name) or properties.get(_camel(name)) or others
        if of_field is None:
            yield f"{path}.{name}: there is no such field"
        else:
            yield from _check(document, of_field, inner, f"{path}.{name}")


def _check_scalar(schema: dict[str, Any], value: Any, path: str) -> Iterator[str]:
    kind = schema["type"]
    if kind == "string":
        # 64-bit integers are strings in JSON, and may be sent as numbers.
        fits = isinstance(value, str) or (
            schema.get("format") in ("int64", "uint64") and isinstance(value, int) and not isinstance(value, bool)
        )
    elif kind == "boolean":
        fits = isinstance(value, bool)
    else:
        fits = isinstance(value, _NUMBERS[kind]) and not isinstance(value, bool)
    if not fits:
        yield f"{path}: {value!r:.60} is not of type {kind}"
    elif "enum" in schema and value not in schema["enum"]:
        yield f"{path}: {value!r} is not one of {', '.join(schema['enum'])}"
