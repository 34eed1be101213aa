"""What the gateway is compared with: a server that reads bodies and does nothing, and a naive gateway.

python -m bench.gateway_peers nothing|naive
"""

import asyncio
import json
import sys
import threading
from typing import Any

import uvicorn
from confluent_kafka import Producer
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from logbrook import config
from logbrook.kafka import producer_config

NAIVE_PATHS = ("/ingest",)
ANSWER = b'{"accepted":1}'


async def nothing(_scope: Scope, receive: Receive, send: Send) -> None:
    """Read the body, answer: the most that an application on this server could do."""
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(ANSWER)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": ANSWER})


def naive() -> Starlette:
    """Parse each event, send each as a message of its own, wait for each: the gateway that one writes first."""
    kafka = config.load(config.Kafka)
    producer = Producer(producer_config(kafka, 20) | {"queue.buffering.max.messages": 1_000_000})
    threading.Thread(target=lambda: [producer.poll(0.1) for _ in iter(int, 1)], daemon=True).start()

    async def ingest(request: Request) -> JSONResponse:
        loop = asyncio.get_running_loop()
        waiting = []
        for line in (await request.body()).splitlines():
            event = json.loads(line)
            event["source"] = "anonymous"
            stored: asyncio.Future[Any] = loop.create_future()
            waiting.append(stored)

            def report(error: Any, _message: Any, stored: asyncio.Future[Any] = stored) -> None:
                loop.call_soon_threadsafe(stored.set_result, error)

            producer.produce(kafka.topic, json.dumps(event).encode(), on_delivery=report)
        await asyncio.gather(*waiting)
        return JSONResponse({"accepted": len(waiting)})

    return Starlette(routes=[Route("/ingest", ingest, methods=["POST"])])


def main() -> None:
    """Serve the kind that is named."""
    app = nothing if sys.argv[1] == "nothing" else naive()
    settings = config.load(config.Gateway)
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        http="httptools",
        loop="uvloop",
        lifespan="off",
        access_log=False,
        log_level="warning",
    )


if __name__ == "__main__":
    main()
