"""Text that is not Unicode, made so: one bad byte in one record must not cost a sender its whole request."""

import io
import re

# A pair of surrogates is one character; half of one is not. Any other escape is stepped over, so that the
# `\\ud800` of a text with a real backslash is left alone.
_ESCAPE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\."
)
_HALF = re.compile(rb"\\u[dD][89a-fA-F]")


def surrogates(document: bytes) -> bytes:
    """JSON with each half of a surrogate pair that stands alone replaced by U+FFFD, which is as long.

    There is one copy of the document, and none if there is nothing to replace.
    """
    if not _HALF.search(document):
        return document
    mended = io.BytesIO(document)
    with mended.getbuffer() as view:
        for match in _ESCAPE.finditer(document):
            if match[1]:
                view[match.start() : match.end()] = b"\\ufffd"
    return mended.getvalue()


def utf8(text: bytes) -> bytes:
    """Text with each byte that is not UTF-8 replaced by U+FFFD. It may be three times as long."""
    return text.decode(errors="replace").encode()
