"""An oracle: what the installed SDK knows about inputs. A misspelt key or an impossible value is a problem.

The real provider would say so at preview; here its Python classes and their docstrings do.
"""

import collections.abc
import enum
import importlib
import inspect
import re
import types
import typing
from functools import cache
from typing import Any

from pulumi._types import input_type_py_to_pulumi_names, input_type_types, is_input_type

_POSSIBLE = re.compile(
    r"[Pp]ossible values (?:are|include)(?: one of)?:?\s*((?:`[^`]+`(?:,\s*(?:and |or )?|\s+(?:and|or)\s+)?)+)"
)


def args_class(token: str) -> type[Any]:
    """`gcp:compute/network:Network` as `pulumi_gcp.compute.NetworkArgs`."""
    package, path, name = token.split(":")
    module = f"pulumi_{package.replace('-', '_')}"
    if path != "index":
        module += "." + path.split("/")[0].lower()
    loaded = importlib.import_module(module)
    return typing.cast(type[Any], getattr(loaded, f"{name}InitArgs", None) or getattr(loaded, f"{name}Args"))


def problems(token: str, inputs: dict[str, Any]) -> list[tuple[str, str]]:
    """What is wrong with a resource's inputs, as (path, reason)."""
    return _object("", args_class(token), inputs)


def required(cls: type[Any]) -> set[str]:
    """The inputs that an object can't be without."""
    names = input_type_py_to_pulumi_names(cls)
    parameters = inspect.signature(cls.__init__).parameters.values()
    return {names[each.name] for each in parameters if each.name in names and each.default is inspect.Parameter.empty}


def _object(path: str, cls: type[Any], value: Any) -> list[tuple[str, str]]:
    if not isinstance(value, dict):
        return [(path, f"is no object, {cls.__name__} expected")]
    known, kinds = input_type_py_to_pulumi_names(cls), input_type_types(cls)
    python_name = {pulumi: python for python, pulumi in known.items()}
    found = [(f"{path}{name}", f"is not set, and {cls.__name__} needs it") for name in required(cls) - value.keys()]
    for name, inner in value.items():
        if name not in python_name:
            found.append((f"{path}{name}", f"is no field of {cls.__name__}"))
            continue
        found += _value(f"{path}{name}", kinds.get(name), inner)
        allowed = _possible(cls.__dict__[python_name[name]].fget.__doc__ or "")
        if allowed and isinstance(inner, str) and inner not in allowed:
            found.append((f"{path}{name}", f"{inner!r} is none of {', '.join(sorted(allowed))}"))
    return found


def _value(path: str, kind: Any, value: Any) -> list[tuple[str, str]]:
    if value is None or kind is None or is_unknown(value):
        return []
    kind = _plain(kind)
    if is_input_type(kind):
        return _object(path + ".", kind, value)
    origin = typing.get_origin(kind)
    if origin in (list, collections.abc.Sequence):
        if not isinstance(value, list):
            return [(path, "is no list")]
        inner = typing.get_args(kind)[0]
        return [problem for at, each in enumerate(value) for problem in _value(f"{path}[{at}]", inner, each)]
    if origin in (dict, collections.abc.Mapping):
        inner = typing.get_args(kind)[1]
        return [problem for name, each in value.items() for problem in _value(f"{path}.{name}", inner, each)]
    return _scalar(path, kind, value)


def _scalar(path: str, kind: Any, value: Any) -> list[tuple[str, str]]:
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return [] if value in {each.value for each in kind} else [(path, f"{value!r} is none of {kind.__name__}")]
    fits = {
        bool: isinstance(value, bool),
        int: isinstance(value, int | float) and not isinstance(value, bool) and value == int(value),
        float: isinstance(value, int | float) and not isinstance(value, bool),
        str: isinstance(value, str),
    }
    return [] if fits.get(kind, True) else [(path, f"{value!r} is no {getattr(kind, '__name__', kind)}")]


def is_unknown(value: Any) -> bool:
    """Whether the engine says that it will know this only after a deploy."""
    return isinstance(value, str) and value == "04da6b54-80e4-46f7-96ec-b56ff0331ba9"


def _plain(kind: Any) -> Any:
    """`Union[T, Awaitable[T], Output[T]]` and `Optional[T]` as T."""
    while typing.get_origin(kind) in (typing.Union, types.UnionType):
        inner = [
            each
            for each in typing.get_args(kind)
            if each is not type(None)
            and typing.get_origin(each) is not collections.abc.Awaitable
            and getattr(typing.get_origin(each) or each, "__name__", "") not in ("Output", "Awaitable")
        ]
        kind = next((each for each in inner if is_input_type(each)), inner[0])
    return kind


@cache
def _possible(doc: str) -> frozenset[str]:
    """The values that a field's docstring lists, if it does."""
    match = _POSSIBLE.search(" ".join(doc.split()))
    return frozenset(re.findall(r"`([^`]+)`", match.group(1))) if match else frozenset()
