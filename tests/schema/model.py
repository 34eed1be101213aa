"""How messages are split into events, in plain Python: what docs/schema.md says, to check the view against."""

import orjson

BLANK = b" \t\r\n"
MARKED_BLANK = BLANK + b"\xef\xbb\xbf"


def _valid(text: bytes) -> bool:
    try:
        orjson.loads(text.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError:
        return False
    return True


def _is_object(text: bytes) -> bool:
    return text.lstrip(BLANK).startswith(b"{") and _valid(text)


def events(payload: bytes) -> int:
    """How many events a message has."""
    trimmed = payload.strip(MARKED_BLANK)
    if trimmed.startswith(b"[") and trimmed[1:].lstrip(BLANK)[:1] in (b"{", b"]") and _valid(payload):
        return max(1, len(orjson.loads(trimmed)))
    lines = [line.removesuffix(b"\r") for line in payload.split(b"\n") if line.strip(b" \t\r")]
    if not trimmed.startswith(b"{") or b"\n" not in trimmed:
        return 1
    if all(line.startswith(b"{") for line in lines):
        return len(lines)
    if _valid(payload):
        return 1
    return len(lines) if any(_is_object(line) for line in lines) else 1
