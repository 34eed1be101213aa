"""Which lines of plain text belong together: a stack trace stays in the event that it explains."""

import re
from collections.abc import Sequence

# A line that belongs to the one before, whatever comes after it.
_CONTINUATION = re.compile(
    rb"[ \t]|at \S|Caused by: |Suppressed: |\.\.\. \d+ (?:more|common frames omitted)"  # Java, JavaScript, .NET
    rb"|Traceback \(most recent call last\):"  # Python
    rb"|(?:During handling|The above exception was the direct cause) of the (?:above|following) exception"
    rb"|goroutine \d+ \[|created by \S|exit status \d|\[signal "  # Go
    rb"|[^\s:]+:\d+:in [`']"  # Ruby
    rb"|Stack trace:$|\[(?:stacktrace|previous exception)\]|#\d+ (?:/|[A-Z]:|\{main\}|\[internal)|\"\} ?$"  # PHP
    rb"|stack backtrace:$|note: (?:run with|[Ss]ome details)"  # Rust
    rb"|--- End of |\}[,;)]*$"  # .NET, and the end of an object that Node shows
)
# A line that belongs to the one before if a frame comes after it: the exception itself, a function of Go.
_HEADING = re.compile(rb"(?:[\w$]+[.:\\]+)*[\w$]*(?:Exception|Error|Throwable|Failure)\b|(?:[\w$]+\.)+[\w$]+(?:: |$)")
_FRAME = re.compile(rb"[ \t]+at \S|Caused by: ")
_GO_CALL = re.compile(rb"\S+\(.*\)$")
_TRACEBACK = b"Traceback (most recent call last):"
# The line after this one is what the panic says.
_PANIC = re.compile(rb"thread '.*' panicked at \S+:\d+:\d+:$")
_HINT = re.compile(
    rb"\n(?:" + _CONTINUATION.pattern + rb")|^Traceback \(most recent call last\):|panicked at ", re.MULTILINE
)


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
        joins = in_traceback or _CONTINUATION.match(line) is not None or _is_heading(lines, number)
        # Python's traceback: a heading, indented lines, then one that names the exception.
        in_traceback = line == _TRACEBACK or (in_traceback and line[:1] in b" \t") or _PANIC.match(line) is not None
        if joins and events:
            events[-1] = (events[-1][0], number + 1)
        else:
            events.append((number, number + 1))
    return events


def _is_heading(lines: Sequence[bytes], number: int) -> bool:
    """Whether a line names the exception, or the function of Go, whose frame comes after it."""
    after = lines[number + 1] if number + 1 < len(lines) else b""
    if after[:1] not in (b" ", b"\t", b"C"):
        return False
    line = lines[number]
    if after[:1] == b"\t" and b".go:" in after:
        return _GO_CALL.match(line) is not None
    return _FRAME.match(after) is not None and _HEADING.match(line) is not None


def open_from(lines: Sequence[bytes], events: Sequence[tuple[int, int]]) -> int:
    """How many of `events`, which are those of `lines`, are whole, whatever comes after them.

    The last one may go on, and if it is a heading, it may belong to the one before.
    """
    if not events:
        return 0
    first, end = events[-1]
    alone = end == first + 1 and (_HEADING.match(lines[first]) or _GO_CALL.match(lines[first]))
    return max(0, len(events) - (2 if alone else 1))
