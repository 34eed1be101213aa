"""Names, TCP and TLS: whether an address can be reached from here at all."""

import errno
import socket
import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

from logbrook.doctor.diagnosis import Answer, Diagnosis, Found
from logbrook.doctor.place import CONNECT_SECONDS, within

UNRESOLVED = Diagnosis(
    "address.unresolved",
    "A host name leads to no address.",
    "Correct the name in the setting. Names of containers work inside their network only, those of a VPC inside it.",
)
REFUSED = Diagnosis(
    "address.refused",
    "The machine is there, but nothing listens on the port.",
    "Start the process, or look why it ends (`make local-status`, `docker compose ps`, on GCP the node's services); "
    "else correct the port in the setting.",
)
DROPPED = Diagnosis(
    "address.dropped",
    "Packets to an address are swallowed: by a firewall, or because nobody has that address.",
    "Compare the address in the setting with the machine's. On GCP: the firewall rule run-to-node must admit the "
    "caller's subnet and this port, and the Cloud Run service needs Direct VPC egress into that subnet.",
)
NO_ROUTE = Diagnosis(
    "address.no_route",
    "There is no way from here to an address.",
    "Correct the address in the setting, or stand where that network can be reached: in the VPC, or behind a tunnel.",
)
TLS_UNTRUSTED = Diagnosis(
    "tls.untrusted",
    "The certificate is not accepted: expired, for another name, or by an authority that this machine does not trust.",
    "Use the name that the certificate is for, renew it, or add its authority to this machine's.",
)
TLS_MISSING = Diagnosis(
    "tls.missing",
    "The settings say TLS, and the port does not speak it.",
    "Correct the port, or the setting: LOGBROOK_CLICKHOUSE_SECURE, LOGBROOK_KAFKA_SECURITY_PROTOCOL, http:// in a URL.",
)
TLS_EXPECTED = Diagnosis(
    "tls.expected",
    "The port speaks TLS, and the settings say that it does not.",
    "LOGBROOK_CLICKHOUSE_SECURE=true; LOGBROOK_KAFKA_SECURITY_PROTOCOL=SSL or SASL_SSL; https:// in a URL.",
)


@dataclass(frozen=True)
class Target:
    """An address, and the setting that it comes from."""

    host: str
    port: int
    setting: str
    tls: bool = False

    def __str__(self) -> str:
        return f"{self.host}:{self.port} ({self.setting})"


def target(text: str, default_port: int, setting: str, *, tls: bool = False) -> Target:
    """The address of `host:port` or of a URL."""
    parts = urlsplit(text.strip() if "://" in text else f"//{text.strip()}")
    tls = tls or parts.scheme == "https"
    return Target(parts.hostname or "", parts.port or (443 if tls else default_port), setting, tls)


def reach(to: Target) -> Answer:
    """Resolve, connect, and shake hands if the settings say TLS."""
    found = connected(to)
    if isinstance(found, Found):
        return found
    with found:
        if not to.tls:
            return f"{to.host}:{to.port} accepts connections"
        try:
            ssl.create_default_context().wrap_socket(found, server_hostname=to.host).close()
        except ssl.SSLCertVerificationError as error:
            return TLS_UNTRUSTED.found(f"{to}: {error.verify_message}")
        except OSError as error:
            return TLS_MISSING.found(f"{to}: {type(error).__name__}")
    return f"{to.host}:{to.port} accepts connections, and its certificate is trusted"


def connected(to: Target, seconds: float = CONNECT_SECONDS) -> socket.socket | Found:
    """A connection, or why there is none."""
    try:
        within(seconds, lambda: socket.getaddrinfo(to.host, to.port, type=socket.SOCK_STREAM))
    except (socket.gaierror, UnicodeError, TimeoutError) as error:
        return UNRESOLVED.found(f"{to}: {error}")
    try:
        return socket.create_connection((to.host, to.port), timeout=seconds)
    except ConnectionRefusedError:
        return REFUSED.found(f"{to}: connection refused")
    except TimeoutError:
        return DROPPED.found(f"{to}: no answer within {seconds:g} s, not even a refusal")
    except OSError as error:
        kind = DROPPED if error.errno == errno.ETIMEDOUT else NO_ROUTE
        return kind.found(f"{to}: {error.strerror or error}")


def speaks_tls(to: Target) -> bool:
    """Whether it answers a TLS handshake, with whatever certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection((to.host, to.port), timeout=CONNECT_SECONDS) as connection:
            context.wrap_socket(connection).close()
    except OSError:
        return False
    return True
