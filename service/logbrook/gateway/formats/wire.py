"""Protobuf's wire format, walked without building anything: a large message as parts that are small enough to build.

https://protobuf.dev/programming-guides/encoding/
"""

from dataclasses import dataclass

from logbrook.config import Gateway
from logbrook.errors import RejectedError
from logbrook.gateway.batch import too_many_events
from logbrook.gateway.formats.unfit import check_part

# What is built at a time. Of embedded messages that are empty, two bytes each become more than a hundred.
_PART_BYTES = 2**20
_VARINT, _I64, _LEN, _I32 = 0, 1, 2, 5
_FIXED_BYTES = {_I64: 8, _I32: 4}
_VARINT_BYTES = 10


@dataclass(frozen=True, slots=True)
class Part:
    """Where something stands in the body: fields of a message or, `alone`, an embedded message that is large."""

    start: int
    stop: int
    alone: bool = False


class Wire:
    """A body, and how many fields of it may still be walked: a request has three levels of them at most."""

    def __init__(self, body: bytes, settings: Gateway) -> None:
        self._body, self._settings = body, settings
        self._left = 3 * settings.max_request_events

    def __getitem__(self, part: Part) -> bytes:
        """Its bytes."""
        return self._body[part.start : part.stop]

    def whole(self) -> Part:
        """All of it."""
        return Part(0, len(self._body))

    def cut(self, message: Part, number: int) -> tuple[bytes, list[Part]]:
        """A message without its repeated field `number`, which is one of messages, and the parts that have this field.

        Raises RejectedError: 400 if it is not a message, 413 if it has more fields than a request may have. Raises
        Unfit if what is not that field is too large to be built.
        """
        if message.stop - message.start <= _PART_BYTES:
            return self[message], [Part(message.start, message.stop)]
        wanted = number << 3 | _LEN
        head: list[bytes] = []
        head_bytes = 0
        parts: list[Part] = []
        at = start = message.start
        while at < message.stop:
            tag, content, end = self._field(at, message.stop)
            large = end - content > _PART_BYTES
            if tag != wanted or large or end - start > _PART_BYTES:
                parts.append(Part(start, at))
                start = at
            if tag != wanted:
                head_bytes += end - at
                check_part(head_bytes, self._settings)
                head.append(self._body[at:end])
                start = end
            elif large:
                parts.append(Part(content, end, alone=True))
                start = end
            at = end
        parts.append(Part(start, at))
        return b"".join(head), [part for part in parts if part.start < part.stop]

    def _field(self, at: int, stop: int) -> tuple[int, int, int]:
        """The tag of the field at `at`, where its content begins, and where it ends: at `stop` or before."""
        self._left -= 1
        if self._left < 0:
            raise too_many_events(self._settings.max_request_events)
        try:
            tag, content, end = _field(self._body, at)
        except IndexError:
            raise _broken("it ends in the middle of a field") from None
        if end > stop:
            raise _broken("a field ends after its message")
        return tag, content, end


def _field(body: bytes, at: int) -> tuple[int, int, int]:
    """The tag of the field at `at`, where its content begins, and where it ends."""
    tag, at = _varint(body, at)
    if not 8 <= tag < 2**32:
        raise _broken(f"no field has the number {tag >> 3}")
    kind = tag & 7
    if kind == _LEN:
        size, at = _varint(body, at)
        return tag, at, at + size
    if kind == _VARINT:
        return tag, at, _varint(body, at)[1]
    if kind in _FIXED_BYTES:
        return tag, at, at + _FIXED_BYTES[kind]
    raise _broken(f"a field has the wire type {kind}")


def _varint(body: bytes, at: int) -> tuple[int, int]:
    """The number at `at`, and where it ends."""
    value = body[at]
    if value < 128:
        return value, at + 1
    value &= 127
    for place in range(1, _VARINT_BYTES):
        byte = body[at + place]
        value |= (byte & 127) << 7 * place
        if byte < 128:
            return value, at + place + 1
    raise _broken("a number has more than ten bytes")


def _broken(reason: str) -> RejectedError:
    return RejectedError(400, "broken_protobuf", f"The body is not a request in protobuf: {reason}.")
