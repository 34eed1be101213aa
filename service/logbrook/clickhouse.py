"""Connections to ClickHouse over its HTTP interface."""

import clickhouse_connect
from clickhouse_connect.driver.exceptions import ClickHouseError
from clickhouse_connect.driver.httpclient import HttpClient
from urllib3.exceptions import ReadTimeoutError

from logbrook.config import ClickHouse
from logbrook.errors import ClickHouseUnavailableError

__all__ = ["ClickHouseError", "HttpClient", "answered_too_late", "connect", "error_code"]

UNKNOWN_TABLE = 60
TIMEOUT_EXCEEDED = 159
MEMORY_LIMIT_EXCEEDED = 241
ACCESS_DENIED = 497


def connect(settings: ClickHouse, *, database: str | None = None) -> HttpClient:
    """A client that never sends a statement twice on its own; one per thread.

    Sessions are off, so that a client can be used again immediately after a timeout. `database` overrides the
    settings' (migrations connect before it exists). Raises UnavailableError if ClickHouse does not answer.
    """
    try:
        client = clickhouse_connect.get_client(
            host=settings.host,
            port=settings.port,
            secure=settings.secure,
            username=settings.username,
            password=settings.password,
            database=settings.database if database is None else database,
            connect_timeout=settings.connect_timeout_seconds,
            send_receive_timeout=settings.timeout_seconds,
            query_retries=0,
            autogenerate_session_id=False,
            client_name="logbrook",
        )
    except ClickHouseError as error:
        place = f"ClickHouse at {settings.host}:{settings.port}"
        if error_code(error) is None:
            said = f"{place} does not answer. `logbrook doctor` says what is wrong."
            raise ClickHouseUnavailableError(said) from error
        raise ClickHouseUnavailableError(f"{place}: {error}") from error
    assert isinstance(client, HttpClient)
    # urllib3 below it would send a request again after some connection errors.
    client.http_retries = 0
    return client


def error_code(error: Exception) -> int | None:
    """ClickHouse's own code for an error (60 is UNKNOWN_TABLE); None if the server did not answer with one."""
    code = getattr(error, "code", None)
    return code if isinstance(code, int) else None


def answered_too_late(error: Exception) -> bool:
    """Whether the server kept the connection and did not answer within the time limit.

    A broken connection is different: the server or the network ended it for some other reason.
    """
    cause = error.__cause__
    return isinstance(getattr(cause, "reason", cause), ReadTimeoutError)
