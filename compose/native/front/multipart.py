"""Requests as multipart/form-data: parameters as fields, temporary tables as files."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from email.message import Message
from pathlib import Path

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser

from native.front.body import MAX_STATEMENT_BYTES, Spool
from native.front.errors import EngineError
from native.front.statement import External

_MAX_FIELDS_BYTES = 64 * MAX_STATEMENT_BYTES


class Form:
    """Parses a form as it arrives: small fields go into memory, files into spools."""

    def __init__(self, content_type: str, directory: Path, stack: contextlib.ExitStack) -> None:
        """The spools live as long as the stack."""
        self.fields: dict[str, bytes] = {}
        self.files: dict[str, Spool] = {}
        self._directory, self._stack = directory, stack
        self._header = [b"", b""]
        self._name = ""
        self._size = 0
        boundary = _parameter(content_type, "content-type", "boundary")
        if not boundary:
            raise EngineError(36, "multipart/form-data without a boundary")
        self._parser = MultipartParser(
            boundary,
            {
                "on_header_field": lambda data, start, end: self._on_header(0, data[start:end]),
                "on_header_value": lambda data, start, end: self._on_header(1, data[start:end]),
                "on_header_end": self._on_header_end,
                "on_part_data": self._on_data,
            },
        )

    async def read(self, source: AsyncIterator[bytes]) -> None:
        """Read all of it."""
        try:
            async for chunk in source:
                self._parser.write(chunk)
            self._parser.finalize()
        except MultipartParseError as error:
            raise EngineError(36, f"Cannot read the multipart/form-data: {error}") from None

    def externals(self, options: Mapping[str, str]) -> list[External]:
        """The temporary tables, whose columns the other parameters describe."""
        found = []
        for name, spool in self.files.items():
            structure = options.get(f"{name}_structure")
            if structure is None:
                types = options.get(f"{name}_types", "").split(",")
                if types == [""]:
                    raise EngineError(36, f"No {name}_structure or {name}_types for the external table {name}")
                structure = ", ".join(f"_{index} {kind}" for index, kind in enumerate(types, 1))
            found.append(External(name, structure, options.get(f"{name}_format", "TabSeparated"), str(spool.path)))
        return found

    def _on_header(self, part: int, data: bytes) -> None:
        self._header[part] += data

    def _on_header_end(self) -> None:
        (field, value), self._header = self._header, [b"", b""]
        if field.lower() != b"content-disposition":
            return
        disposition = value.decode("utf-8", "surrogateescape")
        self._name = _parameter(disposition, "content-disposition", "name")
        if _parameter(disposition, "content-disposition", "filename"):
            self.files[self._name] = self._stack.enter_context(Spool(self._directory, 0))
        else:
            self.fields[self._name] = b""

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        if self._name in self.files:
            self.files[self._name].write(memoryview(data)[start:end])
            return
        self._size += end - start
        if self._size > _MAX_FIELDS_BYTES:
            raise EngineError(36, f"The fields of the form are larger than {_MAX_FIELDS_BYTES} bytes")
        self.fields[self._name] += data[start:end]


def _parameter(value: str, header: str, name: str) -> str:
    message = Message()
    message[header] = value
    found = message.get_param(name, "", header)
    return found if isinstance(found, str) else ""
