"""Exit with 0 when a Logbrook process on one of the given ports says that it is ready. For health checks in containers.

Without arguments it asks the ports that gateway, consumer and query have by default. Only sockets, no HTTP library:
it runs every few seconds for as long as the container lives.
"""

import socket
import sys

DEFAULT_PORTS = (4318, 9464, 8080)
TIMEOUT_SECONDS = 3.0


def ready(port: int) -> bool:
    """Whether GET /readyz on this port is answered with 200."""
    try:
        with socket.create_connection(("127.0.0.1", port), TIMEOUT_SECONDS) as connection:
            connection.sendall(b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            return connection.makefile("rb").readline().split()[1:2] == [b"200"]
    except OSError:
        return False


if __name__ == "__main__":
    ports = [int(each) for each in sys.argv[1:]] or DEFAULT_PORTS
    sys.exit(0 if any(ready(port) for port in ports) else 1)
