#!/usr/bin/env bash
# Serve chdb's engine where clickhouse-server would listen.
set -euo pipefail
export CLICKHOUSE_PASSWORD=$LOGBROOK_CLICKHOUSE_PASSWORD
exec /opt/venv/bin/python -m native.front --data /var/lib/clickhouse/chdb --host 0.0.0.0 --port 8123
