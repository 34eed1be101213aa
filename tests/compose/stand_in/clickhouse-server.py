#!/opt/venv/bin/python
"""Serve chdb's engine where clickhouse-server would listen, whatever the command line says."""

import os
import sys

from native.front import __main__ as front

if __name__ == "__main__":
    os.environ["CLICKHOUSE_PASSWORD"] = os.environ["LOGBROOK_CLICKHOUSE_PASSWORD"]
    # The front refuses all addresses but loopback. A container's own addresses are as private: Compose publishes them
    # on the host's loopback.
    front._loopback = str  # type: ignore[assignment]
    sys.argv[1:] = ["--data", "/var/lib/clickhouse/chdb", "--host", "0.0.0.0", "--port", "8123"]
    front.main()
