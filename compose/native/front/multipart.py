"""Requests as multipart/form-data, whose fields count as the URL's parameters: a long text does not fit into a URL."""

from collections.abc import AsyncIterator
from email.message import Message

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser

from native.front.body import MAX_STATEMENT_BYTES
from native.front.errors import EngineError

_MAX_FIELDS_BYTES = 64 * MAX_STATEMENT_BYTES


class Form:
    """Parses a form as it arrives. Files, which are a server's external tables, are refused."""

    def __init__(self, content_type: str) -> None:
        self.fields: dict[str, bytes] = {}
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

    async def read(self, source: AsyncIterator[bytes]) -> dict[str, str]:
        """Read all of it; returns its fields."""
        try:
            async for chunk in source:
                self._parser.write(chunk)
            self._parser.finalize()
        except MultipartParseError as error:
            raise EngineError(36, f"Cannot read the multipart/form-data: {error}") from None
        return {name: value.decode("utf-8", "surrogateescape") for name, value in self.fields.items()}

    def _on_header(self, part: int, data: bytes) -> None:
        self._header[part] += data

    def _on_header_end(self) -> None:
        (field, value), self._header = self._header, [b"", b""]
        if field.lower() != b"content-disposition":
            return
        disposition = value.decode("utf-8", "surrogateescape")
        self._name = _parameter(disposition, "content-disposition", "name")
        if _parameter(disposition, "content-disposition", "filename"):
            raise EngineError(48, f"The external table {self._name} is not supported: store it, or use values()")
        self.fields[self._name] = b""

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        self._size += end - start
        if self._size > _MAX_FIELDS_BYTES:
            raise EngineError(36, f"The fields of the form are larger than {_MAX_FIELDS_BYTES} bytes")
        self.fields[self._name] += data[start:end]


def _parameter(value: str, header: str, name: str) -> str:
    message = Message()
    message[header] = value
    found = message.get_param(name, "", header)
    return found if isinstance(found, str) else ""
