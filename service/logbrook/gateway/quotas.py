"""How much each source may send: bytes a second and bytes a day, counted as the events' messages.

A request is let in as long as its source is within its quota, before its body is read, and then counts with all of its
bytes: no request is cut in two, and a source may be over its quota by what was open at that moment.
"""

import math
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from logbrook import metrics
from logbrook.config import Gateway
from logbrook.errors import BusyError
from logbrook.tokens import Grant

_DAY_SECONDS = 86_400


@dataclass
class _Account:
    """What a source has sent: `owed` bytes that its rate has not paid off by the time `at`, and `today` so far."""

    owed: float = 0.0
    at: float = 0.0
    today: int = 0


class Quotas:
    """The quotas of this gateway, which are its share of the whole."""

    def __init__(self, settings: Gateway, clock: Callable[[], float] = time.time) -> None:
        self._settings, self._clock = settings, clock
        self._accounts: dict[str, _Account] = defaultdict(_Account)

    def check(self, grant: Grant) -> None:
        """Raise BusyError (429), with the time to wait, if the source has used up one of its quotas."""
        source = grant.source
        per_second = self._share(grant.bytes_per_second, self._settings.source_bytes_per_second)
        per_day = self._share(grant.bytes_per_day, self._settings.source_bytes_per_day)
        account, now = self._accounts[source], self._clock()
        if now // _DAY_SECONDS != account.at // _DAY_SECONDS:
            account.today = 0
        account.owed = max(0.0, account.owed - max(0.0, now - account.at) * per_second) if per_second else 0.0
        account.at = now
        if per_day and account.today >= per_day:
            wait = _DAY_SECONDS - now % _DAY_SECONDS
            self._refuse(
                source, f"{source} has sent its {per_day:,.0f} bytes of today; the day ends at 00:00 UTC.", wait
            )
        over = account.owed - per_second * self._settings.source_burst_seconds
        if per_second and over >= 0:
            self._refuse(source, f"{source} sends more than its {per_second:,.0f} bytes a second.", over / per_second)

    def spend(self, source: str, size: int) -> None:
        """Count bytes that a source sends; a negative `size` gives back what could not be stored."""
        account = self._accounts[source]
        account.owed += size
        account.today += size

    def _share(self, own: int | None, default: int) -> float:
        return (default if own is None else own) / max(1, self._settings.instances)

    @staticmethod
    def _refuse(source: str, message: str, wait_seconds: float) -> None:
        metrics.gateway_over_quota_total.labels(source).inc()
        raise BusyError("over_quota", message, math.floor(wait_seconds) + 1)
