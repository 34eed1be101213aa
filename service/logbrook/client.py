"""The query API from Python: `Client(url).search("level>=error")`, and tables for notebooks (docs/client.md).

It needs httpx and msgspec; `arrow` needs pyarrow, and `pandas` also pandas.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Self, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from logbrook.errors import BusyError, RejectedError, UnavailableError
from logbrook.query import answers

if TYPE_CHECKING:
    import pandas
    import pyarrow

Answer = TypeVar("Answer", bound=answers.Answer)
Time = str | datetime
"""How long ago (15m, 2h, 7d), RFC 3339, `now`, or a datetime with a zone."""


class Client:
    """A connection to the query API. Threads may share it.

    Methods raise RejectedError if the API refuses a request, and UnavailableError if it can't answer now. Both have the
    API's message and code.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8080",
        *,
        headers: Mapping[str, str] | None = None,
        timeout_seconds: float = 60.0,
    ) -> None:
        self._url = url
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout_seconds, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def search(
        self, query: str = "", *, since: Time = "1h", until: Time = "now", limit: int = 100, cursor: str = ""
    ) -> answers.SearchAnswer:
        """Events, the newest first, at most 1,000; an answer's `cursor` gives the next page."""
        asked = _asked(query, since, until, limit=limit, cursor=cursor)
        return self._get("search", answers.SearchAnswer, asked)

    def histogram(
        self, query: str = "", *, since: Time = "1h", until: Time = "now", by: str = "level", buckets: int = 60
    ) -> answers.HistogramAnswer:
        """Counts over time, by a field."""
        asked = _asked(query, since, until, by=by, buckets=buckets)
        return self._get("histogram", answers.HistogramAnswer, asked)

    def query(self, query: str, *, since: Time = "1h", until: Time = "now", limit: int = 1000) -> answers.QueryAnswer:
        """What the stages of a query make of its events: `level>=error | stats count by service`."""
        return self._get("query", answers.QueryAnswer, _asked(query, since, until, limit=limit))

    def patterns(
        self, query: str = "", *, since: Time = "1h", until: Time = "now", limit: int = 50
    ) -> answers.PatternsAnswer:
        """Similar lines grouped, the most frequent first."""
        return self._get("patterns", answers.PatternsAnswer, _asked(query, since, until, limit=limit))

    def fields(self, *, since: Time = "1h", until: Time = "now") -> answers.FieldsAnswer:
        """The fields that a query may name."""
        return self._get("fields", answers.FieldsAnswer, {"from": _text(since), "to": _text(until)})

    def event(self, event_id: str) -> answers.EventAnswer:
        """One event with its whole body."""
        return self._get(f"events/{quote(event_id, safe='')}", answers.EventAnswer, {})

    def context(self, event_id: str, *, before: int = 20, after: int = 20) -> answers.ContextAnswer:
        """What the same source logged around an event."""
        return self._get("context", answers.ContextAnswer, {"id": event_id, "before": before, "after": after})

    def trace(self, trace_id: str, *, limit: int = 1000) -> answers.TraceAnswer:
        """The events of a trace in order of time."""
        return self._get(f"traces/{quote(trace_id, safe='')}", answers.TraceAnswer, {"limit": limit})

    def alerts(self) -> answers.AlertsAnswer:
        """The rules of `logbrook alert`, and what holds."""
        return self._get("alerts", answers.AlertsAnswer, {})

    def export(
        self, query: str = "", *, since: Time = "1h", until: Time = "now", output_format: str = "ndjson"
    ) -> Iterator[bytes]:
        """All matches, the newest first, piece by piece: as ndjson, csv, arrow or parquet."""
        asked = _asked(query, since, until, format=output_format)
        with reached(self._url), self._http.stream("GET", "/v1/export", params=asked) as response:
            if response.status_code != 200:
                response.read()
                raise refusal(response)
            yield from response.iter_bytes()

    def arrow(self, query: str = "", *, since: Time = "1h", until: Time = "now") -> "pyarrow.Table":
        """All matches as an Arrow table, the newest first."""
        import pyarrow  # noqa: PLC0415 - nothing else needs it

        pieces = self.export(query, since=since, until=until, output_format="arrow")
        return pyarrow.ipc.open_stream(b"".join(pieces)).read_all()

    def pandas(self, query: str = "", *, since: Time = "1h", until: Time = "now") -> "pandas.DataFrame":
        """All matches as a data frame, the newest first; attributes are dictionaries."""
        return self.arrow(query, since=since, until=until).to_pandas(maps_as_pydicts="lossy")

    def _get(self, path: str, answer: type[Answer], asked: dict[str, str | int]) -> Answer:
        with reached(self._url):
            response = self._http.get(f"/v1/{path}", params=asked)
        if response.status_code != 200:
            raise refusal(response)
        try:
            return msgspec.json.decode(response.content, type=answer)
        except ValueError as error:
            raise RejectedError(200, "not_the_api", f"not an answer of this version's query API: {error}") from error


def _asked(query: str, since: Time, until: Time, **more: str | int) -> dict[str, str | int]:
    return {"query": query, "from": _text(since), "to": _text(until), **more}


def _text(time: Time) -> str:
    return time.isoformat() if isinstance(time, datetime) else time


@contextmanager
def reached(url: str) -> Iterator[None]:
    """Raise UnavailableError, which names the address, if the API can't be reached."""
    try:
        yield
    except httpx.HTTPError as error:
        message = f"{url} can't be reached ({type(error).__name__}); is `logbrook query` running?"
        raise UnavailableError("query_unavailable", message) from error


def refusal(response: httpx.Response) -> RejectedError | UnavailableError:
    """The error that the API answered, with its own message."""
    try:
        error = msgspec.json.decode(response.content, type=answers.ErrorAnswer).error
    except ValueError:
        message = f"the service answered {response.status_code}: is this the query API?"
        error = answers.ErrorBody(code="not_the_api", message=message)
    if response.status_code in (429, 503):
        # A proxy may write a date instead of seconds.
        wait = response.headers.get("Retry-After", "")
        wait_seconds = int(wait) if wait.isdecimal() else 1
        return (BusyError if response.status_code == 429 else UnavailableError)(error.code, error.message, wait_seconds)
    place = msgspec.to_builtins(error)
    return RejectedError(response.status_code, place.pop("code"), place.pop("message"), **place)
