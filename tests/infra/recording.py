"""The stand-in for Google's APIs as a server on loopback, to which the provider's own variables lead its requests."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.infra.google import Google, RefusedError

# GOOGLE_..._CUSTOM_ENDPOINT: product and version. Monitoring's resources have their version in each path.
_ENDPOINTS = {
    "ARTIFACT_REGISTRY": "artifactregistry/v1",
    "BILLING": "billingbudgets/v1",
    "BILLING_BUDGETS": "billingbudgets/v1",
    "CERTIFICATE_MANAGER": "certificatemanager/v1",
    "CLOUD_BILLING": "cloudbilling/v1",
    "CLOUD_RUN_V2": "run/v2",
    "CLOUD_SCHEDULER": "cloudscheduler/v1",
    "COMPUTE": "compute/beta",
    "CORE_BILLING": "cloudbilling/v1",
    "IAM": "iam/v1",
    "IAM_BETA": "iam/v1",
    "IAP": "iap/v1",
    "LOGGING": "logging/v2",
    "MANAGED_KAFKA": "managedkafka/v1",
    "MONITORING": "monitoring",
    "PARAMETER_MANAGER": "parametermanager/v1",
    "PUBSUB": "pubsub/v1",
    "RESOURCE_MANAGER": "cloudresourcemanager/v1",
    "RESOURCE_MANAGER3": "cloudresourcemanager/v3",
    "RESOURCE_MANAGER_V3": "cloudresourcemanager/v3",
    "SECRET_MANAGER": "secretmanager/v1",
    "SERVICE_USAGE": "serviceusage/v1",
    "STORAGE": "storage/v1",
}


class Server:
    """The APIs on a free port, for as long as the `with` block lasts."""

    def __init__(self, google: Google | None = None) -> None:
        self.google = google or Google()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self.google))
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def endpoints(self) -> dict[str, str]:
        """The provider's environment variables that lead here."""
        return {f"GOOGLE_{name}_CUSTOM_ENDPOINT": f"{self.url}/{place}/" for name, place in _ENDPOINTS.items()}

    def __enter__(self) -> "Server":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(google: Google) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            url, raw = urlsplit(self.path), self._read()
            query = dict(parse_qsl(url.query, keep_blank_values=True))
            try:
                status, found = google.answer(self.command, unquote(url.path), query, json.loads(raw) if raw else None)
            except Exception as error:  # the client is to see it, and the test
                google.problems.append(f"{self.command} {self.path}: {error!r}")
                status, found = 500, RefusedError(500, "internal", repr(error)).body()
            answer = json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def _read(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            chunks = []
            while size := int(self.rfile.readline(), 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(chunks)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 - the base class's names

        def log_message(self, format: str, *_: object) -> None:  # noqa: A002 - the base class's name
            """Nothing: every request is recorded."""

    return Handler
