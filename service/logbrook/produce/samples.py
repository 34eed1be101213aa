"""Sample events as batches, as fast as they are accepted or at a rate."""

import time
from collections.abc import Callable, Iterator

from logbrook.produce.generator import BLOCK_EVENTS
from logbrook.produce.pace import Pace
from logbrook.produce.target import Batch, Stop

_TICK_SECONDS = 0.05


def batches(
    take: Callable[[int], bytes], stop: Stop, *, count: int | None, per_message: int, pace: Pace | None
) -> Iterator[Batch]:
    """`count` events (None: until the user stops), at most `per_message` in a batch.

    `take` makes a number of events, newline-separated.
    """
    # Cutting one large piece is cheaper than making many small ones.
    most = per_message * max(1, BLOCK_EVENTS // per_message)
    left = count
    while (left is None or left > 0) and not stop.level:
        size = most if pace is None else _due(pace, stop)
        if left is not None:
            size = min(size, left)
            left -= size
        while size and not stop.level:
            piece = min(size, most)
            size -= piece
            yield from cut(take(piece), piece, per_message)


def cut(lines: bytes, count: int, per_message: int) -> Iterator[Batch]:
    """`count` newline-separated events as batches of at most `per_message`."""
    if count <= per_message:
        yield Batch(lines, count)
        return
    events = lines.split(b"\n")
    for start in range(0, count, per_message):
        some = events[start : start + per_message]
        yield Batch(b"\n".join(some), len(some))


def _due(pace: Pace, stop: Stop) -> int:
    """Wait until at least one event is due, and return how many are; 0 once the user stops."""
    while not stop.level:
        if due := pace.due():
            return due
        time.sleep(_TICK_SECONDS)
    return 0
