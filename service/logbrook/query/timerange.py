"""Points in time as people and programs write them, and ranges of them; all in nanoseconds since 1970."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from logbrook.query.refusals import BadRequestError

SECOND = 10**9
UNITS = {"ms": SECOND // 1000, "s": SECOND, "m": 60 * SECOND, "h": 3600 * SECOND, "d": 86400 * SECOND}
UNITS["w"] = 7 * UNITS["d"]
_RELATIVE = re.compile(r"(?:now)?\s*-?\s*(\d{1,9})\s*(ms|s|m|h|d|w)", re.ASCII)
_NUMBER = re.compile(r"-?\d{1,19}(?:\.\d{1,9})?", re.ASCII)
_FRACTION = re.compile(r"(.*[T ]\d\d:\d\d:\d\d)[.,](\d{1,9})\d*(.*)", re.ASCII)
# What the table's DateTime64(9) holds; an event's own timestamp is kept within.
LOWEST, HIGHEST = -(2**63) // SECOND * SECOND + SECOND, (2**63 - 1) // SECOND * SECOND
BUCKET_SECONDS = 300
# Where the sorting key's bucket, a 32-bit count of seconds, is the time's own.
BUCKET_RANGE = (0, (2**32 - 600) * SECOND)
# Up to this, rows at the edges of the buckets would be a large share: there, the key is compared with the time as well.
_FEW_BUCKETS = 6 * BUCKET_SECONDS * SECOND
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class TimeRange:
    """From `start`, included, to `end`, not included."""

    start: int
    end: int

    def condition(self) -> str:
        """SQL for the rows inside, with the bucket of the sorting key beside the time where it is its own."""
        since, until = f"Timestamp >= {literal(self.start)}", f"Timestamp < {literal(self.end)}"
        if not self.is_bucketed():
            return f"{since} AND {until}"
        seconds = TimeRange(self.start // SECOND, -(-self.end // SECOND))
        if self.end - self.start < _FEW_BUCKETS:
            return f"{buckets(seconds)} AND {since} AND {until}"
        return f"{buckets(seconds)} AND {outside_the_key(since, until)}"

    def is_bucketed(self) -> bool:
        """Whether the bucket of the sorting key is the time's own throughout."""
        return BUCKET_RANGE[0] <= self.start and self.end <= BUCKET_RANGE[1]

    def aligned(self, step: int) -> "TimeRange":
        """The smallest range of whole steps around it."""
        return TimeRange(self.start // step * step, -(-self.end // step) * step)


def buckets(seconds: TimeRange) -> str:
    """SQL for the sorting key's buckets that a range of whole seconds touches; ClickHouse finds it by binary search."""
    first, last = seconds.start // BUCKET_SECONDS * BUCKET_SECONDS, (seconds.end - 1) // BUCKET_SECONDS * BUCKET_SECONDS
    return (
        f"toStartOfFiveMinutes(Timestamp) >= toDateTime({first:d}) "
        f"AND toStartOfFiveMinutes(Timestamp) <= toDateTime({last:d})"
    )


def outside_the_key(since: str, until: str) -> str:
    """SQL for both of two conditions, in a form that ClickHouse does not compare with the sorting key.

    It would do so granule by granule, which for a long range takes longer than all the rest of a search.
    """
    return f"bitAnd({since}, {until})"


def literal(nanoseconds: int) -> str:
    """A point in time as SQL."""
    return f"fromUnixTimestamp64Nano({nanoseconds:d})"


def parse(text: str, now: int, name: str) -> int:
    """RFC 3339 (UTC if it names no zone), a count since 1970 in s, ms, us or ns, `now`, or how long ago (`15m`).

    Raises RejectedError that names the parameter `name`.
    """
    text = text.strip()
    if text in ("", "now"):
        return now
    if found := _RELATIVE.fullmatch(text):
        return clamp(now - int(found[1]) * UNITS[found[2]])
    if _NUMBER.fullmatch(text):
        return clamp(_epoch(text))
    try:
        return _rfc3339(text)
    except (ValueError, OverflowError):
        raise BadRequestError(
            "bad_time",
            f"{name}: {text[:64]!r} is not a time; write 2026-01-31T12:00:00Z, seconds since 1970, or 15m, 2h, 7d",
            parameter=name,
        ) from None


def clamp(nanoseconds: int) -> int:
    """The nearest time that the table can hold."""
    return min(max(nanoseconds, LOWEST), HIGHEST)


def _epoch(text: str) -> int:
    whole, _, fraction = text.partition(".")
    scale = next(
        scale for scale in (SECOND, 10**6, 10**3, 1) if abs(int(whole)) < 10**11 * (SECOND // scale) or scale == 1
    )
    part = int(fraction.ljust(9, "0")) * scale // SECOND if fraction else 0
    return int(whole) * scale + (-part if whole.startswith("-") else part)


def _rfc3339(text: str) -> int:
    nanoseconds = 0
    if found := _FRACTION.fullmatch(text):
        text, nanoseconds = found[1] + found[3], int(found[2].ljust(9, "0"))
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return clamp((moment - _EPOCH) // timedelta(seconds=1) * SECOND + nanoseconds)


def parse_range(start: str, end: str, now: int) -> TimeRange:
    """`from` and `to` of a request. Raises RejectedError if they are in the wrong order."""
    period = TimeRange(parse(start, now, "from"), parse(end, now, "to"))
    if period.start >= period.end:
        raise BadRequestError("bad_range", "from must be before to", parameter="from")
    return period


def rfc3339(nanoseconds: int) -> str:
    """A point in time with all nine digits, in UTC."""
    seconds, rest = divmod(nanoseconds, SECOND)
    return f"{(_EPOCH + timedelta(seconds=seconds)):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"
