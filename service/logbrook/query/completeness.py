"""Until when answers are complete, from what the consumers report (consumer/completeness.py, docs/query.md)."""

import asyncio
import time
from typing import Any

from logbrook.errors import LogbrookError
from logbrook.query import timerange
from logbrook.query.engine import Engine, Statement

_MILLISECOND = timerange.SECOND // 1000
# A report stays true, so an answer may use one that was read for another; only its age counts on.
_READ_AGAIN_SECONDS = 0.5
_PATIENCE_SECONDS = 2.0
_STALE_MS = 3000
# A recreated topic has another id; a topic that was silent a day longer than another is no longer in use.
REPORTED = """
SELECT toUnixTimestamp64Milli(min(until)), toUnixTimestamp64Milli(min(oldest)), sum(behind),
    toUnixTimestamp64Milli(now64(3))
FROM (
    SELECT max(reported_at) AS newest, max(newest) OVER () AS newest_of_all, sum(pending) AS behind,
        count() >= max(partition_count) AS is_whole,
        if(is_whole, min(complete_until), toDateTime64(0, 3)) AS until,
        if(is_whole, min(reported_at), toDateTime64(0, 3)) AS oldest
    FROM (
        SELECT KafkaTopic, KafkaTopicId, KafkaPartition, max(PartitionCount) AS partition_count,
            max(CompleteUntil) AS complete_until, max(ReportedAt) AS reported_at,
            greatest(max(EndOffset) - max(StoredOffset), 0) AS pending
        FROM partition_progress GROUP BY KafkaTopic, KafkaTopicId, KafkaPartition)
    GROUP BY KafkaTopic, KafkaTopicId ORDER BY newest DESC LIMIT 1 BY KafkaTopic)
WHERE newest >= newest_of_all - toIntervalDay(1)
"""


class Completeness:
    """What is known of it, read from ClickHouse at most twice a second."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._read_at, self._known = float("-inf"), dict[str, Any]()

    async def known(self) -> dict[str, Any]:
        """The fields of Answer. What is asked of ClickHouse after this has all that arrived by `complete_until`."""
        if time.monotonic() - self._read_at > _READ_AGAIN_SECONDS:
            read_at = time.monotonic()
            try:
                async with asyncio.timeout(_PATIENCE_SECONDS):
                    [row] = await self._engine.rows(Statement(REPORTED))
            except (LogbrookError, TimeoutError):
                # The tables are older than this version, or ClickHouse is away or busy: no answer fails because of it.
                row = [0, 0, 0, time.time_ns() // 10**6]
            self._known, self._read_at = _fields(*row), read_at
        return self._known


def _fields(complete_ms: int, reported_ms: int, pending: int, now_ms: int) -> dict[str, Any]:
    """As answers have them. A time of 0 is none; one ahead of ClickHouse's clock shows that it was set back."""
    is_known, is_stale = 0 < complete_ms <= now_ms, reported_ms < now_ms - _STALE_MS
    return {
        "complete_until": timerange.rfc3339(complete_ms * _MILLISECOND) if is_known else None,
        "behind_seconds": (now_ms - complete_ms) / 1000 if is_known else None,
        "pending_messages": None if is_stale else pending,
        "unknown_since": timerange.rfc3339(reported_ms * _MILLISECOND) if is_stale and reported_ms else None,
    }
