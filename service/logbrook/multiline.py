"""Which lines of plain text belong together: a stack trace stays in the event that it explains."""

import re
from collections.abc import Sequence

# A line that belongs to the one before: indented, or a frame or cause of a Java, JavaScript or .NET stack trace.
_CONTINUATION = re.compile(rb"[ \t]|at \S|Caused by: |Suppressed: |\.\.\. \d+ (?:more|common frames omitted)")
_TRACEBACK = b"Traceback (most recent call last):"
_HINT = re.compile(rb"\n(?:" + _CONTINUATION.pattern + rb")|^Traceback \(most recent call last\):", re.MULTILINE)


def may_continue(text: bytes | memoryview) -> bool:
    """Whether any line of `text` except the first may belong to the one before: cheaper than checking each."""
    return _HINT.search(text) is not None


def group(lines: Sequence[bytes]) -> list[tuple[int, int]]:
    """The events in `lines` (without their ends), each as (first line, line after its last).

    Blank lines inside an event belong to it; between events they are not events.
    """
    events: list[tuple[int, int]] = []
    in_traceback = False
    for number, line in enumerate(lines):
        if not line or line.isspace():
            continue
        joins = in_traceback or line == _TRACEBACK or _CONTINUATION.match(line) is not None
        # Python's traceback: a heading, indented lines, then one that names the exception.
        in_traceback = line == _TRACEBACK or (in_traceback and line[:1] in b" \t")
        if joins and events:
            events[-1] = (events[-1][0], number + 1)
        else:
            events.append((number, number + 1))
    return events
