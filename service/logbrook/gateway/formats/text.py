"""Text: each line is an event, and a stack trace joins the one before it."""

from collections.abc import Iterator

import orjson

from logbrook import multiline
from logbrook.config import Gateway
from logbrook.gateway.batch import Batch, Packing, refuse_large
from logbrook.gateway.formats.format import BOM, Format, beginning

_LIKE_JSON = (b"{", b"[", BOM)
# Lines are split so many bytes at a time.
_PIECE_BYTES = 64 * 1024


def read(body: bytes, settings: Gateway) -> Batch:
    """Each line as a body. Blank lines between events are not events."""
    return split(body, beginning(body), settings)


FORMAT = Format("/ingest", ("text/plain",), read)


def split(body: bytes, start: int, settings: Gateway, tail: bytes = b"}") -> Batch:
    """The same, from `start` on. `tail` is the end of each event: what all of them share, and the brace."""
    packing = Packing(settings)
    for events in _events(body, start, settings.max_message_bytes):
        add(packing, events, settings, tail)
    return Batch(packing.messages(), packing.events)


def _events(body: bytes, start: int, max_message_bytes: int) -> Iterator[list[bytes]]:
    """The events of each piece of `body`."""
    if not multiline.may_continue(memoryview(body)[start:]):
        for lines in pieces(body, start):
            yield [line for line in lines if line and not line.isspace()]
        return
    # The last event so far, of so many lines, and the blank ones after it: the next piece may continue it.
    last: list[bytes] = []
    size = 0
    for lines in pieces(body, start):
        some = last + lines
        groups = multiline.group(some)
        if not groups:
            continue
        whole = multiline.open_from(some, groups)
        yield [b"\n".join(some[begin:end]) for begin, end in groups[:whole]]
        first = groups[whole][0]
        last, size = some[first:], groups[-1][1] - first
        if sum(map(len, last)) + len(last) > max_message_bytes:
            # With what continues it, it would fit into no message. It may still do without the blank lines.
            yield _joined(last[:size])
            last = []
    if last:
        yield _joined(last[:size])


def _joined(lines: list[bytes]) -> list[bytes]:
    return [b"\n".join(lines[begin:end]) for begin, end in multiline.group(lines)]


def pieces(body: bytes, start: int) -> Iterator[list[bytes]]:
    """The lines of `body` from `start` on, without their ends, a piece of the body at a time."""
    while start < len(body):
        end = body.rfind(b"\n", start, start + _PIECE_BYTES) + 1 or body.find(b"\n", start + _PIECE_BYTES) + 1
        piece = body[start : end or len(body)]
        start += len(piece)
        # A search for one byte is ten times as fast as one for two.
        if b"\r" in piece:
            piece = piece.replace(b"\r\n", b"\n")
        yield piece.removesuffix(b"\n").split(b"\n")


def add(packing: Packing, events: list[bytes], settings: Gateway, tail: bytes = b"}") -> None:
    """Texts as `{"body": ...}`; what is not UTF-8 can't be JSON, and goes as a message of its own."""
    refuse_large(events, packing.events, settings)
    texts: list[str] = []
    for event in events:
        try:
            texts.append(event.decode())
        except UnicodeDecodeError:
            if b"\n" in event and event.lstrip().startswith(_LIKE_JSON):
                # As a message of its own, its lines could be taken for an event each.
                texts.append(event.decode(errors="replace"))
                continue
            packing.add(_as_bodies(texts, tail))
            packing.add_alone(event)
            texts = []
    packing.add(_as_bodies(texts, tail))


def _as_bodies(texts: list[str], tail: bytes) -> bytes:
    """Each as `{"body": ...}` on a line of its own."""
    if not texts:
        return b""
    # Indented, JSON has a raw newline between two elements, and nowhere else.
    lines = orjson.dumps(texts, option=orjson.OPT_INDENT_2)[len(b"[\n  ") : -len(b"\n]")]
    return b'{"body":' + lines.replace(b",\n  ", tail + b'\n{"body":') + tail
