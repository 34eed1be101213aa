"""Batches to the gateway over HTTP, a few requests at a time, each repeated under one key until it is answered."""

import http.client
import queue
import random
import threading
import time
import uuid
from urllib.parse import urlsplit

from logbrook import __version__
from logbrook.errors import ConfigError, LogbrookError
from logbrook.produce.target import Batch, Stop, StoppedError, Tally

_CONNECTIONS = 4
_RETRIED = frozenset({429, 502, 503, 504})
_MAX_PAUSE_SECONDS = 30.0
# Longest wait for one answer, above the gateway's own wait for Kafka.
_ANSWER_SECONDS = 30.0
_CONNECTION_ERRORS = (OSError, http.client.HTTPException)


class GatewayTarget:
    """Posts batches to `/ingest`; see Target."""

    def __init__(self, url: str, token: str, stop: Stop, timeout_seconds: float) -> None:
        """`timeout_seconds` bounds all attempts of one request together, and may be infinite.

        Raises ConfigError on a bad URL.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
            raise ConfigError(f"LOGBROOK_GATEWAY_URL: {url!r} is not of the form http(s)://HOST[:PORT]")
        self.tally = Tally()
        self._kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._netloc, self._path = parts.netloc, parts.path.rstrip("/") + "/ingest"
        self._headers = {"User-Agent": f"logbrook/{__version__}"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._stop = stop
        self._timeout_seconds = timeout_seconds
        self._run = uuid.uuid4().hex
        self._fatal = ""
        self._queue: queue.Queue[tuple[str, Batch] | None] = queue.Queue(_CONNECTIONS * 2)
        self._sent = 0
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(_CONNECTIONS)]
        for thread in self._threads:
            thread.start()

    def send(self, batch: Batch) -> None:
        """See Target. Raises LogbrookError once the gateway has said that it will not take any of this."""
        self._sent += 1
        key = batch.key or f"{self._run}-{self._sent}"
        while not self._fatal:
            try:
                self._queue.put((key, batch), timeout=0.1)
            except queue.Full:
                if self._stop.level:
                    raise StoppedError from None
            else:
                self.tally.hand_over(batch.events)
                return
        raise LogbrookError(self._fatal)

    def wait(self) -> None:
        """See Target. Raises LogbrookError as `send` does."""
        if self._fatal:
            raise LogbrookError(self._fatal)
        time.sleep(0.01)

    def close(self) -> None:
        """Let the threads end; those that wait for an answer end with the process."""
        for _ in self._threads:
            try:
                self._queue.put_nowait(None)
            except queue.Full:
                break
        for thread in self._threads:
            thread.join(0.2)

    def _work(self) -> None:
        connection = self._kind(self._netloc, timeout=min(self._timeout_seconds, _ANSWER_SECONDS))
        while (item := self._queue.get()) is not None:
            key, batch = item
            if not self._fatal:
                self._deliver(connection, key, batch)
        connection.close()

    def _deliver(self, connection: http.client.HTTPConnection, key: str, batch: Batch) -> None:
        """Post a batch, again and again under the same key while there is hope; tell the tally what came of it."""
        deadline = time.monotonic() + self._timeout_seconds
        pause = 0.1
        while True:
            wait = pause * random.uniform(0.5, 1.0)  # noqa: S311 - keeps clients from coming back in step
            try:
                status, retry_after, answer = self._post(connection, key, batch)
            except _CONNECTION_ERRORS as error:
                connection.close()
                reason = f"{self._netloc}: {error or type(error).__name__}"
            else:
                reason = f"the gateway answered {status}: {answer}"
                if 200 <= status < 300:
                    self.tally.acknowledge(batch.events, len(batch.payload))
                    return
                if status not in _RETRIED:
                    self._fatal = reason + (" Set LOGBROOK_TOKEN to a token that it knows." if status == 401 else "")
                    self.tally.refuse(batch.events, self._fatal)
                    return
                wait = max(wait, min(retry_after, _MAX_PAUSE_SECONDS))
            if time.monotonic() + wait > deadline or self._stop.level > 1:
                why = "stopped" if self._stop.level > 1 else f"given up after {self._timeout_seconds:g} s"
                self.tally.refuse(batch.events, f"{why}: {reason}")
                return
            time.sleep(wait)
            pause = min(pause * 2, 5.0)

    def _post(self, connection: http.client.HTTPConnection, key: str, batch: Batch) -> tuple[int, float, str]:
        """One attempt: status, Retry-After in seconds (0 if absent), the start of the answer."""
        headers = self._headers | {"Content-Type": batch.kind, "Idempotency-Key": key}
        connection.request("POST", self._path, batch.payload, headers)
        response = connection.getresponse()
        answer = response.read().decode(errors="replace")
        retry_after = response.getheader("Retry-After", "")
        return response.status, float(retry_after) if retry_after.isdigit() else 0.0, answer[:500].strip()
