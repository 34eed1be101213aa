"""The gateway's application over a collecting topic, and requests to it."""

import asyncio
from dataclasses import dataclass
from typing import Any

import httpx

from logbrook.config import Gateway
from logbrook.gateway.app import App, format_of
from logbrook.gateway.batch import Batch
from logbrook.tokens import Tokens
from tests.gateway import reading
from tests.gateway.collecting import CollectingTopic


def read(body: bytes, content_type: str, settings: Gateway) -> Batch:
    """What a body sent to /ingest becomes."""
    found = format_of("/ingest", content_type)
    assert found is not None
    return found.read(body, settings)


@dataclass(frozen=True)
class Door:
    """An application, and what it sent to its topic."""

    app: App
    topic: CollectingTopic

    @classmethod
    def open(cls, settings: Gateway) -> "Door":
        """An application with these settings."""
        topic = CollectingTopic(settings)
        tokens = Tokens(
            settings.tokens, allow_anonymous=settings.allow_anonymous, checked_source=settings.checked_source
        )
        return cls(App(settings, tokens, topic), topic)

    def request(self, method: str, path: str, content: bytes = b"", **headers: str) -> httpx.Response:
        """One request; in the headers' names an underscore stands for a dash."""

        async def send() -> httpx.Response:
            async with self.client() as client:
                pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
                return await client.request(method, path, content=content, headers=pairs)

        return asyncio.run(send())

    def client(self) -> httpx.AsyncClient:
        """For several requests at the same time."""
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://gateway")

    def ingest(self, content: bytes, content_type: str | None = None, **headers: str) -> httpx.Response:
        """Send logs; no content type unless one is given."""
        if content_type is not None:
            headers["content_type"] = content_type
        return self.request("POST", "/ingest", content, **headers)

    @property
    def messages(self) -> list[bytes]:
        """The messages that went to the topic."""
        return [each.value for each in self.topic.kept]

    @property
    def events(self) -> list[Any]:
        """The events in them."""
        return reading.events(self.messages)
