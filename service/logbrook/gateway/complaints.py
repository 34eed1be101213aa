"""Refusals in the gateway's own log: the first of a kind at once, then at most one line a minute with their number."""

import time

import structlog

from logbrook.errors import RejectedError, UnavailableError

log = structlog.get_logger()

_INTERVAL_SECONDS = 60.0


class Complaints:
    """Counts refusals by code between two lines of the log."""

    def __init__(self) -> None:
        self._next: dict[str, float] = {}
        self._unsaid: dict[str, int] = {}

    def add(self, error: RejectedError | UnavailableError, path: str) -> None:
        """Note a refusal, and write it down if its code was not written for a while."""
        now = time.monotonic()
        if now < self._next.get(error.code, 0.0):
            self._unsaid[error.code] = self._unsaid.get(error.code, 0) + 1
            return
        self._next[error.code] = now + _INTERVAL_SECONDS
        log.warning(
            "request refused",
            code=error.code,
            status=error.status,
            path=path[:100],
            reason=str(error),
            # What a library said, which its senders would not understand.
            **({"cause": str(error.__cause__)} if error.__cause__ else {}),
            refused_since_last_line=self._unsaid.pop(error.code, 0) + 1,
        )
