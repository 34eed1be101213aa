"""The parameters of a request: declared once, read from the URL by the declaration, documented from it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from logbrook.errors import RejectedError


@dataclass(frozen=True)
class Parameter:
    """One parameter. Its kind is that of its default; a whole number has bounds."""

    name: str
    default: str | int | bool
    meaning: str
    lowest: int = 0
    highest: int = 0
    choices: tuple[str, ...] = ()
    in_path: bool = False
    example: str = ""

    def read(self, text: str) -> str | int | bool:
        """The value that a text stands for. Raises RejectedError."""
        if isinstance(self.default, bool):
            if text.lower() in ("true", "1", "false", "0"):
                return text.lower() in ("true", "1")
            raise self._wrong("true or false")
        if isinstance(self.default, int):
            if text.isascii() and text.isdigit() and len(text) < 10 and self.lowest <= int(text) <= self.highest:
                return int(text)
            raise self._wrong(f"a whole number from {self.lowest} to {self.highest}")
        if self.choices and text not in self.choices:
            raise self._wrong("one of " + ", ".join(self.choices))
        return text

    def _wrong(self, expected: str) -> RejectedError:
        return RejectedError(400, "bad_parameter", f"{self.name}: expected {expected}", parameter=self.name)

    def schema(self) -> dict[str, Any]:
        """The JSON schema of its values."""
        if isinstance(self.default, bool):
            return {"type": "boolean", "default": self.default}
        if isinstance(self.default, int):
            bounds = {"minimum": self.lowest, "maximum": self.highest}
            return {"type": "integer", "default": self.default, **bounds}
        schema: dict[str, Any] = {"type": "string"}
        if self.choices:
            schema["enum"] = list(self.choices)
        if self.default:
            schema["default"] = self.default
        return schema


def read(declared: tuple[Parameter, ...], given: list[tuple[str, str]]) -> dict[str, Any]:
    """The values of a request's parameters. Raises RejectedError for one that is unknown, repeated or does not fit."""
    known: Mapping[str, Parameter] = {each.name: each for each in declared}
    values: dict[str, Any] = {each.name: each.default for each in declared}
    seen: set[str] = set()
    for name, text in given:
        if name not in known:
            names = ", ".join(known) or "none"
            raise RejectedError(
                400,
                "unknown_parameter",
                f"{name[:64]!r} is not a parameter here; use one of: {names}",
                parameter=name[:64],
            )
        if name in seen:
            raise RejectedError(400, "repeated_parameter", f"{name} is given twice", parameter=name)
        seen.add(name)
        values[name] = known[name].read(text)
    return values
