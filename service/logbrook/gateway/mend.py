"""Text that is not Unicode, made so: one bad byte in one record must not cost a sender its whole request."""

import re

# A pair of surrogates is one character; half of one is not. Any other escape is stepped over, so that the
# `\\ud800` of a text with a real backslash is left alone.
_ESCAPE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\."
)


def surrogates(document: bytes) -> bytes:
    """JSON with each half of a surrogate pair that stands alone replaced by U+FFFD, which is as long.

    In place: a substitution would hold every escape of the document at the same time.
    """
    mended = bytearray(document)
    for match in _ESCAPE.finditer(document):
        if match[1]:
            mended[match.start() : match.end()] = b"\\ufffd"
    return bytes(mended)


def utf8(text: bytes) -> bytes:
    """Text with each byte that is not UTF-8 replaced by U+FFFD. It may be three times as long."""
    return text.decode(errors="replace").encode()
