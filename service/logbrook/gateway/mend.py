"""Text that is no Unicode, made so: one bad byte in one record must not cost a sender its whole request."""

import re

# A pair of surrogates is one character; a half alone is none. Any other escape is stepped over, so that the
# `\\ud800` of a text with a real backslash is left alone.
_ESCAPE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\."
)


def surrogates(document: bytes) -> bytes:
    """JSON with each half of a surrogate pair that stands alone replaced by U+FFFD."""
    return _ESCAPE.sub(lambda match: b"\\ufffd" if match[1] else match[0], document)


def utf8(text: bytes) -> bytes:
    """Text with each byte that is no UTF-8 replaced by U+FFFD."""
    return text.decode(errors="replace").encode()
