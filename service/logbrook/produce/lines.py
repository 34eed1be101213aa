"""Bytes of a log file to lines, lines to events, events to batches. No byte of a line is changed or lost.

A line ends at LF or CRLF. A line of text becomes `{"body": ...}`; what is not UTF-8 can't be JSON and is sent as a
message of its own, or as ISO 8859-1 if a service has to be named with it. A line of JSON is sent as it is. What only
files have is left out: the zeros of one that was cut while it was written.
"""

import contextlib
import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import orjson

from logbrook import multiline
from logbrook.produce.target import TEXT, Batch

Format = Literal["auto", "text", "json"]

MAX_BATCH_EVENTS = 1_000
MAX_BATCH_BYTES = 512 * 1024
# Above this, an event does not fit into a Kafka message (1 MB by default) and is cut into several.
MAX_EVENT_BYTES = 800_000
# As JSON, a byte may become six: a piece fits whatever is in it.
_PIECE_BYTES = MAX_EVENT_BYTES // 6 - 100
_JSON_START = re.compile(rb'^[ \t]*(?:[\[,][ \t]*)?\{\s*["}]', re.MULTILINE)
# An object over several lines, of which all but the first and the last are indented further. It may stand in an array.
_OPENING = rb"^([ \t]*),?[ \t]*\{(?:[^\n]*[^}\s,],?)?[ \t]*\r?\n"
_PRETTY = re.compile(_OPENING + rb"(?:\1[ \t]+[^\n]*\n)+\1\}[ \t]*,?$", re.MULTILINE)
_OPEN = re.compile(_OPENING + rb"(?:\1[ \t][^\n]*\n)*\Z", re.MULTILINE)
_CLOSING = re.compile(rb"^[ \t]*\}[ \t]*,?\r?$", re.MULTILINE)
_PADDING = re.compile(rb"^\0{8,}", re.MULTILINE)
_NAMED = re.compile(rb'"(?:service|service\.name|service_name|app)"\s*:')


@dataclass(frozen=True)
class Reading:
    """How the lines of a file are to be read.

    `service` is the name for events that name none; `{file}` in it stands for the file's name.
    """

    format: Format = "auto"
    multiline: bool = True
    service: str | None = None

    def of(self, path: str) -> "Reading":
        """The same for one file: `/var/log/kafka.log` is the service `kafka`, if `service` is `{file}`."""
        if self.service is None:
            return self
        return replace(self, service=self.service.replace("{file}", "stdin" if path == "-" else Path(path).stem))


def split(data: bytes) -> list[bytes]:
    """The lines of `data` without their ends. A last line without an end counts, if it is not empty."""
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n")
    if b"\0" in data:
        data = _PADDING.sub(b"", data)
    lines = data.split(b"\n")
    if not lines[-1]:
        lines.pop()
    return lines


def complete(data: bytes, reading: Reading) -> int:
    """How many bytes from the start of `data` are whole events, whatever comes after it."""
    end = data.rfind(b"\n") + 1
    if reading.format != "text" and (opened := _OPEN.search(data, 0, end)):
        end = opened.start()
    if not reading.multiline or end == 0:
        return end
    lines = split(data[:end])
    last = lines[-1].rstrip()
    if reading.format != "text" and (
        (last[-1:] == b"}" and _JSON_START.match(last)) or (last == b"]" and _JSON_START.search(data))
    ):
        return end
    # The last event may go on. It starts so many lines before the end:
    starts = multiline.group(lines)
    first = starts[multiline.open_from(lines, starts)][0] if starts else 0
    for _ in range(len(lines) - first):
        end = data.rfind(b"\n", 0, end - 1) + 1
    return end


def encode(data: bytes, reading: Reading) -> Iterator[Batch]:
    """The events of `data`, which ends where an event does, as batches in order."""
    lines = split(data)
    prefix = b'{"body":' if reading.service is None else b'{"service":%b,"body":' % orjson.dumps(reading.service)
    if reading.format == "json" or (reading.format == "auto" and _JSON_START.search(data)):
        if _CLOSING.search(data):
            lines = _PRETTY.sub(lambda found: found[0].replace(b"\n", b" "), b"\n".join(lines)).split(b"\n")
        return _pack(_json(lines, prefix, reading))
    if reading.multiline:
        lines = _joined(lines)
    return _pack(_text(lines, prefix, named=reading.service is not None))


Event = tuple[bytes, bool]
"""An event's bytes, and whether they are a message of their own."""


def _joined(lines: list[bytes]) -> list[bytes]:
    if not multiline.may_continue(b"\n".join(lines)):
        return [line for line in lines if line and not line.isspace()]
    return [b"\n".join(lines[first:last]) for first, last in multiline.group(lines)]


def _text(lines: Iterable[bytes], prefix: bytes, *, named: bool) -> Iterator[Event]:
    for line in lines:
        try:
            event = prefix + orjson.dumps(line.decode()) + b"}"
        except UnicodeDecodeError:
            if named:
                # Each byte is a character of this encoding, so that none is lost.
                event = prefix + orjson.dumps(line.decode("latin-1")) + b',"encoding":"ISO-8859-1"}'
            elif len(line) <= MAX_EVENT_BYTES:
                yield line, True
                continue
            else:
                event = b""
        if 0 < len(event) <= MAX_EVENT_BYTES:
            yield event, False
        else:
            yield from _text(_pieces(line), prefix, named=named)


def _pieces(line: bytes) -> Iterator[bytes]:
    """A long line in several pieces, none of which splits a character."""
    start = 0
    while start < len(line):
        end = start + _PIECE_BYTES
        # 0b10xxxxxx continues a character of at most four bytes.
        back = next((n for n in range(4) if end >= len(line) or line[end - n] & 0xC0 != 0x80), 0)
        yield line[start : end - back]
        start = end - back


def _json(lines: Iterable[bytes], prefix: bytes, reading: Reading) -> Iterator[Event]:
    """Objects as they are, and between them lines of text (a stack trace that bypassed the logger, say).

    The brackets and commas of an array around the objects are left out.
    """
    text: list[bytes] = []
    for line in itertools.chain.from_iterable(map(_elements, lines)):
        start = line.lstrip(b" \t\r\n\f\v,")
        if start[:1] != b"{" or len(line) > MAX_EVENT_BYTES:
            if text or line.strip() not in (b"[", b"]"):
                text.append(line)
            continue
        if start.endswith(b"},"):
            start = start[:-1]
        if text:
            yield from _between(text, prefix, reading)
            text = []
        if reading.service is not None and not _NAMED.search(start):
            rest = start[1:].lstrip()
            start = prefix.removesuffix(b',"body":') + (b"" if rest[:1] == b"}" else b",") + _utf8(rest)
        yield start, False
    yield from _between(text, prefix, reading)


def _elements(line: bytes) -> list[bytes]:
    """The objects of an array on one line, or the line."""
    if line[:1] == b"[" and line.rstrip()[-1:] == b"]":
        with contextlib.suppress(orjson.JSONDecodeError):
            elements = orjson.loads(line)
            if elements and all(isinstance(each, dict) for each in elements):
                return [orjson.dumps(each) for each in elements]
    return [line]


def _utf8(rest: bytes) -> bytes:
    """The rest of an object, as text of ISO 8859-1 if it is not UTF-8: no parser takes it otherwise."""
    try:
        rest.decode()
    except UnicodeDecodeError:
        return b'"encoding":"ISO-8859-1",' + rest.decode("latin-1").encode()
    return rest


def _between(lines: list[bytes], prefix: bytes, reading: Reading) -> Iterator[Event]:
    events = _joined(lines) if reading.multiline else [line for line in lines if line.strip()]
    return _text(events, prefix, named=reading.service is not None)


def _pack(events: Iterable[Event]) -> Iterator[Batch]:
    """Consecutive events as batches under both limits."""
    held: list[bytes] = []
    size = 0
    for event, alone in events:
        full = len(held) == MAX_BATCH_EVENTS or size + len(event) > MAX_BATCH_BYTES
        if held and (alone or full):
            yield Batch(b"\n".join(held), len(held))
            held, size = [], 0
        if alone:
            yield Batch(event, 1, TEXT)
        else:
            held.append(event)
            size += len(event) + 1
    if held:
        yield Batch(b"\n".join(held), len(held))
