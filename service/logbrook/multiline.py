"""Which lines of plain text belong together: a stack trace stays in the event that it explains."""

import re
from collections.abc import Sequence

# A line that belongs to the one before, whatever comes after it.
_CONTINUATION = re.compile(
    rb"[ \t]|at \S*[.(<]|(?:Caused|Wrapped) by:|Suppressed: |\.\.\. \d+ (?:more|common frames omitted)"  # Java, .NET
    rb"|Node\.js v\d|\(Use `node "  # JavaScript
    rb"|Traceback \(most recent call last\):"  # Python
    rb"|(?:During handling|The above exception was the direct cause) of the (?:above|following) exception"
    rb"|\(Background on this error at: "
    rb"|goroutine \d+ \[|created by \S+\.\S|exit status \d|\[signal "  # Go
    rb"|[^\s:]+:\d+:in [`']"  # Ruby
    rb"|Stack trace:$|Next [\w\\]+: |\[(?:stacktrace|previous exception)\]"  # PHP
    rb"|#\d+ (?:/|[A-Z]:|\{main\}|\[internal)|\"\} ?$"
    rb"|stack backtrace:$|note: (?:run with|[Ss]ome details)"  # Rust
    rb"|--- End of |\}[,;)]*$"  # .NET, and the end of an object that Node shows
)
# A line that belongs to the one before if a frame comes after it: the exception itself, a function of Go.
_HEADING = re.compile(
    rb"(?:[\w$]+[.:\\]+)*[\w$]*(?:Exception|Error|Throwable|Failure)\b|(?:[\w$]+\.)+[\w$]+(?:: |$)|\*\* \("
)
_FRAME = re.compile(rb"[ \t]+(?:at \S|---> |\d+: |\(\w+ [\d.]+\) )|Caused by: |Stack trace:$|[^\s:]+:\d+:in [`']")
# Lines of a message may stand between an exception and its frames: not many, and none that begins as an event may.
_EXCEPTION = re.compile(rb"(?:[\w$]+\.)+[\w$]*(?:Exception|Error|Throwable)\b")
_MESSAGE = re.compile(rb"[^\s\d\[{<]")
_MAX_MESSAGE_LINES = 5
# java.util.logging writes two lines: the second one begins with the level.
_FIRST_LINE = re.compile(rb"[A-Z][a-z]{2} \d{1,2}, \d{4} .*[AP]M \S+ \S+$")
_SECOND_LINE = re.compile(rb"[A-Z]+: ")
_GO_CALL = re.compile(rb"\S+\(.*\)$")
_TRACEBACK = b"Traceback (most recent call last):"
# The line after this one is what the panic says.
_PANIC = re.compile(rb"thread '.*' panicked at \S+:\d+:\d+:$")
_HINT = re.compile(
    rb"\n(?:"
    + _CONTINUATION.pattern
    + rb")|[AP]M \S+ \S+\n[A-Z]+: |^Traceback \(most recent call last\):|panicked at ",
    re.MULTILINE,
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
    frame = 0
    for number, line in enumerate(lines):
        if not line or line.isspace():
            continue
        frame = max(frame, _frame_of(lines, number))
        joins = in_traceback or number < frame or _CONTINUATION.match(line) is not None or _is_second(lines, number)
        # Python's traceback: a heading, indented lines, then one that names the exception.
        in_traceback = line == _TRACEBACK or (in_traceback and line[:1] in b" \t") or _PANIC.match(line) is not None
        if joins and events:
            events[-1] = (events[-1][0], number + 1)
        else:
            events.append((number, number + 1))
    return events


def _frame_of(lines: Sequence[bytes], number: int) -> int:
    """The number of the frame that comes after a line that names its exception, or its function of Go; else 0."""
    line, stop = lines[number], len(lines)
    is_exception = _EXCEPTION.match(line) is not None
    if not is_exception and not _HEADING.match(line) and not _GO_CALL.match(line):
        return 0
    after = [at for at in range(number + 1, min(stop, number + 2 + _MAX_MESSAGE_LINES)) if lines[at].strip()]
    for at in after if is_exception else after[:1]:
        if lines[at][:1] == b"\t" and b".go:" in lines[at]:
            return at if _GO_CALL.match(line) else 0
        if _FRAME.match(lines[at]):
            return at if is_exception or _HEADING.match(line) else 0
        if not _MESSAGE.match(lines[at]) or _HEADING.match(lines[at]):
            break
    return 0


def _is_second(lines: Sequence[bytes], number: int) -> bool:
    return (
        number > 0
        and _SECOND_LINE.match(lines[number]) is not None
        and _FIRST_LINE.match(lines[number - 1]) is not None
    )


def open_from(lines: Sequence[bytes], events: Sequence[tuple[int, int]]) -> int:
    """How many of `events`, which are those of `lines`, are whole, whatever comes after them.

    The last one may go on. A heading, with what may be lines of its message, may belong to the one before.
    """
    whole = max(0, len(events) - 1)
    for back, (first, end) in enumerate(reversed(events[-1 - _MAX_MESSAGE_LINES :]), 1):
        if end > first + 1:
            break
        if _HEADING.match(lines[first]) or _GO_CALL.match(lines[first]):
            whole = max(0, len(events) - back - 1)
    return whole
