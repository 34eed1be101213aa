"""Waiting for what a process needs, while its health port is open and says what is missing."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

import structlog

from logbrook import clickhouse, config, schema
from logbrook.clickhouse import ClickHouseError, HttpClient
from logbrook.cluster import Cluster
from logbrook.errors import ConfigError, LogbrookError, SchemaError, UnavailableError
from logbrook.kafka import topic_id

log = structlog.get_logger()

WAIT_SECONDS = 60.0
_PAUSE_SECONDS = 1.0
_SAY_AGAIN_SECONDS = 60.0
_KAFKA_TIMEOUT_SECONDS = 5.0

Answer = TypeVar("Answer")


class Waiting(Generic[Answer]):
    """Retries until it works or the process is told to stop."""

    def __init__(self, attempt: Callable[[], Answer]) -> None:
        self._attempt = attempt
        self._said: tuple[str, float] | None = None
        self.reason: str | None = "starting"
        """What is missing, for /readyz; None once everything is there."""

    def until_there(self, stop: threading.Event) -> Answer | None:
        """What `attempt` returns once it no longer raises LogbrookError; None as soon as `stop` is set.

        Raises ConfigError and anything that is not a LogbrookError at once: waiting does not fix those.
        """
        while not stop.is_set():
            # In a separate thread: an answer that never comes must not keep the process from stopping.
            done, outcome = threading.Event(), list[Answer | Exception]()
            threading.Thread(target=self._try, args=(outcome, done), name="waiting", daemon=True).start()
            while not done.wait(0.05):
                if stop.is_set():
                    return None
            [answer] = outcome
            if not isinstance(answer, Exception):
                self.reason = None
                if self._said is not None:
                    log.info("everything is available now")
                    self._said = None
                return answer
            if isinstance(answer, ConfigError) or not isinstance(answer, LogbrookError):
                raise answer
            self._say(str(answer))
            stop.wait(_PAUSE_SECONDS)
        return None

    def _try(self, outcome: list[Answer | Exception], done: threading.Event) -> None:
        try:
            outcome.append(self._attempt())
        except Exception as error:
            outcome.append(error)
        finally:
            done.set()

    def _say(self, reason: str) -> None:
        """Log it once, and again every minute or when it changes."""
        now, first_words = time.monotonic(), reason.split(":", maxsplit=1)[0]
        self.reason = f"waiting: {reason}"
        if self._said is None or self._said[0] != first_words or now - self._said[1] >= _SAY_AGAIN_SECONDS:
            log.warning("waiting", reason=reason)
            self._said = (first_words, now)


def up_to(seconds: float, what: str, attempt: Callable[[], Answer]) -> Answer:
    """What `attempt` returns once it no longer raises UnavailableError; that error after `seconds`."""
    deadline = time.monotonic() + seconds
    announced = False
    while True:
        try:
            return attempt()
        except UnavailableError as error:
            if time.monotonic() >= deadline:
                raise UnavailableError(error.code, f"no answer within {seconds:g} s: {error}") from error
            if not announced:
                log.info(f"waiting for {what}", at_most_seconds=seconds, error=str(error))
                announced = True
            time.sleep(0.5)


def need_topic(kafka: config.Kafka) -> None:
    """Raises a LogbrookError that says what to do if Kafka does not answer or has no such topic."""
    topic_id(kafka, _KAFKA_TIMEOUT_SECONDS)


def need_tables(database: config.ClickHouse) -> None:
    """Raises a LogbrookError that says what to do if ClickHouse does not answer or lacks part of this version's schema.

    Every part is needed: a table whose view does not exist yet accepts an insert and stores nothing.
    """
    client = clickhouse.connect(database)
    try:
        _need_tables(client, database)
    except ClickHouseError as error:
        raise SchemaError(f"ClickHouse at {database.host}:{database.port}: {error}") from error
    finally:
        client.close()


def _need_tables(client: HttpClient, database: config.ClickHouse) -> None:
    applied = dict[str, str]()
    if Cluster.of(client) is not None:
        rows = client.query(
            "SELECT name, argMax(checksum, applied_at) FROM schema_migrations GROUP BY name"
        ).result_rows
        applied = {row[0]: row[1] for row in rows}
    missing = [each.name for each in schema.tables() if applied.get(each.name) != each.checksum]
    # Which text a view has does not matter here: consumers of two versions work side by side during a deploy.
    missing += [each.name for each in schema.views() if each.name not in applied]
    if missing:
        raise SchemaError(f"ClickHouse's {database.database!r} lacks {', '.join(missing)}: run `logbrook migrate`")
