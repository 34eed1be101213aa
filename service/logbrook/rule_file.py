"""A YAML file with a list of rules: checked as a whole, and refused with the line and column of each mistake."""

from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml

from logbrook.errors import ConfigError
from logbrook.query import language
from logbrook.query.meaning import QuerySyntaxError
from logbrook.query.syntax import Node

Written = TypeVar("Written", bound=msgspec.Struct)


class MistakesError(ConfigError):
    """The file can't be used; the message has a line for each mistake: file:line:column: what is wrong."""


def read(path: Path) -> str:
    """The text of a file. Raises MistakesError."""
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise MistakesError(f"{path}: {error}") from None


class Document:
    """The list under the only key of a YAML text, and the mistakes in it. Paths are msgspec's: $.rules[0].name."""

    def __init__(self, text: str, file: str, key: str) -> None:
        """Parse `text`. Errors cite `file`. Raises MistakesError if `text` is not YAML or has no list under `key`."""
        self._file = file
        self._mistakes = list[str]()
        # The line and column of each value, from 0, by its path.
        self._marks = {"$": (0, 0)}
        try:
            # Every scalar stays text: the label `no` is not false, and 1e3 is not a number.
            node = yaml.compose(text, yaml.BaseLoader)
            document = self._value(node, "$") if node else {}
        except yaml.YAMLError as error:
            at = getattr(error, "problem_mark", None)
            place = f"{at.line + 1}:{at.column + 1}" if at else "1:1"
            raise MistakesError(f"{file}:{place}: not YAML: {getattr(error, 'problem', error)}") from None
        except RecursionError:
            raise MistakesError(f"{file}:1:1: values are nested too deeply, or contain themselves") from None
        if not isinstance(document, dict) or document.keys() != {key} or not isinstance(document[key], list):
            self.wrong("$", f"expected one key, `{key}`, with a list")
            self.refuse_mistakes()
        self.listed: list[Any] = document[key]
        names = [each.get("name") if isinstance(each, dict) else None for each in self.listed]
        for index, name in enumerate(names):
            if name and name in names[:index]:
                self.wrong(f"$.{key}[{index}].name", f"there is another {key.removesuffix('s')} {name}")

    def wrong(self, where: str, message: str, column: int = 0) -> None:
        """Add a mistake in the value at a path, `column` characters into it."""
        while where not in self._marks:
            where = where[: max(where.rfind("."), where.rfind("["), 1)]
        at_line, at_column = self._marks[where]
        self._mistakes.append(f"{self._file}:{at_line + 1}:{at_column + 1 + column}: {message}")

    def refuse_mistakes(self) -> None:
        """Raise MistakesError if there are any."""
        if self._mistakes:
            raise MistakesError("\n".join(self._mistakes))

    def converted(self, given: Any, path: str, kind: type[Written]) -> Written | None:
        """A value of the list as a struct; None if it can't be one. Adds its mistakes, with every unknown field."""
        known = {each.encode_name for each in msgspec.structs.fields(kind)}
        for name in given if isinstance(given, dict) else ():
            if name not in known:
                self.wrong(f"{path}.{name}", f"unknown field `{name}`")
        try:
            return msgspec.convert(given, kind, strict=False)
        except msgspec.ValidationError as error:
            message, _, where = str(error).partition(" - at `")
            self.wrong(path + where.rstrip("`").removeprefix("$"), message)
            return None

    def query(self, path: str, text: str, within: str | None = "") -> Node | None:
        """The query that a text is; None, with its mistake added, if it is not one."""
        try:
            return language.parse(text, within)
        except QuerySyntaxError as error:
            self.wrong(path, f"{error}; expected {error.place['expected']}", int(error.place["position"]))
            return None

    def _value(self, node: yaml.Node, path: str) -> Any:
        """The node as lists, dictionaries, and texts."""
        quoted = isinstance(node, yaml.ScalarNode) and node.style in ("'", '"')
        self._marks[path] = (node.start_mark.line, node.start_mark.column + quoted)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(each, f"{path}[{index}]") for index, each in enumerate(node.value)]
        if not isinstance(node, yaml.MappingNode):
            return node.value
        found = {}
        for key, value in node.value:
            name = str(key.value)
            is_second = name in found
            found[name] = self._value(value, f"{path}.{name}")
            if is_second:
                self.wrong(f"{path}.{name}", f"`{name}` is given twice")
        return found
