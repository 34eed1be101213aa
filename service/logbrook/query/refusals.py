"""What the API refuses, and ClickHouse's exceptions as the API's errors."""

import re

from logbrook.errors import BusyError, RejectedError, UnavailableError

_EXCEPTION = re.compile(r"Code: (\d+)\. DB::Exception: (.*)", re.DOTALL)
_PAST_LIMITS = {
    191: "finds more values for `in (...)` than the limit",
    158: "would read more rows than the limit",
    159: "took longer than the limit",
    160: "would take longer than the limit",
    307: "would read more bytes than the limit",
}
_LARGE_RESULT = 396
_MEMORY_LIMIT_EXCEEDED = 241
_CANNOT_COMPILE_REGEXP = 427
_AUTHENTICATION_FAILED = 516
_BUSY = {202, 439, 394}  # too many queries, no thread, cancelled by an administrator
_QUOTA_EXCEEDED = 201


class BadRequestError(RejectedError):
    """A request that can't be understood as it is."""

    def __init__(self, code: str, message: str, **place: int | str) -> None:
        super().__init__(400, code, message, **place)


class NotThereError(RejectedError):
    """What a request names does not exist."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(404, code, message)


class PastLimitsError(RejectedError):
    """A statement that took more time, memory, or rows than it may."""

    def __init__(self, message: str) -> None:
        super().__init__(422, "query_past_limits", message)


class LargeResultError(PastLimitsError):
    """A statement whose result is larger than it may be."""


class StatementError(BadRequestError):
    """ClickHouse refused a statement; `clickhouse_code` is its own code."""

    def __init__(self, clickhouse_code: int, message: str) -> None:
        super().__init__("statement_refused", message)
        self.clickhouse_code = clickhouse_code


def from_clickhouse(  # noqa: PLR0911 - one for each kind
    text: str, code_header: str | None = None
) -> RejectedError | UnavailableError:
    """An exception of ClickHouse as the error that the caller sees."""
    found = _EXCEPTION.search(text)
    code = int(code_header or (found[1] if found else 0))
    message = re.sub(r"\s*\(version [^)]*\)\s*$", "", (found[2] if found else text)[:2000].strip())
    if code == _LARGE_RESULT:
        return LargeResultError(
            "the query has a larger result than the limit; choose a shorter time range or a narrower query"
        )
    if code in _PAST_LIMITS:
        hint = "choose a shorter time range or a narrower query"
        return PastLimitsError(f"the query {_PAST_LIMITS[code]}; {hint}")
    if code == _MEMORY_LIMIT_EXCEEDED:
        if "(total)" in message:
            return UnavailableError("clickhouse_busy", "ClickHouse is short of memory", 5)
        return PastLimitsError("the query needs more memory than the limit; narrow it")
    if code == _CANNOT_COMPILE_REGEXP:
        reason = re.sub(r"[,.;]?\s*(?:Look at https|: ?while |In scope ).*", "", message, flags=re.DOTALL)
        expected = "a regular expression of RE2: without lookaround and backreferences"
        return BadRequestError("query_syntax", reason, expected=expected)
    if code == _AUTHENTICATION_FAILED:
        # The message begins with the name of the user.
        user = message.partition(":")[0]
        hint = "this service has the wrong password for it, or there is no such user (docs/query.md)"
        return UnavailableError("clickhouse_login", f"ClickHouse refuses the login of its user {user!r}: {hint}", 60)
    if code in _BUSY:
        return UnavailableError("clickhouse_busy", "ClickHouse has too much to do or stopped the query", 2)
    if code == _QUOTA_EXCEEDED:
        return BusyError("quota_exceeded", "the quota of queries is used up", 60)
    return StatementError(code, message)
