"""A sender that does not give up: it sends again what was not acknowledged, under the same idempotency key."""

import itertools
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from tests.compose.stack import Stack

EVENTS_A_REQUEST = 20
# A request takes a fraction of it: the machine's time is for what is tested.
_PAUSE_SECONDS = 0.05


class Load:
    """Numbered events of one service, request after request."""

    def __init__(self, stack: Stack, service: str) -> None:
        self.service = service
        self.accepted = 0
        self.refusals = 0
        self._url, self._token = f"http://127.0.0.1:{stack.gateway_port}/ingest", stack.token
        self._stop = threading.Event()
        self._client = httpx.Client(timeout=30)

    def run(self) -> None:
        """Send until told to stop; what was begun is brought to its end."""
        numbers = itertools.count()
        while not self._stop.is_set():
            lines = [
                f'{{"service": "{self.service}", "message": "event {next(numbers)}"}}' for _ in range(EVENTS_A_REQUEST)
            ]
            key = str(uuid.uuid4())
            while not self._sent("\n".join(lines), key):
                self.refusals += 1
                self._stop.wait(0.2)
            self.accepted += EVENTS_A_REQUEST
            self._stop.wait(_PAUSE_SECONDS)
        self._client.close()

    def _sent(self, body: str, key: str) -> bool:
        headers = {
            "Authorization": f"Bearer {self._token}",
            "Content-Type": "application/x-ndjson",
            "Idempotency-Key": key,
        }
        try:
            return self._client.post(self._url, content=body, headers=headers).status_code == 200
        except httpx.HTTPError:
            return False

    def end(self) -> None:
        """Let it end."""
        self._stop.set()


@contextmanager
def load(stack: Stack, service: str) -> Iterator[Load]:
    """Events of a service for the time of the block; at its end all of them are acknowledged."""
    sender = Load(stack, service)
    thread = threading.Thread(target=sender.run)
    thread.start()
    try:
        yield sender
    finally:
        sender.end()
        thread.join(120)
        assert not thread.is_alive()
