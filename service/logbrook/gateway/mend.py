"""Text that is no Unicode, made so: one bad byte in one record must not cost a sender its whole request."""

import re

# A pair of surrogates is one character; a half alone is none. Any other escape is stepped over, so that the
# `\\ud800` of a text with a real backslash is left alone.
_ESCAPE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\."
)


def json_text(document: bytes) -> bytes:
    """JSON with each lone surrogate and each invalid byte replaced by U+FFFD; the same bytes if there is none."""
    document = _ESCAPE.sub(lambda match: b"\\ufffd" if match[1] else match[0], document)
    return document.decode(errors="replace").encode()
