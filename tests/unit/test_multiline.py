"""Which lines belong together."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbrook.multiline import group, may_continue

LINES = st.lists(
    st.sampled_from(
        [b"", b"  ", b"a", b" a", b"\ta", b"at f(x)", b"Caused by: y", b"... 3 more",
         b"Traceback (most recent call last):", b"E: x"]
    ),
    max_size=12,
)  # fmt: skip


@pytest.mark.parametrize(
    ("lines", "events"),
    [
        ([], []),
        ([b""], []),
        ([b"a", b"b"], [(0, 1), (1, 2)]),
        ([b"  a", b"b"], [(0, 1), (1, 2)]),
        ([b"a", b"\tat b", b"c"], [(0, 2), (2, 3)]),
        ([b"a", b"", b"b"], [(0, 1), (2, 3)]),
        ([b"a", b"", b"  b"], [(0, 3)]),
        ([b"a", b"Traceback (most recent call last):", b"  f", b"E: x", b"b"], [(0, 4), (4, 5)]),
        ([b"Traceback (most recent call last):", b"  f", b"E: x", b"b"], [(0, 3), (3, 4)]),
    ],
)
def test_events_of_lines(lines: list[bytes], events: list[tuple[int, int]]) -> None:
    """Indented lines, frames and causes join the line before; blank lines count only inside of an event."""
    assert group(lines) == events


@given(LINES)
def test_every_line_that_is_not_blank_is_in_one_event(lines: list[bytes]) -> None:
    """Events follow each other without overlap, begin and end with a line that is not blank, and leave none out."""
    covered = [number for first, last in group(lines) for number in range(first, last)]
    assert covered == sorted(set(covered))
    assert {number for number, line in enumerate(lines) if line.strip()} <= set(covered)
    for first, last in group(lines):
        assert lines[first].strip()
        assert lines[last - 1].strip()


@given(LINES)
def test_the_hint_is_never_wrong(lines: list[bytes]) -> None:
    """Where no line may continue one before, each is an event."""
    if not may_continue(b"\n".join(lines)):
        assert group(lines) == [(number, number + 1) for number, line in enumerate(lines) if line.strip()]
