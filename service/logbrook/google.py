"""Log-in to Google's Managed Service for Apache Kafka as the service account that the process runs as.

Protocol: cloud.google.com/managed-service-for-apache-kafka/docs/authentication-kafka. The account's token comes from
the metadata server, which Compute Engine and Cloud Run offer each workload.
"""

import base64
import json
import time
import urllib.request

_METADATA = "http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/"
_TIMEOUT_SECONDS = 5


def kafka_token(_config: str) -> tuple[str, float]:
    """librdkafka's `oauth_cb`: a token and its expiry (Unix seconds). Raises OSError if there is no metadata server."""
    access = json.loads(_metadata("token"))
    now = time.time()
    expires = now + float(access["expires_in"])
    claims = {"iss": "Google", "scope": "kafka", "sub": _metadata("email"), "iat": int(now), "exp": int(expires)}
    parts = (json.dumps({"typ": "JWT", "alg": "GOOG_OAUTH2_TOKEN"}), json.dumps(claims), str(access["access_token"]))
    return ".".join(base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in parts), expires


def _metadata(name: str) -> str:
    request = urllib.request.Request(_METADATA + name, headers={"Metadata-Flavor": "Google"})  # noqa: S310 - a constant
    with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310
        return str(answer.read().decode())
