"""The errors that people and callers see. Each says what went wrong and what to do."""

from typing import ClassVar


class LogbrookError(Exception):
    """Base of the product's own errors: the command line prints it without a traceback and exits with 1."""


class ConfigError(LogbrookError):
    """A setting is missing, unknown or invalid; the message names its variable."""


class SchemaError(LogbrookError):
    """The database's schema is not what this version of the service needs."""


class RejectedError(LogbrookError):
    """A request that can't be accepted as it is: sending the same request again will not help (HTTP 4xx)."""

    def __init__(self, status: int, code: str, message: str, **place: int | str) -> None:
        super().__init__(message)
        self.status, self.code, self.place = status, code, place


class UnavailableError(LogbrookError):
    """Not now: try the same again after `retry_after_seconds`."""

    status: ClassVar[int] = 503
    """What the HTTP edges answer."""

    def __init__(self, code: str, message: str, retry_after_seconds: int = 1) -> None:
        super().__init__(message)
        self.code, self.retry_after_seconds = code, retry_after_seconds


class BusyError(UnavailableError):
    """Not now: other requests use all capacity, or a quota is used up."""

    status = 429


class KafkaUnavailableError(UnavailableError):
    """Kafka does not answer, or its answer lacks what is needed."""

    def __init__(self, message: str) -> None:
        super().__init__("kafka_unavailable", message)


class ClickHouseUnavailableError(UnavailableError):
    """ClickHouse does not answer."""

    def __init__(self, message: str, retry_after_seconds: int = 1) -> None:
        super().__init__("clickhouse_unavailable", message, retry_after_seconds)
