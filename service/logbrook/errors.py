"""The errors that people and callers see. Each carries what went wrong and what to do."""


class LogbrookError(Exception):
    """Base of the product's own errors: the command line prints it without a traceback and exits with 1."""


class ConfigError(LogbrookError):
    """A setting is missing, unknown or does not fit; the message names its variable."""


class SchemaError(LogbrookError):
    """The database's schema is not what this version of the service needs."""


class RejectedError(LogbrookError):
    """A request that can't be taken as it is: sending the same again will not help (HTTP 4xx)."""

    def __init__(self, status: int, code: str, message: str, **place: int | str) -> None:
        super().__init__(message)
        self.status, self.code, self.place = status, code, place


class UnavailableError(LogbrookError):
    """Not now: try the same again after `retry_after_seconds` (HTTP 429 or 503)."""

    def __init__(self, status: int, code: str, message: str, retry_after_seconds: int = 1) -> None:
        super().__init__(message)
        self.status, self.code, self.retry_after_seconds = status, code, retry_after_seconds
