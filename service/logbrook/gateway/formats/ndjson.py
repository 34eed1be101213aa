"""Lines of JSON: passed on as they are, and parsed once, in ClickHouse, where a broken one becomes a flagged row."""

import re

import orjson

from logbrook.config import Gateway
from logbrook.gateway.batch import Batch, Packing, all_named, cut, recognizable, too_many_events
from logbrook.gateway.formats import text
from logbrook.gateway.formats.format import Format, beginning

WHITESPACE = b" \t\r\n"
# A line that does not begin like an object.
_NO_OBJECT = re.compile(rb"\n[^{]")
_TOKEN = re.compile(rb"[^ \t\r\n]")


def read(body: bytes, settings: Gateway) -> Batch:
    """Each line that begins like an object as it is, each other one as text."""
    return split(body, beginning(body), settings)


FORMAT = Format(
    "/ingest", ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"), read
)


def first_byte(body: bytes, start: int) -> bytes:
    """The first byte that is not whitespace to JSON."""
    found = _TOKEN.search(body, start)
    return found[0] if found else b""


def split(body: bytes, start: int, settings: Gateway) -> Batch:
    """Lines of JSON, not parsed: two searches at the speed of memory, and no work per line."""
    stop = len(body.rstrip(WHITESPACE))
    if first_byte(body, start) != b"{":
        return _mixed(body, start, settings)
    start = body.index(b"{", start)
    if _NO_OBJECT.search(body, start, stop):
        return _mixed(body, start, settings)
    events = body.count(b"\n", start, stop) + 1
    if events > settings.max_request_events:
        raise too_many_events(settings.max_request_events)
    messages = recognizable(cut(body, start, stop, settings.max_message_bytes))
    return Batch(messages, events, all_named(messages))


def _mixed(body: bytes, start: int, settings: Gateway) -> Batch:
    """Lines that are objects, lines of text, which become bodies, and blank ones, which are not events."""
    packing = Packing(settings)
    for lines in text.pieces(body, start):
        events = [line for each in lines if (line := each.strip(WHITESPACE)) and not line.isspace()]
        try:
            encoded = [
                line if line[:1] == b"{" else b'{"body":' + orjson.dumps(line.decode()) + b"}" for line in events
            ]
        except UnicodeDecodeError:
            for line in events:
                if line[:1] == b"{":
                    packing.add(line)
                else:
                    text.add(packing, [line], settings)
        else:
            packing.add(b"\n".join(encoded))
    messages = recognizable(packing.messages())
    return Batch(messages, packing.events, all_named(messages))
