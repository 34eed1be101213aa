"""The gateway's process: starts the server, and leaves in order when it is told to."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
import uvicorn
import uvloop

from logbrook.config import Gateway, Kafka, secret_file
from logbrook.connection import Connection
from logbrook.gateway.app import App
from logbrook.gateway.topic import KafkaTopic
from logbrook.rereading import reread
from logbrook.tokens import Tokens

log = structlog.get_logger()

# After SIGTERM the door stays open this long even if nobody is inside: who knocks gets 503 instead of a reset.
_GRACE_SECONDS = 0.5
# For answers that are being written when the time for draining is over.
_LAST_ANSWERS_SECONDS = 1
_TELL_AGAIN_SECONDS = 60.0


class _Server(uvicorn.Server):
    """uvicorn, with signals left to us."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Process:
    """One gateway: server, topic, and the way out. Raises ConfigError if nobody could send."""

    def __init__(self, settings: Gateway, kafka: Kafka) -> None:
        self._settings = settings
        self._tokens = Tokens(
            settings.tokens, allow_anonymous=settings.allow_anonymous, checked_source=settings.checked_source
        )
        self._topic = KafkaTopic(settings, kafka)
        self._app = App(settings, self._tokens, self._topic)
        self._rpc = None
        if settings.grpc_port:
            from logbrook.gateway.rpc import Rpc  # noqa: PLC0415 - its library takes 8 MB: only where it is used

            self._rpc = Rpc(settings, self._app)
        self._server = _Server(
            uvicorn.Config(
                self._app,
                host=settings.host,
                port=settings.port,
                http=Connection,
                ws="none",
                lifespan="off",
                access_log=False,
                proxy_headers=False,
                log_config=None,
                server_header=False,
                headers=[("x-content-type-options", "nosniff"), ("cache-control", "no-store")],
                limit_concurrency=settings.max_connections,
                timeout_keep_alive=int(settings.keep_alive_seconds),
                timeout_graceful_shutdown=_LAST_ANSWERS_SECONDS,
            )
        )
        self._leaving: asyncio.Task[None] | None = None
        self._deadline = 0.0

    async def run(self) -> int:
        """Serve until told to stop; the exit status."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._told_to_stop)
        if self._rpc:
            await self._rpc.start()
        rereading = reread(secret_file(Gateway, "tokens"), self._tokens.renew)
        tasks = [loop.create_task(self._tell_until_ready()), loop.create_task(rereading)]
        await self._server.serve()
        for each in tasks:
            each.cancel()
        if self._rpc:
            await self._rpc.stop()
        left = await self._topic.close(max(0.0, self._deadline - time.monotonic()))
        log.info("gateway stopped", unacknowledged_messages=left)
        return 0 if left == 0 else 1

    async def _tell_until_ready(self) -> None:
        """Say in the log what requests wait for, once and then every minute, until the topic can be used."""
        said, said_at = "", 0.0
        while reason := await self._topic.not_ready():
            if reason != said or time.monotonic() - said_at >= _TELL_AGAIN_SECONDS:
                log.warning("waiting: requests are answered 503", reason=reason)
                said, said_at = reason, time.monotonic()
            await asyncio.sleep(1)
        if said:
            log.info("everything is available now")

    def _told_to_stop(self) -> None:
        if self._leaving is None:
            self._deadline = time.monotonic() + self._settings.drain_seconds
            self._app.draining = True
            self._leaving = asyncio.get_running_loop().create_task(self._leave())
            return
        log.error("stopped at once by a second signal", unacknowledged_messages=self._topic.unacknowledged)
        _leave_now(1)

    async def _leave(self) -> None:
        log.info("stopping", requests_in_flight=self._app.in_flight)
        await asyncio.sleep(min(_GRACE_SECONDS, self._settings.drain_seconds))
        while self._app.in_flight and time.monotonic() < self._deadline:
            await asyncio.sleep(0.02)
        self._app.hurry()
        self._topic.abandon()
        self._server.should_exit = True


def run(gateway: Gateway, kafka: Kafka) -> None:
    """Serve until SIGTERM or SIGINT, then exit: 0 if Kafka has answered for every message, else 1."""
    process = Process(gateway, kafka)
    status = uvloop.new_event_loop().run_until_complete(process.run())
    # Not sys.exit: that waits for threads, of which one may be asking a broker that does not answer.
    _leave_now(status)


def _leave_now(status: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
