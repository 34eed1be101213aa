"""OTLP over gRPC, on a port of its own: the decoder, the limits, and the promise of /v1/logs.

https://opentelemetry.io/docs/specs/otlp/#otlpgrpc; health checks as in
https://github.com/grpc/grpc/blob/master/doc/health-checking.md.
"""

import time
from collections import Counter
from collections.abc import Mapping
from typing import Any, cast

import grpc
import structlog

from logbrook import metrics
from logbrook.config import Gateway
from logbrook.errors import ConfigError, RejectedError, UnavailableError
from logbrook.gateway import bodies
from logbrook.gateway.app import App
from logbrook.gateway.formats import otlp, otlp_protobuf

log = structlog.get_logger()

PATH = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
_CODES = {int(each.value[0]): each for each in grpc.StatusCode}
# HealthCheckResponse: field 1 is the status.
_SERVING, _NOT_SERVING = b"\x08\x01", b"\x08\x02"
_STREAMS = 100


class Rpc:
    """The gRPC server beside the application's HTTP."""

    def __init__(self, settings: Gateway, app: App) -> None:
        self._settings, self._app = settings, app
        self._server: Any = None
        # By source. Half of the memory for bodies is the most that one may hold for messages that do not come.
        self._awaited: Counter[str] = Counter()
        self._most_awaited = max(1, settings.max_buffered_bytes // (4 * settings.grpc_max_message_bytes))

    async def start(self) -> None:
        """Listen. Raises ConfigError if the port is taken."""
        limit = self._settings.grpc_max_message_bytes
        # As sent and inflated: nothing larger is inflated.
        options = [("grpc.max_receive_message_length", limit), ("grpc.max_concurrent_streams", _STREAMS)]
        options += [("grpc.max_connection_idle_ms", int(1000 * self._settings.keep_alive_seconds))]
        self._server = grpc.aio.server(options=[*options, ("grpc.so_reuseport", 0)])
        for path, handler in ((PATH, self._export), ("/grpc.health.v1.Health/Check", self._check)):
            service, name = path[1:].split("/")
            # For a stream of one message, which on the wire is the same as a message: the handler begins before it is
            # read. Without serializers, it gets and returns bytes.
            made: Any = grpc.stream_unary_rpc_method_handler(handler)
            self._server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, {name: made})])
        address = f"{self._settings.host}:{self._settings.grpc_port}"
        try:
            self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise ConfigError(f"LOGBROOK_GATEWAY_GRPC_PORT: can't listen on {address}: {error}") from None
        await self._server.start()

    async def stop(self) -> None:
        """Close the port. Requests that are still open are cut off."""
        await self._server.stop(None)

    async def _export(self, _messages: object, context: Any) -> bytes:
        started, status = time.perf_counter(), 200
        self._app.in_flight += 1
        try:
            return await self._answer(context)
        except (RejectedError, UnavailableError) as error:
            status = error.status
            return self._refuse(error, context)
        except Exception:
            log.exception("a request made the gateway fail", path=PATH)
            status = 500
            return self._refuse(RejectedError(500, "internal", "The gateway failed; its log says why."), context)
        finally:
            self._app.in_flight -= 1
            metrics.gateway_requests_total.labels(PATH, str(status)).inc()
            metrics.gateway_request_seconds.labels(PATH).observe(time.perf_counter() - started)

    async def _answer(self, context: Any) -> bytes:
        """Who may send is decided before a byte of the message is read, and there is room for it before it comes."""
        grant = self._app.admit(cast(Mapping[str, str], dict(context.invocation_metadata())))
        grant.check_path(otlp_protobuf.FORMAT.path)
        limit = self._settings.grpc_max_message_bytes

        async def receive(lease: bodies.Lease) -> bodies.Body:
            if self._awaited[grant.source] >= self._most_awaited:
                raise bodies.too_busy()
            lease.take(2 * limit)
            self._awaited[grant.source] += 1
            try:
                # gRPC's own iterator would be in a cycle with the message, and keep it until a garbage collection.
                received: Any = await self._app.in_time(context.read())
            finally:
                self._awaited[grant.source] -= 1
            message = b"" if received is grpc.aio.EOF else received
            lease.keep(len(message))
            return bodies.Body(message, "identity", lease, limit)

        return otlp_protobuf.response(await self._app.take(grant, None, receive, otlp_protobuf.read))

    def _refuse(self, error: RejectedError | UnavailableError, context: Any) -> bytes:
        """A status and, in its details, google.rpc.Status; with RetryInfo where sending it again will help.

        It is set, not raised: the traceback would keep the message until a garbage collection.
        """
        self._app.complain(error, PATH)
        context.set_code(_CODES[otlp.code(error)])
        context.set_details(str(error))
        context.set_trailing_metadata((("grpc-status-details-bin", otlp_protobuf.status(error)),))
        return b""

    async def _check(self, _messages: object, _context: Any) -> bytes:
        is_ready = not self._app.draining and await self._app.not_ready() is None
        return _SERVING if is_ready else _NOT_SERVING
